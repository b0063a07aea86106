// A probe: tries to reach what a handler must not reach, one thing a call, and reports what came of it.
// Payload: {"try": "<name of an attempt>"}. What must come of each is in probe.json.

const describeAttempt = (attempt) => {
  try {
    return String(attempt());
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
};

const attempts = {
  clock: () => Date.now(),
  date: () => new Date().toISOString(),
  "time-zone": () => new Date(0).getTimezoneOffset(),
  monotonic: () => performance.now(),
  random: () => [Math.random(), Math.random()].join(" "),
  crypto: () => crypto.randomUUID(),
  "hash-order": () => [...new Set(["d", "a", "c", "b"]), ...Object.keys({ d: 0, a: 0, c: 0, b: 0 })].join(""),
  environment: () => JSON.stringify(process.env),
  file: () => globalThis.require("fs").readFileSync("/etc/passwd"),
  "quickjs-os": () => os.open("/etc/passwd", 0),
  "quickjs-std": () => std.getenviron(),
  socket: () => new WebSocket("ws://127.0.0.1/"),
  fetch: () => fetch("http://127.0.0.1/"),
  "fetch-xhr": () => new XMLHttpRequest(),
  timer: () => setTimeout(() => {}, 1),
  log: () => console.log("hello"),
  nan: () => {
    const view = new DataView(new ArrayBuffer(8)); // the bits of a NaN differ between processors, unless made equal
    view.setFloat64(0, Math.sqrt(-1) * 0);
    return view.getBigUint64(0).toString(16);
  },
  stack: () => {
    const deeper = (n) => deeper(n + 1) + 1;
    return deeper(0);
  },
};

export const guest = {
  handle(request) {
    const name = JSON.parse(request.payload).try;
    if (!Object.hasOwn(attempts, name)) throw { tag: "invalid-payload", val: "attempt-unknown: no such attempt" };
    return { output: JSON.stringify({ answer: describeAttempt(attempts[name]) }), effects: [] };
  },
  describe: () => ({
    title: "Probe",
    summary: "Tries to reach what a handler must not reach. For tests.",
    payloadSchema: '{"type":"object"}',
    outputSchema: '{"type":"object"}',
  }),
};
