# SPDX-License-Identifier: Apache-2.0
"""One whole ECDH-PSI job of ours, as a user runs it: two `crypsis psi run` processes, mutual TLS over loopback, both
parties' outputs (broadcast, aligned), a report each.

    python -m benchmarks.psi_job --alice a.parquet --bob b.parquet --out DIR [--threads 1]

Prints one JSON object: seconds (the slower party, from reading its keys to the output in place, without waiting for the
other process to start), wall_seconds (both processes with their imports), intersection, peak_rss (bytes, each party),
payload_bytes (each way) and the receiver's seconds by phase.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from crypsis.mpc.transport.certs import make_development_certificates
from crypsis.mpc.transport.ports import free_port

WAITING = "wait for the peer"


def run(alice: Path, bob: Path, out: Path, *, key: str, threads: int) -> dict[str, Any]:
    """Runs the job; the reports of both parties are read back."""
    out.mkdir(parents=True, exist_ok=True)
    certificates = out / "certificates"
    make_development_certificates(certificates, ["alice", "bob"], overwrite=True)
    address = f"127.0.0.1:{free_port()}"
    processes = []
    start = time.perf_counter()
    for party, peer, role, end, path in (
        ("alice", "bob", "receiver", "listen", alice),
        ("bob", "alice", "sender", "connect", bob),
    ):
        config = {
            "party": party,
            "peer": peer,
            "role": role,
            end: address,
            "tls": {
                "ca": str(certificates / "ca.crt"),
                "certificate": str(certificates / f"{party}.crt"),
                "key": str(certificates / f"{party}.key"),
            },
            "input": {"path": str(path)},
            "keys": [key],
            "output": {"path": str(out / f"{party}.parquet"), "overwrite": True},
            "report": str(out / f"{party}.report.json"),
            "broadcast": True,
            "threads": threads,
        }
        file = out / f"{party}.json"
        file.write_text(json.dumps(config))
        command = [sys.executable, "-m", "crypsis.mpc.cli", "psi", "run", "--config", str(file)]
        processes.append(
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        )
    errors = [process.communicate()[1] for process in processes]
    wall_seconds = time.perf_counter() - start
    if any(process.returncode != 0 for process in processes):
        raise SystemExit("".join(errors))
    reports = [json.loads((out / f"{party}.report.json").read_text()) for party in ("alice", "bob")]
    return {
        "seconds": max(report["total_seconds"] - report["seconds"][WAITING] for report in reports),
        "wall_seconds": wall_seconds,
        "intersection": reports[0]["counts"]["matched_keys"],
        "peak_rss": [report["peak_memory_bytes"] for report in reports],
        "payload_bytes": [report["traffic"]["payload_bytes_sent"] for report in reports],
        "phases": reports[0]["seconds"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--alice", type=Path, required=True)
    parser.add_argument("--bob", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--key", default="id")
    parser.add_argument(
        "--threads", type=int, default=1, help="of each party: two parties share this machine"
    )
    options = parser.parse_args()
    print(json.dumps(run(options.alice, options.bob, options.out, key=options.key, threads=options.threads)))


if __name__ == "__main__":
    main()
