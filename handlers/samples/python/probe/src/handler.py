"""A probe: tries to reach what a handler must not reach, one thing a call, and reports what came of it.

Payload: {"try": "<name of an attempt>"}. What must come of each is in probe.json.
"""

import datetime
import hashlib
import json
import math
import os
import random
import secrets
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
import uuid

from componentize_py_types import Err
from schemas import OUTPUT_SCHEMA, PAYLOAD_SCHEMA  # made by the build
from wit_world import exports
from wit_world.exports.guest import Description, Failure_InvalidPayload, Outcome, Request


def connect():
    with socket.socket() as client:
        client.settimeout(1)
        client.connect(("127.0.0.1", 80))


ATTEMPTS = {
    "clock": time.time,
    "date": lambda: datetime.datetime.now().isoformat(),
    "monotonic": time.monotonic,
    "process-time": time.process_time,
    "random": random.random,
    "random-new": lambda: random.Random().random(),
    "urandom": lambda: os.urandom(8).hex(),
    "secrets": lambda: secrets.token_hex(8),
    "uuid": uuid.uuid4,
    "hash-seed": lambda: hash("abc"),
    "hash-order": lambda: list({"a", "b", "c", "d"}),
    "identity": lambda: id(object()),
    "environment": lambda: dict(os.environ),
    "arguments": lambda: sys.argv,
    "file-read": lambda: open("/etc/passwd").read(),
    "file-write": lambda: open("/probe", "w").write("x"),
    "folder": lambda: os.listdir("/"),
    "late-import": lambda: __import__("sqlite3"),
    "socket": connect,
    "names": lambda: socket.getaddrinfo("localhost", 80),
    "fetch": lambda: urllib.request.urlopen("http://127.0.0.1/").status,
    "sleep": lambda: time.sleep(0.01),
    "thread": lambda: threading.Thread(target=print).start(),
    "process": lambda: subprocess.run(["ls"]),
    "log": lambda: print("hello"),
    "sha256": lambda: hashlib.sha256(b"abc").hexdigest()[:16],
    # The bits of a NaN differ between processors, unless made equal.
    "nan": lambda: struct.pack(">d", math.inf - math.inf).hex(),
}


class Guest(exports.Guest):
    def handle(self, request: Request) -> Outcome:
        attempt = ATTEMPTS.get(json.loads(request.payload).get("try"))
        if attempt is None:
            raise Err(Failure_InvalidPayload("attempt-unknown: no such attempt"))
        try:
            answer = str(attempt())
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        return Outcome(output=json.dumps({"answer": answer}), effects=[])

    def describe(self) -> Description:
        return Description(
            title="Probe",
            summary="Tries to reach what a handler must not reach. For tests.",
            payload_schema=PAYLOAD_SCHEMA,
            output_schema=OUTPUT_SCHEMA,
        )
