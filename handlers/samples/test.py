#!/usr/bin/env python3
"""Tests the built sample handlers on a host, and measures them.

In scope: the cases of cases/ for every sample; the attempts of the probes; many runs of one request, which must give the
same output and the same fuel; building again; a table of what each language costs.
Out of scope: building and installing (build.sh, tools.sh). A sample that is not built is skipped, with the reason.

Needs the standard library only. OPENEXEC names the binary (default: the release build, else the debug build).
Exit code 1 if a built sample fails anything, or if none is built.
Usage: test.py [--runs N] [--no-rebuild] [javascript|python|c|rust|go]...
"""

import argparse
import contextlib
import dataclasses
import hashlib
import http.client
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILT = HERE / "build"
LANGUAGES = ("javascript", "python", "c", "rust", "go")
# Which component makes the attempts of a language, where its expectations are, and in which profile it runs.
PROBES = {
    "javascript": [("javascript-probe", "javascript/probe", "pure")],
    "python": [("python-probe", "python/probe", "pure"), ("python-wasi", "python-wasi", "wasi")],
}
# Building Python again gives other bytes: file times and the addresses of objects are in the engine's memory.
NOT_REPRODUCIBLE = ("python", "python-probe")
FUEL = 100_000_000
MEMORY_BYTES = 64 * 1024 * 1024
PROBE_RUNS = 20
FUEL_SPREAD_MAX = 0.02


class Failed(Exception):
    """A sample does not do what it must. The text says what."""


def openexec() -> str:
    named = os.environ.get("OPENEXEC")
    candidates = [named] if named else [ROOT / "target" / kind / "openexec" for kind in ("release", "debug")]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return str(pathlib.Path(candidate).resolve())  # the host runs in another folder
    sys.exit("test.py: no openexec binary; run `make build`, or name one in OPENEXEC")


