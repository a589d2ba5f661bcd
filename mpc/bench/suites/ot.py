# SPDX-License-Identifier: Apache-2.0
"""Oblivious transfers and VOLE: both parties in this process, a thread each, on one core; set-up and base OTs done."""

from __future__ import annotations

from typing import Any

import numpy as np

from crypsis import bitmatrix, vole
from crypsis.mpc.bench import counts
from crypsis.mpc.bench.limits import least
from crypsis.mpc.bench.parties import Parties
from crypsis.mpc.bench.rows import Limit
from crypsis.mpc.bench.suite import Setting, Suite, Work, WrongAnswer, same
from crypsis.mpc.ot import ferret, silent_vole
from crypsis.mpc.ot.correlation import MALICIOUS, SEMI_HONEST
from crypsis.mpc.ot.softspoken import SoftSpokenReceiver, SoftSpokenSender, extension_bytes

SUITE = Suite("ot", "both parties in one process on one core, buffers warm")
K = 4


def collect(n: int) -> Any:
    """Copies of n outputs, and the sender's Delta: a task for `Parties`."""

    def task(party: Any) -> Any:
        if hasattr(party, "delta"):
            return np.concatenate([block.copy() for block in party.blocks(n)]), party.delta
        return [(first.copy(), second.copy(), len(second)) for first, second in party.blocks(n)]

    return task


def count(n: int) -> Any:
    """Takes n outputs and looks at none."""

    def task(party: Any) -> int:
        return sum(len(piece[1] if isinstance(piece, tuple) else piece) for piece in party.blocks(n))

    return task


def check_correlated(parties: Parties, n: int) -> None:
    """WrongAnswer where t = q ^ c Delta does not hold for all n."""
    (q, delta), pieces = parties.run(collect(n))
    at = 0
    for bits, t, length in pieces:
        c = np.unpackbits(bits, count=length, bitorder="little")
        same("ot", t, q[at : at + length] ^ (0 - c)[:, None] & delta)
        at += length
    if at != n:
        raise WrongAnswer(f"ot: {at} outputs where {n} were asked for")


def _work(parties: Parties, n: int, bound: Limit | str, extra: dict[str, Any]) -> Work:
    def check(found: Any) -> None:
        if found != (n, n):
            raise WrongAnswer(f"ot: the parties have {found} outputs where {n} were asked for")

    return Work(
        n,
        lambda: parties.run(count(n)),
        check,
        bound=bound,
        extra={"threads": 1} | extra,
        close=parties.close,
    )


def _softspoken(setting: Setting, security: str) -> Work:
    n = setting.size(1 << 14, 1 << 20, 1 << 22)
    session = b"crypsis bench"
    parties = Parties(
        lambda channel: SoftSpokenSender(channel, session=session, k=K, security=security, threads=1),
        lambda channel: SoftSpokenReceiver(channel, session=session, k=K, security=security, threads=1),
    )
    check_correlated(parties, min(n, 1 << 16))
    blocks = sum((2 << depth) - 1 for depth in vole.tree_depths(K)) / 128
    limit = setting.machine.by_aes(blocks, "the trees of both parties")
    return _work(parties, n, limit, {"bytes_an_ot": extension_bytes(n, K, security) / n})


@SUITE.case("ot/SoftSpoken k = 4, correlated, semi-honest", unit="OTs")
def softspoken(setting: Setting) -> Work:
    return _softspoken(setting, SEMI_HONEST)


@SUITE.case("ot/SoftSpoken k = 4, correlated, malicious", unit="OTs")
def softspoken_malicious(setting: Setting) -> Work:
    return _softspoken(setting, MALICIOUS)


@SUITE.case("ot/Ferret, correlated, semi-honest", unit="OTs")
def silent_ot(setting: Setting) -> Work:
    n, parameters, security = setting.size(1 << 14, 1 << 21, 1 << 23), ferret.B10, SEMI_HONEST

    def sender(channel: Any) -> Any:
        base = SoftSpokenSender(
            channel, session=b"base", security=security, delta=ferret.odd_delta(), threads=1
        )
        return ferret.FerretSender(channel, base, session=b"bench", parameters=parameters, threads=1)

    def receiver(channel: Any) -> Any:
        base = SoftSpokenReceiver(channel, session=b"base", security=security, threads=1)
        return ferret.FerretReceiver(channel, base, session=b"bench", parameters=parameters, threads=1)

    parties = Parties(sender, receiver)
    check_correlated(parties, min(n, 1 << 18))
    machine = setting.machine
    limit = least(
        machine.by_reads(20, parameters.log_table, "both parties"),
        machine.by_aes(4.5, "both parties"),  # two a leaf of the trees, and the code's places
    )
    sent = sum(ferret.session_bytes(n, parameters, security)) / n
    return _work(parties, n, limit, {"bytes_an_ot": sent})


@SUITE.case("vole/silent, GF(2^128), semi-honest", unit="VOLEs")
def silent(setting: Setting) -> Work:
    n, security = setting.size(1 << 14, 1 << 19, 1 << 22), SEMI_HONEST
    parameters = silent_vole.DualParameters(log_outputs=16, weight=7)

    def sender(channel: Any) -> Any:
        base = SoftSpokenSender(
            channel, session=b"base", security=security, delta=ferret.odd_delta(), threads=1
        )
        return silent_vole.SilentVoleSender(
            channel, base, session=b"bench", parameters=parameters, threads=1, field=128
        )

    def receiver(channel: Any) -> Any:
        base = SoftSpokenReceiver(channel, session=b"base", security=security, threads=1)
        return silent_vole.SilentVoleReceiver(
            channel, base, session=b"bench", parameters=parameters, threads=1, field=128
        )

    parties = Parties(sender, receiver)
    (v, delta), pieces = parties.run(collect(min(n, 1 << 16)))
    u, w = (np.concatenate([piece[i] for piece in pieces]) for i in (0, 1))
    same("vole", w, v ^ bitmatrix.gf128_multiply(u, delta))
    machine, what = setting.machine, "both parties, without the convolution's steps"
    limit = least(machine.by_reads(counts.VOLE_READS, 17, what), machine.by_aes(counts.VOLE_BLOCKS, what))
    sent = sum(silent_vole.session_bytes(n, parameters, security)) / n
    return _work(parties, n, limit, {"bytes_a_vole": sent})
