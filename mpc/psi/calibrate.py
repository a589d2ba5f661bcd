# SPDX-License-Identifier: Apache-2.0
"""Measures the `Rates` of this machine: each stage of a job by the functions that the job itself calls, on one core.

Kernels are timed by the CPU time of this process, so that others on the machine disturb little; disk and line by the
clock. Sizes are those of a bin. The whole takes well below a minute on an idle core.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import aes, bitmatrix, curve25519, hashing, okvs, partition
from crypsis.mpc.data import KeySpec
from crypsis.mpc.ot.silent_vole import (
    ROUNDS_A_REFILL,
    SilentVoleReceiver,
    SilentVoleSender,
    usable_outputs,
)
from crypsis.mpc.ot.softspoken import SoftSpokenReceiver, SoftSpokenSender
from crypsis.mpc.psi import ecdh
from crypsis.mpc.psi.calibrate_files import best, disk, files, random_bytes
from crypsis.mpc.psi.layout import OT_K, Layout
from crypsis.mpc.psi.matching import TagSet, match
from crypsis.mpc.psi.options import PsiOptions, Role
from crypsis.mpc.psi.predict import vole_work
from crypsis.mpc.psi.rates import Rates
from crypsis.mpc.psi.vole import intersect_digests
from crypsis.mpc.transport import Channel
from crypsis.mpc.transport.memory import memory_pair

Bytes = npt.NDArray[np.uint8]
Say = Callable[[str], None]

_ROWS = 1 << 20
_BINS = 4  # inner bins a kernel is timed on
_LINE_BYTES = 128 << 20
_DISK_BYTES = 256 << 20
_LINE_MESSAGE = 1 << 20
_SESSION = b"crypsis bench calibrate"


def measure(
    folder: str, *, rows: int = _ROWS, disk_bytes: int = _DISK_BYTES, say: Say | None = None
) -> Rates:
    """All rates, with temporary files in `folder` (on the disk that jobs will use). `rows`: fewer for a rough answer,
    at least 2^14. `say` is told what is being measured."""
    told = say or (lambda what: None)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=folder, prefix="crypsis-calibrate-") as name:
        place = Path(name)
        told("disk")
        found |= disk(place, disk_bytes)
        told("read, hash, spill")
        found |= files(place, rows)
        told("line")
        found["tls_gb"] = _line(place, max(rows * 64, 8 << 20))
    told("curve25519")
    found |= _curve(max(rows >> 7, 512))
    told("tables, tags")
    layout = Layout(rows, rows)
    found |= _tables(layout, min(_BINS, layout.inner))
    for field in (128, 64):
        told(f"VOLE in GF(2^{field})")
        found |= _voles(field)
    told("a whole exchange")
    found |= _exchange(Rates(**found), rows)
    return Rates(**found)


def _line(place: Path, n_bytes: int) -> float:
    """GB/s of CPU time of one end of a channel over loopback mutual TLS."""
    from crypsis.mpc.transport import TlsFiles, open_channel
    from crypsis.mpc.transport.certs import make_development_certificates
    from crypsis.mpc.transport.ports import free_port

    certificates = make_development_certificates(place / "certificates", ["alice", "bob"])
    address = f"127.0.0.1:{free_port()}"
    message = secrets.token_bytes(_LINE_MESSAGE)
    count = max(n_bytes // len(message), 1)
    used = 0.0

    def end(party: str, peer: str) -> None:
        nonlocal used
        tls: TlsFiles = certificates[party]
        listen, connect = (address, None) if party == "alice" else (None, address)
        channel = open_channel(party=party, peer=peer, tls=tls, listen=listen, connect=connect)
        if party == "alice":
            begin = time.process_time()
            for _ in range(count):
                channel.recv(1)
            used = time.process_time() - begin
        else:
            for _ in range(count):
                channel.send(1, message)
        channel.close()

    _both(lambda: end("alice", "bob"), lambda: end("bob", "alice"))
    return 2 * count * len(message) / max(used, 1e-6) / 1e9


def _curve(n: int) -> dict[str, float]:
    options = PsiOptions(role="receiver", keys=(KeySpec("id"),), threads=1)
    scalar = curve25519.random_scalar()
    digests = random_bytes(n, 16)
    points = ecdh.hash_to_points(digests, options)
    found = best("ecdh_peer", n, lambda: curve25519.scalar_mult(scalar, points, threads=1))
    mapped = best("map", n, lambda: ecdh.hash_to_points(digests, options))["map"]
    many = 128 * n
    tags = [TagSet(many, 12), TagSet(many, 12)]
    for one in tags:
        one.append(random_bytes(many, 12))
    matched = best("ecdh_match", 2 * many, lambda: match(*tags), times=1)
    return found | matched | {"ecdh_own": found["ecdh_peer"] + mapped}


def _tables(layout: Layout, n_bins: int) -> dict[str, float]:
    """What is done with keys, tables and tags, in `n_bins` inner bins that are as full as they are on average."""
    n = n_bins * layout.n_receiver // layout.inner
    keys, _, starts = partition.by_bin(random_bytes(n, 16), n_bins, threads=1)
    found: dict[str, float] = {}
    for field in (128, 64):
        largest = max(int(np.diff(starts).max()), layout.receiver_bound)
        found |= _table(keys, starts, okvs.parameters(largest, n_bins, field=field))
    decoded = random_bytes(n, 16)
    found |= best("tag", n, lambda: np.ascontiguousarray(aes.mmo(decoded, threads=1)[:, : layout.tag_bytes]))
    found |= best("blake3", n, lambda: _hash(keys, decoded))
    tags = random_bytes(n, layout.tag_bytes)
    in_order, _ = partition.sort_tags(tags, starts, threads=1)
    found |= best("sort", n, lambda: partition.sort_tags(tags, starts, threads=1))
    return found | best("match", n, lambda: partition.match(tags, starts, in_order, starts, threads=1))


def _table(keys: Bytes, starts: npt.NDArray[np.uint64], table: okvs.Parameters) -> dict[str, float]:
    n, n_bins, width = len(keys), len(starts) - 1, table.value_bytes
    suffix = "_64" if table.field == 64 else ""
    seed = secrets.token_bytes(16)
    fill = random_bytes(n_bins, table.columns, width)
    pairs = random_bytes(n_bins, table.columns, 16)
    out, decoded = np.empty_like(fill), np.empty((n, 16), np.uint8)
    delta = random_bytes(16)
    multiply = bitmatrix.gf64_multiply if table.field == 64 else bitmatrix.gf128_multiply

    def encode() -> None:
        values = np.ascontiguousarray(aes.mmo(keys, threads=1)[:, :width])
        okvs.encode(keys, starts, values, table, seed=seed, fill=fill, out=out, threads=1)

    def decode() -> None:
        okvs.decode(keys, starts, pairs, table, seed=seed, out=decoded, threads=1)

    flat = fill.reshape(-1, width)
    return (
        best(f"encode{suffix}", n, encode)
        | best(f"decode{suffix}", n, decode)
        | best(f"multiply{suffix}", len(flat), lambda: multiply(flat, delta, threads=1))
    )


def _hash(keys: Bytes, decoded: Bytes) -> None:
    hashing.blake3(keys, digest_size=16, threads=1)
    hashing.blake3(np.concatenate([decoded, keys], axis=1), digest_size=16, threads=1)


def _voles(field: int) -> dict[str, float]:
    """A refill's worth of VOLEs at either party; set-up not counted."""
    left, right = memory_pair()
    suffix = "" if field == 128 else "_64"
    layout = Layout(1, 1)
    n = ROUNDS_A_REFILL * usable_outputs(layout.parameters)
    found: dict[str, float] = {}

    def take(source: Any, name: str) -> None:
        for _ in source.blocks(1 << layout.parameters.log_outputs):  # the set-up
            pass
        begin = time.thread_time()
        for _ in source.blocks(n):
            pass
        found[name + suffix] = (time.thread_time() - begin) / n * 1e9

    def receive() -> None:
        base = SoftSpokenReceiver(left, session=_SESSION, k=OT_K, security="semi-honest", stream=1, threads=1)
        with closing(base), closing(_source(SilentVoleReceiver, left, base, layout, field)) as source:
            take(source, "vole_receiver")
        left.close()

    def send() -> None:
        base = SoftSpokenSender(right, session=_SESSION, k=OT_K, security="semi-honest", stream=1, threads=1)
        with closing(base), closing(_source(SilentVoleSender, right, base, layout, field)) as source:
            take(source, "vole_sender")
        right.close()

    _both(receive, send)
    return found


