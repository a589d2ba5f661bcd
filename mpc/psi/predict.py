# SPDX-License-Identifier: Apache-2.0
"""A job's stages, each with its time and what binds it: the model of `crypsis.mpc.psi.plan` with all its terms."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from crypsis.errors import ConfigError
from crypsis.mpc.data.gather_files import temporary_bytes
from crypsis.mpc.ot import silent_vole
from crypsis.mpc.psi.layout import MAX_ROWS, OUTER_ROWS, Layout, Security, Setting, outer_bins
from crypsis.mpc.psi.matching import tag_bytes
from crypsis.mpc.psi.memory import BASE_BYTES, READ_BYTES, Budget
from crypsis.mpc.psi.options import Protocol
from crypsis.mpc.psi.plan import ecdh_bytes, recommend, vole_bytes
from crypsis.mpc.psi.rates import Rates
from crypsis.mpc.psi.space import RESULT_BYTES, spilled_bytes

WIRE = 1.01
"""Bytes on the line for a byte of payload: frames, TLS records, TCP."""

WINDOW_BYTES = 16 << 20
"""Of a stream: so much is on the way at most, however long the line."""

CALIBRATED_COLUMNS = 4
"""Of the rows whose reading and writing `crypsis.mpc.psi.calibrate` times; more take in proportion."""

# The share of a stage's CPU time that one core does alone, whatever the others do: an average over its pieces.
_ALONE = {"check": 1.0, "read": 0.6, "exchange": 0.05, "output": 0.6, "ecdh": 0.02}


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job to predict. Rows are those with keys; `matched`: the share of the smaller party's rows that match.

    bandwidth: bits a second each way. latency: seconds of a round trip. cores: of each party, or, with `together`, of
    the one machine that both run on. row_bytes: of a row of the input files. columns:
    that are written to the output.
    """

    n_receiver: int
    n_sender: int
    bandwidth: int = 10**9
    latency: float = 0.001
    cores: int = 4
    together: bool = False
    protocol: Protocol | Literal["auto"] = "auto"
    security: Security = "semi-honest"
    setting: Setting = "fast"
    broadcast: bool = False
    align: bool = True
    matched: float = 0.5
    memory: int = 2 << 30
    bin_rows: int = OUTER_ROWS
    workers: int = 1
    row_bytes: float = 32.0
    columns: int = CALIBRATED_COLUMNS

    def __post_init__(self) -> None:
        for name, low, high in (
            ("n_receiver", 0, MAX_ROWS),
            ("n_sender", 0, MAX_ROWS),
            ("bandwidth", 1, 10**13),
            ("cores", 1, 4096),
            ("matched", 0, 1),
            ("latency", 0, 60),
            ("workers", 1, 64),
            ("row_bytes", 1, 1 << 20),
            ("columns", 1, 10_000),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"{name} is {value}: use {low} to {high}")
        if self.protocol == "ecdh" and self.security == "malicious":
            raise ConfigError("security is malicious, and protocol ecdh is semi-honest: use protocol vole")

    @property
    def aligned(self) -> bool:
        """Both parties write outputs that line up row by row."""
        return self.broadcast and self.align

    @property
    def budget(self) -> Budget:
        """How `memory` is divided."""
        threads = max(self.cores // (2 if self.together else 1), 1)
        each = max(threads // self.workers, 1)
        return Budget(memory=self.memory, gather=self.memory // 8, workers=self.workers, threads=each)

    @property
    def n_matched(self) -> int:
        """Keys in common, as assumed."""
        return round(self.matched * min(self.n_receiver, self.n_sender))


@dataclass(frozen=True)
class Stage:
    """Seconds of a stage and the resource that takes longest; `needs` has the seconds of each."""

    name: str
    needs: dict[str, float]

    @property
    def bound(self) -> str:
        """The resource that the stage waits for."""
        return max(self.needs, key=lambda name: self.needs[name])

    @property
    def seconds(self) -> float:
        """As long as that takes."""
        return self.needs[self.bound]


@dataclass(frozen=True)
class Estimate:
    """What a job will take. Bytes are payload; memory is of a party's processes, at most, where `allowed` is the job's;
    disk is that of a party's work directory, without the output."""

    protocol: Protocol
    why: str
    stages: list[Stage]
    receiver_sends: int
    sender_sends: int
    memory: tuple[int, int]
    disk: tuple[int, int]
    allowed: int
    layout: dict[str, int] = field(default_factory=dict)

    @property
    def fits(self) -> bool:
        """Whether the memory that the job may take does."""
        return max(self.memory) <= self.allowed

    @property
    def seconds(self) -> float:
        """Of the whole job."""
        return sum(stage.seconds for stage in self.stages)

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "protocol": self.protocol,
            "why": self.why,
            "seconds": round(self.seconds, 3),
            "stages": [
                {
                    "name": stage.name,
                    "seconds": round(stage.seconds, 3),
                    "bound_by": stage.bound,
                    "needs": {name: round(value, 3) for name, value in stage.needs.items()},
                }
                for stage in self.stages
            ],
            "payload_bytes": {"receiver_sends": self.receiver_sends, "sender_sends": self.sender_sends},
            "memory_bytes": {"receiver": self.memory[0], "sender": self.memory[1]},
            "fits_memory": self.fits,
            "disk_bytes": {"receiver": self.disk[0], "sender": self.disk[1]},
            "bins": self.layout,
        }


def predict(job: Job, rates: Rates) -> Estimate:
    """The estimate for `job` on machines of `rates`."""
    protocol, why = job.protocol, "as asked"
    if protocol == "auto":
        protocol, why = recommend(job.n_receiver, job.n_sender, job.bandwidth, job.security)
    return _vole(job, rates, why) if protocol == "vole" else _ecdh(job, rates, why)


def _vole(job: Job, rates: Rates, why: str) -> Estimate:
    n_r, n_s = job.n_receiver, job.n_sender
    n_outer = outer_bins(max(n_r, n_s), job.bin_rows)
    layout = Layout(n_r, n_s, n_outer, job.security, job.setting)
    sends = vole_bytes(
        layout,
        broadcast=job.broadcast,
        sessions=min(job.workers, n_outer),
        n_counted=job.n_matched if job.aligned else 0,
    )
    n_voles = layout.n_outer * layout.n_voles
    work = [ns * rates.glue for ns in vole_work(layout, n_r, n_s, rates)]
    rounds = math.ceil(n_voles / silent_vole.usable_outputs(layout.parameters))
    refills = math.ceil(rounds / silent_vole.ROUNDS_A_REFILL)
    needs = _cores(job, "exchange", *(w + sum(sends) / rates.tls_gb for w in work))
    needs |= _line(job, *sends) | {"disk": 16 * max(n_r, n_s) / rates.disk_read_mb / 1e6}
    needs["latency"] = job.latency * (6 + 2 * refills / min(job.workers, n_outer))
    read = _cores(job, "read", *(n * (rates.digest + rates.spill) for n in (n_r, n_s)))
    read["disk"] = (n_r + n_s if job.together else max(n_r, n_s)) * 16 / rates.disk_write_mb / 1e6
    stages = [
        _check(job, rates),
        Stage("read, hash, spill", read),
        Stage("start", {"set-up": rates.start + 4 * job.latency}),
        Stage("exchange bins", needs),
        _output(job, rates),
    ]
    disk = [spilled_bytes(n) for n in (n_r, n_s)]
    if job.aligned:  # the bins have gone by then
        ordered = temporary_bytes(job.n_matched, job.row_bytes, job.budget.gather)
        disk = [max(n, RESULT_BYTES * job.n_matched + ordered) for n in disk]
    writes = (True, job.broadcast)
    memory = [job.budget.peak_bytes(layout, n, writes=w) for n, w in zip((n_r, n_s), writes, strict=True)]
    return Estimate(
        "vole",
        why,
        stages,
        sends[0],
        sends[1],
        (memory[0], memory[1]),
        (disk[0], disk[1]),
        job.memory,
        {
            "outer": n_outer,
            "inner_each": layout.inner,
            "field_bits": layout.field,
            "table_columns": layout.table.columns,
            "receiver_bound": layout.receiver_bound,
            "sender_bound": layout.sender_bound,
            "tag_bytes": layout.tag_bytes,
        },
    )


def vole_work(
    layout: Layout, n_receiver: int, n_sender: int, rates: Rates, *, load: bool = True
) -> tuple[float, float]:
    """Nanoseconds of CPU time of the kernels at (receiver, sender), on one core each; `load`: with reading the bins."""
    n_voles = layout.n_outer * layout.n_voles
    padded = layout.n_bins * layout.sender_bound
    if layout.field == 64:
        voles = rates.vole_receiver_64, rates.vole_sender_64
        encode, decode, multiply = rates.encode_64, rates.decode_64, rates.multiply_64
    else:
        voles = rates.vole_receiver, rates.vole_sender
        encode, decode, multiply = rates.encode, rates.decode, rates.multiply
    tag = rates.blake3 if layout.security == "malicious" else rates.tag
    own = (rates.load if load else 0.0) + decode + tag
    return (
        n_voles * voles[0] + n_receiver * (own + encode) + padded * rates.match,
        n_voles * (voles[1] + multiply) + n_sender * (own + multiply) + padded * rates.sort,
    )


def _ecdh(job: Job, rates: Rates, why: str) -> Estimate:
    n_r, n_s = job.n_receiver, job.n_sender
    sends = ecdh_bytes(
        n_r, n_s, n_told=job.n_matched if job.broadcast else 0, n_counted=job.n_matched if job.aligned else 0
    )
    receiver = n_r * rates.ecdh_own + n_s * rates.ecdh_peer + (n_r + n_s) * rates.ecdh_match
    sender = n_s * rates.ecdh_own + n_r * rates.ecdh_peer
    needs = _cores(job, "ecdh", *(w + sum(sends) / rates.tls_gb for w in (receiver, sender))) | _line(
        job, *sends
    )
    stages = [
        _check(job, rates),
        Stage("read, hash, group", _cores(job, "read", *(n * (rates.digest + 250) for n in (n_r, n_s)))),
        Stage("start", {"set-up": 0.1 + 4 * job.latency}),
        Stage("exchange", needs),
        _output(job, rates),
    ]
    # Digests, row ids and starts, a permutation; tags of both at the receiver.
    own = [BASE_BYTES + READ_BYTES + 44 * n for n in (n_r, n_s)]
    own[0] += (12 if tag_bytes(n_r, n_s) <= 12 else 16) * (n_r + n_s)
    memory = (
        max(own[0], job.budget.write_bytes(n_r)),
        max(own[1], job.budget.write_bytes(n_s) if job.broadcast else 0),
    )
    return Estimate("ecdh", why, stages, sends[0], sends[1], memory, (0, 0), job.memory)


def _check(job: Job, rates: Rates) -> Stage:
    n_bytes = [n * job.row_bytes for n in (job.n_receiver, job.n_sender)]
    needs = _cores(job, "check", *(n / rates.check_gb for n in n_bytes))
    needs["disk"] = (sum(n_bytes) if job.together else max(n_bytes)) / rates.disk_read_mb / 1e6
    return Stage("check the input", needs)


def _output(job: Job, rates: Rates) -> Stage:
    width = max(job.columns, 1.5) / CALIBRATED_COLUMNS  # a lone column has its overhead too
    each = width * (rates.output_aligned if job.aligned else rates.output)
    scan = width * rates.scan
    writes = [job.n_matched * each, job.n_matched * each if job.broadcast else 0.0]
    reads = [job.n_receiver * scan, job.n_sender * scan if job.broadcast else 0.0]
    needs = _cores(job, "output", writes[0] + reads[0], writes[1] + reads[1])
    parties = 2 if job.together and job.broadcast else 1
    needs["disk"] = parties * job.n_matched * job.row_bytes / rates.disk_write_mb / 1e6
    return Stage("write output", needs)


def _cores(job: Job, kind: str, receiver: float, sender: float) -> dict[str, float]:
    """Seconds of nanoseconds of CPU at each party."""
    alone = _ALONE[kind]
    if job.together:
        return {"cores": max((receiver + sender) / job.cores, max(receiver, sender) * alone) / 1e9}
    return {
        "receiver's cores": receiver * max(1 / job.cores, alone) / 1e9,
        "sender's cores": sender * max(1 / job.cores, alone) / 1e9,
    }


def _line(job: Job, receiver_sends: int, sender_sends: int) -> dict[str, float]:
    """Seconds of each direction; a window a round trip is the most that gets through."""
    rate = job.bandwidth / 8
    if job.latency:
        rate = min(rate, WINDOW_BYTES / job.latency)
    return {"line to sender": WIRE * receiver_sends / rate, "line to receiver": WIRE * sender_sends / rate}
