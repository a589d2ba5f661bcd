# SPDX-License-Identifier: Apache-2.0
"""One whole PSI job of ours, as a user runs it: two `crypsis psi run` processes, mutual TLS over loopback, both
parties' outputs (broadcast, aligned; or the receiver's alone), a report each.

    python -m crypsis.mpc.bench.psi_job --alice a.parquet --bob b.parquet --out DIR [--protocol vole] [--threads 1]

Prints one JSON object: seconds (the slower party, from reading its keys to the output in place, without waiting for the
other process to start), wall_seconds (both processes with their imports), intersection, peak_rss (bytes, each party's
own process), peak_tree (bytes, each party with its workers, pages shared between them counted once, sampled),
cpu_seconds (each party with its workers), payload_bytes (each way) and the receiver's seconds by phase.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from crypsis.errors import CrypsisError
from crypsis.mpc.bench.lines import Link, open_line
from crypsis.mpc.transport.certs import make_development_certificates

WAITING = "wait for the peer"
PARTIES = ("alice", "bob")
_SAMPLE_S = 1.0
_POLL_S = 0.01
_GRACE_S = 5.0


class JobFailed(CrypsisError):
    """A party of the job failed; the message has its last words."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What both parties run; `fields` are those of the configuration file beyond the ones named here."""

    key: str = "id"
    key_type: str = "string"
    threads: int = 1
    broadcast: bool = True
    fields: dict[str, Any] = field(default_factory=dict)

    def config(self, party: str, address: str, path: Path, out: Path) -> dict[str, Any]:
        """The configuration of a party; alice receives and listens."""
        certificates = out / "certificates"
        config: dict[str, Any] = {
            "party": party,
            "peer": PARTIES[party == "alice"],
            "role": "receiver" if party == "alice" else "sender",
            "listen" if party == "alice" else "connect": address,
            "tls": {
                "ca": str(certificates / "ca.crt"),
                "certificate": str(certificates / f"{party}.crt"),
                "key": str(certificates / f"{party}.key"),
            },
            "input": {"path": str(path)},
            "keys": [{"name": self.key, "type": self.key_type}],
            "report": str(out / f"{party}.report.json"),
            "broadcast": self.broadcast,
            "threads": self.threads,
            **self.fields,
        }
        if self.broadcast or party == "alice":
            config["output"] = {"path": str(out / f"{party}.parquet"), "overwrite": True}
        if config.get("work_dir"):  # one each
            config["work_dir"] = str(Path(config["work_dir"]).resolve() / party)
        return config


def run(
    alice: Path, bob: Path, out: Path, job: Job, *, link: Link | None = None, by_tc: bool = False
) -> dict[str, Any]:
    """Runs the job, over `link` where one is given; the reports of both parties are read back. Raises JobFailed."""
    # A path in a file is relative to that file.
    alice, bob, out = alice.resolve(), bob.resolve(), out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if job.fields.get("work_dir"):
        Path(job.fields["work_dir"]).mkdir(parents=True, exist_ok=True)
    make_development_certificates(out / "certificates", list(PARTIES), overwrite=True)
    processes: list[subprocess.Popen[bytes]] = []
    logs: list[IO[str]] = []
    cpu_seconds: list[float] = []
    with ExitStack() as stack:
        ends = stack.enter_context(open_line(link, by_tc=by_tc))
        start = time.perf_counter()
        at = (ends.listen, ends.connect)
        for party, path, address, enter in zip(PARTIES, (alice, bob), at, ends.enter, strict=True):
            file = out / f"{party}.json"
            file.write_text(json.dumps(job.config(party, address, path, out)))
            command = [*enter, sys.executable, "-P", "-m", "crypsis.mpc.cli", "psi", "run", "--quiet"]
            logs.append((out / f"{party}.log").open("w+"))
            process = subprocess.Popen(
                [*command, "--config", str(file)], stdout=subprocess.DEVNULL, stderr=logs[-1]
            )
            stack.callback(_end, process)
            processes.append(process)
        watch = Watch([process.pid for process in processes])
        stack.callback(watch.stop)
        cpu_seconds += _wait(processes)
        wall_seconds = time.perf_counter() - start
        peak_tree = watch.stop()
    failed = []
    for party, process, log in zip(PARTIES, processes, logs, strict=True):
        log.seek(0)
        if process.returncode != 0:
            failed.append(f"{party} ended with exit code {process.returncode}:\n{log.read()[-2000:]}")
        log.close()
    if failed:
        raise JobFailed("\n".join(failed))
    reports = [json.loads((out / f"{party}.report.json").read_text()) for party in PARTIES]
    return {
        "seconds": max(report["total_seconds"] - report["seconds"][WAITING] for report in reports),
        "wall_seconds": wall_seconds,
        "intersection": reports[0]["counts"]["matched_keys"],
        "peak_rss": [report["peak_memory_bytes"] for report in reports],
        "peak_tree": peak_tree,
        "cpu_seconds": cpu_seconds,
        "payload_bytes": [report["traffic"]["payload_bytes_sent"] for report in reports],
        "phases": reports[0]["seconds"],
    }


