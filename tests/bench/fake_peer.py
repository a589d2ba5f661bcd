# SPDX-License-Identifier: Apache-2.0
"""A peer's process that behaves as its first argument says. Standard library only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

KIND = sys.argv[1]
RATES = {
    "infinite": "Infinity",
    "vast": "1" + "0" * 400,
    "minute": "1e-320",
    "true": "true",
    "no number": "NaN",
}


def say(told: object) -> None:
    print(json.dumps(told), flush=True)


if KIND == "dead":
    sys.exit(3)
if KIND == "hung from the start":
    time.sleep(600)
if KIND == "refuses":
    say({"error": "no licence"})
    sys.exit(0)
if KIND == "no versions":
    say({"ready": True})
    time.sleep(600)
say({"ready": True, "versions": {"fake": "1.2"}})
for number, line in enumerate(sys.stdin):
    if KIND == "crashes later" and number == 1:
        os.abort()
    if KIND == "hangs later" and number == 1:
        time.sleep(600)
    if KIND == "says why":
        print("/home/alice/lib/fake.so: no such symbol", file=sys.stderr)
        sys.exit(1)
    if KIND == "leaves a child":
        subprocess.Popen(["sleep", "600"])
        os._exit(4)
    if KIND == "error":
        say({"error": "ValueError('wrong answer')"})
    elif KIND == "garbage":
        print("Segmentation fault imminent", flush=True)
    elif KIND == "endless":
        while True:
            sys.stdout.write("x" * 65536)
    elif KIND == "no rate":
        say({"per_second": -1.0})
    elif KIND in RATES:
        print('{"per_second": ' + RATES[KIND] + "}", flush=True)
    elif KIND == "nested":
        print("[" * 500_000, flush=True)
    elif KIND == "twice":
        print('{"per_second": 1, "answer": "right 1"}\n' * 2, end="", flush=True)
    elif KIND == "long error":
        say({"error": "one\ntwo \x1b[31m " + "x" * 5000})
    else:
        digest = "other" if KIND == "wrong" else line.strip()
        say({"per_second": 10.0, "answer": digest})