class Host:
    """A host in demo mode, on a free port, with one action pinned and a ledger of its own.

    It runs every execution once more in the background and compares outcome, fuel and memory.
    """

    def __init__(self, component: pathlib.Path, folder: str, profile: str):
        digest = hashlib.sha256(component.read_bytes()).hexdigest()
        self.registry = pathlib.Path(folder, "registry.toml")
        (self.registry.parent / "sample.wasm").write_bytes(component.read_bytes())
        self.registry.write_text(
            f'version = 1\n[action.sample]\ncomponent = "sample.wasm"\nsha256 = "{digest}"\nversion = "1.0.0"\n'
            f'profile = "{profile}"\n[action.sample.limits]\nfuel = {FUEL}\nmemory_bytes = {MEMORY_BYTES}\n'
        )
        self.log = open(pathlib.Path(folder, "log"), "w+b")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("OPENEXEC", "CLAWSHIELD"))}
        started = time.monotonic()
        self.process = subprocess.Popen(
            [openexec(), "serve", "--listen", "127.0.0.1:0", "--registry", str(self.registry), "--log-format", "json",
             "--db-url", f"sqlite:///{folder}/ledger.db", "--audit-one-in", "1"],
            stderr=self.log, env=environment, cwd=folder,
        )
        self.port = self.await_port()
        self.start_s = time.monotonic() - started
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.n_calls = 0
        self.latencies_s = []

    def await_port(self) -> int:
        while True:
            listening = re.search(rb"127\.0\.0\.1:([1-9][0-9]*)", pathlib.Path(self.log.name).read_bytes())
            if listening:
                return int(listening[1])
            if self.process.poll() is not None:
                raise Failed("the host does not start: " + pathlib.Path(self.log.name).read_text()[-600:])
            time.sleep(0.01)

    def get(self, path: str) -> str:
        self.connection.request("GET", path)
        return self.connection.getresponse().read().decode()

    def execute(self, payload: dict) -> dict:
        """The host's answer to the payload with a nonce that was never used."""
        self.n_calls += 1
        body = json.dumps({"action": "sample", "payload": payload, "nonce": f"sample-{self.n_calls:08}"})
        started = time.monotonic()
        self.connection.request("POST", "/execute", body, {"Content-Type": "application/json"})
        answer = self.connection.getresponse().read()
        self.latencies_s.append(time.monotonic() - started)
        self.await_comparison()
        return json.loads(answer)

    def await_comparison(self):
        """Until the host has run the last execution again, which must come out exactly the same."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            verdicts = re.findall(r'^openexec_self_audit_total{verdict="(\w+)"} (\d+)$', self.get("/metrics"), re.MULTILINE)
            counted = {verdict: int(count) for verdict, count in verdicts}
            if counted["different"] or counted["skipped"]:
                raise Failed(f"running the same request again did not give the same outcome and fuel: {counted}")
            if counted["equal"] == self.n_calls:
                return
            time.sleep(0.0005)
        raise Failed("the host does not run the execution again")

    def stop(self):
        self.process.terminate()
        self.process.wait(30)
        self.log.close()


@contextlib.contextmanager
def host_with(component: pathlib.Path, profile: str = "pure"):
    with tempfile.TemporaryDirectory() as folder:
        host = Host(component, folder, profile)
        try:
            yield host
        finally:
            host.stop()


def outcome(answer: dict) -> dict:
    """What the handler made of the call, with what differs from call to call replaced by its name."""
    if answer.get("status") == "succeeded":
        effects = [{"kind": effect["kind"], "body": as_value(effect["body"])} for effect in answer["effects"]]
        made = {"outcome": "succeeded", "result": answer["result"], "effects": effects}
        return without_identity(made, answer["id"])
    if answer.get("outcome") == "failed":
        return {"outcome": "failed", "failure": answer["failure"], "text": answer["detail"]}
    return {"outcome": answer.get("outcome"), "code": answer["code"], "fault": answer.get("fault")}


def as_value(body: object) -> object:
    return json.loads(body) if isinstance(body, str) else body


def without_identity(value: object, exec_id: str) -> object:
    if isinstance(value, dict):
        return {k: "$issued-at" if k == "confirmed_at" and just_now(v) else without_identity(v, exec_id)
                for k, v in value.items()}
    if isinstance(value, list):
        return [without_identity(element, exec_id) for element in value]
    return "$exec-id" if value == exec_id else value


def just_now(milliseconds: object) -> bool:
    return isinstance(milliseconds, int) and abs(time.time() * 1000 - milliseconds) < 600_000


def expect_equal(what: str, expected: object, found: object):
    if expected != found:
        raise Failed(f"{what}: expected {json.dumps(expected)}, found {json.dumps(found)}")


def cases() -> dict[str, dict]:
    return {path.stem: json.loads(path.read_text()) for path in sorted((HERE / "cases").glob("*.json"))}


@dataclasses.dataclass
class Measured:
    bytes: int
    start_s: float
    fuel: str
    p50_ms: float


def test_sample(language: str, runs: int) -> Measured:
    component = BUILT / f"{language}.wasm"
    with host_with(component) as host:
        for name, case in cases().items():
            expect_equal(f"case {name}", case["expect"], outcome(host.execute(case["payload"])))
        case = cases()["confirmed"]
        used = []
        for _ in range(runs):
            answer = host.execute(case["payload"])
            expect_equal("repeated run", case["expect"], outcome(answer))
            used.append(answer["resources"]["fuel"])
        # Identity and time are part of the request, and an engine may take a few steps more to write one number than another.
        if max(used) - min(used) > FUEL_SPREAD_MAX * min(used):
            raise Failed(f"fuel from {min(used)} to {max(used)} for one payload")
        spread = f"{min(used)}" if min(used) == max(used) else f"{min(used)}-{max(used)}"
        p50_ms = statistics.median(host.latencies_s[-runs:]) * 1000
        return Measured(component.stat().st_size, host.start_s, spread, p50_ms)


def test_probe(component: str, folder: str, profile: str) -> int:
    """How many attempts were made. probe.json says for each what must come of it, as a pattern of the answer or `trap`."""
    expected = json.loads((HERE / folder / "probe.json").read_text())
    with host_with(BUILT / f"{component}.wasm", profile) as host:
        for attempt, pattern in expected.items():
            first = None
            for _ in range(PROBE_RUNS):
                answer = host.execute({"try": attempt})
                found = answer["result"]["answer"] if answer.get("status") == "succeeded" else answer.get("fault")
                if not isinstance(found, str) or not re.fullmatch(pattern, found, re.DOTALL):
                    raise Failed(f"probe {attempt}: expected {pattern!r}, found {found!r} ({answer.get('detail')})")
                seen = (found, answer.get("resources"))
                first = first or seen
                if profile == "pure":  # in the other one, each execution has its own time and randomness
                    expect_equal(f"probe {attempt}, again", first, seen)
    return len(expected)


def test_rebuild(language: str) -> list[str]:
    """Builds again elsewhere. The names of the components whose bytes are not the same."""
    samples = [language] + ([f"{language}/probe"] if language in PROBES else [])
    names = [sample.replace("/", "-") for sample in samples]
    for sample in samples:
        shutil.rmtree(HERE / sample / "build", ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        build = subprocess.run(["sh", HERE / "build.sh", *samples], env=os.environ | {"OUT": folder, "OPENEXEC": openexec()}, capture_output=True, text=True)
        if build.returncode != 0:
            raise Failed(f"building again fails: {build.stderr[-600:]}")
        again = [name for name in names if pathlib.Path(folder, f"{name}.wasm").read_bytes() != (BUILT / f"{name}.wasm").read_bytes()]
    unexpected = [name for name in again if name not in NOT_REPRODUCIBLE]
    if unexpected:
        raise Failed(f"building again gives other bytes: {', '.join(unexpected)}")
    return again


def test_schemas():
    """Every sample has the schemas of order/: some a link, some, whose compilers follow none, a copy."""
    for schema in HERE.glob("order/*.schema.json"):
        for language in LANGUAGES:
            expect_equal(f"{language}/{schema.name}", schema.read_text(), (HERE / language / schema.name).read_text())


def main() -> int:
    parser = argparse.ArgumentParser(description="Tests the built sample handlers on a host, and measures them.")
    parser.add_argument("languages", nargs="*", metavar="LANGUAGE", help=f"of {', '.join(LANGUAGES)} [default: all]")
    parser.add_argument("--runs", type=int, default=1000, help="runs of one request for each sample [default: 1000]")
    parser.add_argument("--no-rebuild", action="store_true", help="do not build again to compare")
    arguments = parser.parse_args()
    unknown = set(arguments.languages) - set(LANGUAGES)
    if unknown:
        parser.error(f"no such language: {', '.join(unknown)}")

    test_schemas()
    print(f"{'language':<12}{'size':>12}{'start':>9}{'fuel':>20}{'p50':>10}  same bytes  probe", flush=True)
    n_failed = n_passed = 0
    for language in arguments.languages or LANGUAGES:
        if not (BUILT / f"{language}.wasm").exists():
            print(f"{language:<12}skipped: not built: `make samples` says why", flush=True)
            continue
        try:
            measured = test_sample(language, arguments.runs)
            n_attempts = sum(test_probe(*probe) for probe in PROBES.get(language, []))
            probe = f"{n_attempts} attempts" if n_attempts else "-"
            same = "not tried" if arguments.no_rebuild else "no" if test_rebuild(language) else "yes"
        except Failed as failure:
            n_failed += 1
            print(f"{language:<12}FAILED: {failure}", flush=True)
            continue
        n_passed += 1
        print(f"{language:<12}{measured.bytes:>12,}{measured.start_s:>7.1f} s{measured.fuel:>20}{measured.p50_ms:>7.2f} ms"
              f"  {same:<11} {probe}", flush=True)
    return 0 if n_passed and not n_failed else 1


if __name__ == "__main__":
    sys.exit(main())