def _end(process: subprocess.Popen[bytes]) -> None:
    """A party that still runs when the other cannot, or when all is interrupted."""
    if process.returncode is None:
        process.kill()
        process.wait()


def _wait(processes: list[subprocess.Popen[bytes]]) -> list[float]:
    """Waits for all; CPU seconds of each and of the children that it waited for. Where one fails, the others have a
    moment to say why they end: a party waits for minutes for a peer that will not come."""
    used = dict.fromkeys(range(len(processes)), 0.0)
    end = math.inf
    while any(process.returncode is None for process in processes) and time.monotonic() < end:
        for i, process in enumerate(processes):
            if process.returncode is not None:
                continue
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                used[i] = usage.ru_utime + usage.ru_stime
                if process.returncode and end == math.inf:
                    end = time.monotonic() + _GRACE_S
        time.sleep(_POLL_S)
    for process in processes:
        _end(process)
    return [used[i] for i in range(len(processes))]


class Watch:
    """Samples the memory of process trees from a thread."""

    def __init__(self, roots: list[int]) -> None:
        self._roots = roots
        self._peaks = [0] * len(roots)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> list[int]:
        """The highest sum of each tree, in bytes."""
        self._ended.set()
        self._thread.join()
        return self._peaks

    def _run(self) -> None:
        while not self._ended.wait(_SAMPLE_S):
            for number, root in enumerate(self._roots):
                self._peaks[number] = max(self._peaks[number], tree_bytes(root))


def tree_bytes(root: int) -> int:
    """Memory of a process and its descendants, each shared page counted in parts that add up to one (Pss)."""
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
            total += int(rollup.split("\nPss:")[1].split()[0]) << 10
            for task in Path(f"/proc/{pid}/task").iterdir():
                waiting += map(int, (task / "children").read_text(encoding="ascii").split())
        except (OSError, IndexError):  # it ended meanwhile
            continue
    return total


def add_job_options(parser: argparse.ArgumentParser) -> None:
    """The flags that `job_of` reads."""
    parser.add_argument("--threads", type=int, default=1, help="of each party: two share this machine")
    parser.add_argument("--no-broadcast", action="store_true", help="only the receiver gets the result")
    parser.add_argument("--protocol", choices=("ecdh", "vole"), default="ecdh")
    parser.add_argument("--security", choices=("semi-honest", "malicious"), help="of vole")
    parser.add_argument("--setting", choices=("fast", "low-communication"), help="of vole")
    parser.add_argument("--memory", help="of a party, as in 2GiB")
    parser.add_argument("--bin-rows", type=int, help="rows of a spilled bin")
    parser.add_argument("--workers", type=int, help="worker processes of a party")
    parser.add_argument("--work-dir", type=Path, help="where the parties' work directories go")


def job_of(options: argparse.Namespace, *, key: str = "id", key_type: str = "string") -> Job:
    """The job that the flags describe; a field that has no flag given keeps its default."""
    fields: dict[str, Any] = {"protocol": options.protocol}
    for name in ("security", "setting", "memory", "bin_rows", "workers", "work_dir"):
        value = getattr(options, name)
        if value is not None:
            fields[name] = str(value) if name == "work_dir" else value
    return Job(
        key=key,
        key_type=key_type,
        threads=options.threads,
        broadcast=not options.no_broadcast,
        fields=fields,
    )


def job_flags(options: argparse.Namespace) -> list[str]:
    """The flags of `add_job_options` again, for another process."""
    flags = ["--threads", str(options.threads), "--protocol", options.protocol]
    flags += ["--no-broadcast"] if options.no_broadcast else []
    for name in ("security", "setting", "memory", "bin_rows", "workers", "work_dir"):
        value = getattr(options, name)
        flags += [f"--{name.replace('_', '-')}", str(value)] if value is not None else []
    return flags


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--alice", type=Path, required=True, help="a file or a directory of Parquet parts")
    parser.add_argument("--bob", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--key", default="id")
    parser.add_argument("--key-type", default="string")
    add_job_options(parser)
    options = parser.parse_args()
    job = job_of(options, key=options.key, key_type=options.key_type)
    try:
        print(json.dumps(run(options.alice, options.bob, options.out, job)))
    except JobFailed as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
