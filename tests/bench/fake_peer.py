# SPDX-License-Identifier: Apache-2.0
"""A peer's process that behaves as its first argument says. Standard library only."""

from __future__ import annotations

import json
import os
import sys
import time

KIND = sys.argv[1]


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
    if KIND == "error":
        say({"error": "ValueError('wrong answer')"})
    elif KIND == "garbage":
        print("Segmentation fault imminent", flush=True)
    elif KIND == "endless":
        while True:
            sys.stdout.write("x" * 65536)
    elif KIND == "no rate":
        say({"per_second": -1.0})
    elif KIND == "infinite":
        print('{"per_second": Infinity}', flush=True)
    else:
        digest = "other" if KIND == "wrong" else line.strip()
        say({"per_second": 10.0, "answer": digest})