def _source(kind: Any, channel: Any, base: Any, layout: Layout, field: int) -> Any:
    return kind(
        channel, base, session=_SESSION, parameters=layout.parameters, stream=1, threads=1, field=field
    )


def _exchange(rates: Rates, rows: int) -> dict[str, float]:
    """A whole exchange in this process: its CPU time over that of its kernels, and how long it takes to get going."""
    digests = random_bytes(rows + rows // 2, 16)
    found: dict[str, float] = {}
    for name, n in (("start", 1000), ("glue", rows)):
        layout = Layout(n, n)
        left, right = memory_pair()

        def run(channel: Channel, role: Role, first: int, layout: Layout = layout, n: int = n) -> None:
            intersect_digests(channel, role, digests[first : first + n], layout, threads=1)
            channel.close()

        begin, used = time.perf_counter(), time.process_time()
        _both(partial(run, left, "receiver", 0), partial(run, right, "sender", n // 2))
        if name == "start":
            found[name] = time.perf_counter() - begin
            small = time.process_time() - used
        else:
            kernels = sum(vole_work(layout, n, n, rates, load=False)) / 1e9
            found[name] = max((time.process_time() - used - small) / kernels, 0.5)
    return found


def _both(left: Callable[[], Any], right: Callable[[], Any]) -> None:
    """Runs the two parties; raises the first error of either."""
    with ThreadPoolExecutor(2, thread_name_prefix="crypsis-calibrate") as pool:
        futures = [pool.submit(left), pool.submit(right)]
        for future in futures:
            future.result()
