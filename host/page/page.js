// Asks the verifier in this page one question, and shows its report.
//
// In scope: reading the form, the module's words, putting texts into the page.
// Out of scope: every check. What the report says is shown, and nothing is added to it.
//
// Invariants
// - Nothing is sent, loaded or stored: the page's policy forbids it, and nothing here tries.
// - Texts become text nodes, so that no file can put markup or code into the page.
// - A verdict on the screen is about what the form holds: whatever is changed there takes the verdict away.
"use strict";

(() => {
  const VERIFIER = "{{verifier}}";

  // Evidence holds a payload and a result, of at most a mebibyte each, and proofs. Larger files are mistakes.
  const FILE_BYTES_MAX = 16 * 1024 * 1024;
  const WORD_BYTES = 8;

  // How verdicts are said, and what they look like. A verdict that is not listed is not shown as good.
  const VERDICTS = new Map([
    ["verified", { words: "✔ Verified", tone: "good" }],
    ["failed", { words: "✘ Failed", tone: "bad" }],
    ["incomplete", { words: "◐ Incomplete", tone: "open" }],
    ["unreadable", { words: "✘ Unreadable", tone: "bad" }],
  ]);
  const ASPECT_VERDICTS = new Map([
    ["pass", { words: "✔ Pass", tone: "good" }],
    ["fail", { words: "✘ Fail", tone: "bad" }],
    ["not-checked", { words: "– Not checked", tone: "open" }],
    ["erased", { words: "– Erased", tone: "open" }],
  ]);
  const FACTS = new Map([
    ["exec_id", "Execution"],
    ["tenant", "Tenant"],
    ["action", "Action"],
    ["outcome", "Outcome"],
    ["sealed_at", "Sealed at"],
  ]);

  const part = (id) => document.getElementById(id);
  const form = part("question");
  const file = part("evidence");
  const button = form.querySelector("button");

  const verifier = compile();
  verifier.catch(() => say("This browser cannot run the verifier: it needs WebAssembly."));

  async function compile() {
    return WebAssembly.compile(Uint8Array.from(atob(VERIFIER), (letter) => letter.charCodeAt(0)));
  }

  // A fresh instance for every question: none sees what another was asked.
  async function ask(question) {
    const { push, run, pull } = (await WebAssembly.instantiate(await verifier, {})).exports;
    const bytes = new TextEncoder().encode(JSON.stringify(question));
    const words = new DataView(new ArrayBuffer(padded(bytes.length)));
    new Uint8Array(words.buffer).set(bytes);
    for (let at = 0; at < bytes.length; at += WORD_BYTES) {
      push(words.getBigUint64(at, true), Math.min(WORD_BYTES, bytes.length - at));
    }
    const length = run() >>> 0;
    const report = new DataView(new ArrayBuffer(padded(length)));
    for (let at = 0; at < length; at += WORD_BYTES) {
      report.setBigUint64(at, BigInt.asUintN(64, pull(at / WORD_BYTES)), true);
    }
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(report.buffer, 0, length)));
  }

  function padded(length) {
    return Math.ceil(length / WORD_BYTES) * WORD_BYTES;
  }

  async function question() {
    return {
      evidence: await text(file.files[0]),
      receipt_keys: keys(part("receipt-keys").value),
      log_key: part("log-key").value.trim(),
      witness_keys: lines(part("witness-keys").value),
      quorum: part("quorum").valueAsNumber,
      trust_file: part("trust-file").value.trim() === "" ? "" : part("trust-file").value,
      clawshield_public_key: part("clawshield-key").value.trim(),
      clawshield_tenant_id: part("clawshield-tenant").value.trim(),
    };
  }

  // The file's very characters, or none: nothing is repaired before it is checked.
  async function text(file) {
    if (file.size > FILE_BYTES_MAX) {
      throw new Refused("This file is too large for an evidence file: it has more than 16 MiB.");
    }
    const bytes = await file.arrayBuffer().catch(() => {
      throw new Refused("The file cannot be read any more. Choose it again.");
    });
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw new Refused("This is not an evidence file: it is not text in UTF-8.");
    }
  }

  // PEM blocks, and every line outside of them.
  function keys(words) {
    const pem = /-----BEGIN [^-]*-----[^-]*-----END [^-]*-----/g;
    return [...(words.match(pem) ?? []), ...lines(words.replace(pem, "\n"))];
  }

  function lines(words) {
    return words.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  }

  // What the person can put right.
  class Refused extends Error {}

  async function verify() {
    forget();
    if (!form.reportValidity()) {
      return;
    }
    button.disabled = true;
    const asked = edition;
    try {
      const report = await ask(await question());
      if (asked === edition) {
        show(report);
      }
    } catch (error) {
      say(error instanceof Refused ? error.message : "The verifier stopped. This is a defect; nothing was checked.");
    } finally {
      button.disabled = false;
    }
  }

  function show(report) {
    const verdict = VERDICTS.has(report.verdict) ? report.verdict : "unreadable";
    const { words, tone } = VERDICTS.get(verdict);
    part("report").dataset.verdict = verdict;
    part("verdict").textContent = words;
    part("verdict").className = tone;
    part("summary").textContent = report.summary;
    const facts = [...FACTS].filter(([name]) => report.execution?.[name] !== undefined);
    part("execution").replaceChildren(
      ...facts.flatMap(([name, words]) => [element("dt", words), element("dd", report.execution[name])]),
    );
    part("execution").hidden = facts.length === 0;
    part("aspects").tBodies[0].replaceChildren(...report.aspects.map(row));
    part("aspects").hidden = report.aspects.length === 0;
    part("report").hidden = false;
    part("report").focus();
  }

  function row({ aspect, title, verdict, detail }) {
    const { words, tone } = ASPECT_VERDICTS.get(verdict) ?? ASPECT_VERDICTS.get("not-checked");
    const name = element("th", title);
    name.scope = "row";
    const cell = element("td", words);
    cell.className = tone;
    const row = document.createElement("tr");
    row.dataset.aspect = aspect;
    row.dataset.verdict = verdict;
    row.append(name, cell, element("td", detail));
    return row;
  }

  function element(name, words) {
    const element = document.createElement(name);
    element.textContent = String(words);
    return element;
  }

  function say(words) {
    part("problem").textContent = words;
    part("problem").hidden = false;
  }

  // Counts what the form has held, so that an answer to an earlier question is not shown.
  let edition = 0;

  function forget() {
    edition += 1;
    part("report").hidden = true;
    part("problem").hidden = true;
  }

  function nameFile() {
    const chosen = file.files[0];
    part("evidence-file").textContent = chosen ? `${chosen.name} (${chosen.size} bytes)` : "No file yet.";
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    verify();
  });
  form.addEventListener("input", forget);
  file.addEventListener("change", nameFile);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    part("drop").classList.add("over");
  });
  document.addEventListener("dragleave", () => part("drop").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    part("drop").classList.remove("over");
    if (event.dataTransfer.files.length > 0) {
      file.files = event.dataTransfer.files;
      forget();
      nameFile();
    }
  });
  nameFile();
})();
