# SPDX-License-Identifier: Apache-2.0
"""Private set intersection, half of the rows in common: in memory, and as whole jobs of two processes beside spu."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from crypsis.mpc.bench import counts, inputs
from crypsis.mpc.bench.jobs import job_files, run_job
from crypsis.mpc.bench.limits import least
from crypsis.mpc.bench.parties import Parties
from crypsis.mpc.bench.peers import Peer, Server
from crypsis.mpc.bench.rows import Limit
from crypsis.mpc.bench.suite import Setting, Suite, Work, WrongAnswer, same
from crypsis.mpc.psi.layout import Layout, outer_bins
from crypsis.mpc.psi.vole import intersect_digests

SPU = Server("spu", "spu", "spu", "spu_ops.py")
SUITE = Suite("psi", "both parties on one core, half of the rows in common")


def _limit(setting: Setting, layout: Layout) -> Limit | str:
    """Of both parties: a VOLE for each column of the tables; a table is made once and read twice, by a hash of the key
    each time, and a tag is a hash."""
    voles = layout.n_bins * layout.table.columns / layout.n_receiver
    what, machine = (
        f"{voles:.2f} VOLEs an item, tables made once and read twice; base OTs not counted",
        setting.machine,
    )
    return least(
        machine.by_reads(counts.VOLE_READS * voles + 3 * counts.OKVS_READS, 17, what),
        machine.by_aes(counts.VOLE_BLOCKS * voles + 4, what),
    )


def _in_memory(setting: Setting, security: Any) -> Work:
    """Digests in, indices out, base OTs included."""
    n = setting.size(1 << 12, 1 << 17, 1 << 20)
    keys = inputs.rows(n + n // 2)
    receiver, sender = keys[:n], keys[n // 2 :]
    layout = Layout(n, n, security=security)

    def run() -> Any:
        parties = Parties(lambda channel: channel, lambda channel: channel, names=("receiver", "sender"))
        try:
            return parties.run(
                lambda channel: intersect_digests(channel, "receiver", receiver, layout, threads=1),
                lambda channel: intersect_digests(channel, "sender", sender, layout, threads=1),
            )[0]
        finally:
            parties.close()

    sent = sum(layout.vole_bytes(1)) + layout.receiver_bytes(broadcast=False) + layout.sender_bytes()
    return Work(
        n,
        run,
        lambda found: same("psi", np.sort(found), np.arange(n // 2, n)),
        bound=_limit(setting, layout),
        extra={"threads": 1, "security": security, "bits_an_item": 8 * sent / n},
    )


@SUITE.case("psi/vole/in memory, semi-honest", unit="rows")
def in_memory(setting: Setting) -> Work:
    return _in_memory(setting, "semi-honest")


@SUITE.case("psi/vole/in memory, malicious", unit="rows")
def in_memory_malicious(setting: Setting) -> Work:
    return _in_memory(setting, "malicious")


def _job(setting: Setting, protocol: str, peer_protocol: str, n: int) -> Work:
    """As a user runs it: two processes, mutual TLS over loopback, Parquet to Parquet; spu CSV to CSV in plain text."""
    folder = tempfile.TemporaryDirectory(prefix="crypsis-bench-")
    home = Path(folder.name)
    n_common = job_files(home, n)

    def check(found: dict[str, Any]) -> None:
        if found["intersection"] != n_common:
            raise WrongAnswer(f"psi: {found['intersection']} rows in common were found: there are {n_common}")

    def run() -> dict[str, Any]:
        found = run_job(home, protocol)
        check(found)
        return found

    if protocol == "ecdh":
        limit = setting.machine.by("curve25519", 4 * counts.LADDER, "four X25519 a row")
    else:
        limit = _limit(setting, Layout(n, n, n_outer=outer_bins(n)))
    return Work(
        n,
        run,
        check,
        [Peer(f"spu {peer_protocol}", SPU, f"{peer_protocol} {n} {n_common} {home}")],
        limit,
        extra={"threads": 1, "protocol": protocol, "both parties learn": "the rows in common"},
        seconds=lambda found: float(found["seconds"]),
        close=folder.cleanup,
    )


@SUITE.case("psi/vole/job of two processes", unit="rows", scales=("quick", "full"))
def job(setting: Setting) -> Work:
    return _job(setting, "vole", "rr22", setting.size(1 << 10, 1 << 16, 1 << 20))


@SUITE.case("psi/ecdh/job of two processes", unit="rows", scales=("full",))
def ecdh_job(setting: Setting) -> Work:
    return _job(setting, "ecdh", "ecdh", setting.size(1 << 10, 1 << 14, 1 << 18))
