# SPDX-License-Identifier: Apache-2.0
"""Rates of the units of a multiprocessor: kernels/microbench, its answers computed again with NumPy.

A rate is lane operations a clock of one multiprocessor: one block of full warps on each, operations of the block over
the clocks from its first warp's begin to its last one's end, by the multiprocessor's own counter.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.gpu.timing import events
from crypsis.cuda import Device
from crypsis.cuda._tuning import block_of

SLUG = "microbench"
CHAINS, TURNS, ROW, ROWS, TABLE = 8, 16, 32, 8, 2048  # as in microbench.cu
U32 = np.uint32
Words = npt.NDArray[np.uint32]
State = npt.NDArray[Any]

OPERANDS = np.array(
    [
        0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0, 0x082EFA98, 0xEC4E6C89,
        0x9E3779B1, 0x7F4A7C15, 0xFFFFFFF1, 7, 1, 5, 0x38D01377, 0xBE5466CF,
    ],
    U32,
)  # fmt: skip
"""[0:8] where chains begin; then m, c, m of the high half, the shift, one, the step of the table."""


class WrongAnswer(Exception):
    """A device and the CPU do not agree."""


@dataclass(frozen=True)
class Unit:
    """One kernel: the instruction that it is about, and how often each thread executes that in a round of the loop."""

    name: str
    instruction: str
    per_round: int
    what: str
    expect: Callable[[npt.NDArray[np.int64], int], Words]
    other: str = ""
    """A second instruction, as often as the first."""

    @property
    def threads(self) -> int:
        """Of a block."""
        return block_of(SLUG, self.name)


def first(t: npt.NDArray[np.int64], chain: int) -> Words:
    return OPERANDS[chain] + t.astype(U32) * U32(0x9E3779B9)


def _chains(t: npt.NDArray[np.int64], n: int = CHAINS, start: int = 0) -> list[Words]:
    return [first(t, start + j) for j in range(n)]


def _pairs(t: npt.NDArray[np.int64], n: int) -> list[State]:
    lows = [first(t, j).astype(np.uint64) for j in range(n)]
    return [(~low << np.uint64(32)) | low for low in lows]


def _xor(parts: list[State]) -> State:
    total = parts[0].copy()
    for part in parts[1:]:
        total ^= part
    return total


def _fold(wide: State) -> Words:
    return (wide ^ (wide >> np.uint64(32))).astype(U32)


def _simple(step: Callable[[list[Words], int], Words]) -> Callable[[npt.NDArray[np.int64], int], Words]:
    def expect(t: npt.NDArray[np.int64], rounds: int) -> Words:
        x = _chains(t)
        for _ in range(rounds * TURNS):
            for j in range(CHAINS):
                x[j] = step(x, j)
        return _xor(x)

    return expect


def _high(x: Words, m: Words) -> Words:
    return ((x.astype(np.uint64) * np.uint64(m)) >> np.uint64(32)).astype(U32)


def _step_wide(x: list[State]) -> None:
    mask, m = np.uint64(0xFFFFFFFF), np.uint64(OPERANDS[8])
    for j in range(len(x)):
        x[j] = (x[(j + 1) % len(x)] & mask) * m + x[j]


def _step_add(y: list[Words]) -> None:
    for j in range(len(y)):
        y[j] = y[j] + y[(j + 1) % len(y)] + OPERANDS[9]


def _step_fma(d: list[State]) -> None:
    for j in range(len(d)):
        d[j] = d[j] * -1.0 + float(OPERANDS[9])  # exact: integers far below 2^53


def _expect_wide(t: npt.NDArray[np.int64], rounds: int) -> Words:
    x = _pairs(t, CHAINS)
    for _ in range(rounds * TURNS):
        _step_wide(x)
    return _fold(_xor(x))


def _expect_dfma(t: npt.NDArray[np.int64], rounds: int) -> Words:
    d = [x.astype(np.float64) for x in _chains(t)]
    for _ in range(rounds * TURNS):
        _step_fma(d)
    return sum(d).astype(np.int64).astype(U32)  # type: ignore[union-attr]


def _expect_wide_dfma(t: npt.NDArray[np.int64], rounds: int) -> Words:
    x = _pairs(t, CHAINS // 2)
    d = [y.astype(np.float64) for y in _chains(t, CHAINS // 2, CHAINS // 2)]
    for _ in range(rounds * TURNS):
        _step_wide(x)
        _step_fma(d)
    return _fold(_xor([*x, *(y.astype(np.int64).astype(np.uint64) for y in d)]))


def _expect_wide_iadd3(t: npt.NDArray[np.int64], rounds: int) -> Words:
    x, y = _pairs(t, CHAINS // 2), _chains(t, CHAINS // 2, CHAINS // 2)
    for _ in range(rounds * TURNS):
        _step_wide(x)
        _step_add(y)
    return _fold(_xor([*x, *(part.astype(np.uint64) for part in y)]))


def _expect_wide_chain(t: npt.NDArray[np.int64], rounds: int) -> Words:
    """With Python's integers: the accumulators are numbers of 32 limbs."""
    top = (1 << (32 * ROW)) - 1
    b = [(int(OPERANDS[j % 8]) + j) % 2**32 for j in range(ROW)]
    spread = [sum(b[j + odd] << (32 * j) for j in range(0, ROW, 2)) for odd in (0, 1)]
    out = np.empty(len(t), U32)
    for i, thread in enumerate(t):
        starts = [int(first(np.array([thread]), j)[0]) for j in range(8)]
        even = sum((starts[j % 8] * (j + 1) % 2**32) << (32 * j) for j in range(ROW))
        odd, carry = even ^ top, 0
        for _ in range(rounds * ROWS):
            m = odd & 0xFFFFFFFF
            odd += spread[1] * m
            even += spread[0] * m
            carry += (odd >> (32 * ROW)) + (even >> (32 * ROW))
            odd, even = odd & top, even & top
        total = carry
        for j in range(ROW):
            total ^= (even >> (32 * j)) ^ ((odd >> (32 * j)) << 1)
        out[i] = total & 0xFFFFFFFF
    return out


def _expect_shfl(t: npt.NDArray[np.int64], rounds: int) -> Words:
    from_thread = t // 32 * 32 + (t + rounds * TURNS) % 32
    return _xor([x + U32(j) for j, x in enumerate(_chains(from_thread))])


def _expect_lds(t: npt.NDArray[np.int64], rounds: int) -> Words:
    block_thread, lane = t % block_of(SLUG, "lds"), t % 32
    i = np.arange(TABLE)
    table = ((i // 32 * int(OPERANDS[13]) + 1) * 32 + i % 32) % TABLE * 4
    total = np.zeros(len(t), U32)
    for j in range(CHAINS):
        x = ((block_thread // 32 * 8 + j) * 32 % TABLE + lane) * 4
        for _ in range(rounds * TURNS):
            x = table[x // 4]
        total = total * U32(31) + x.astype(U32)
    return total


EACH = CHAINS * TURNS
UNITS = (
    Unit("wide", "IMAD.WIDE", EACH, "32 x 32 + 64 bits", _expect_wide),
    Unit(
        "wide_chain",
        "IMAD.WIDE",
        ROW * ROWS,
        "rows of big integers, .X with MOV between",
        _expect_wide_chain,
    ),
    Unit(
        "imad",
        "IMAD",
        EACH,
        "32 x 32 + 32 bits, low half",
        _simple(lambda x, j: x[j] * OPERANDS[8] + OPERANDS[9]),
    ),
    Unit("imad_hi", "IMAD.HI", EACH, "32 x 32, high half", _simple(lambda x, j: _high(x[j], OPERANDS[10]))),
    Unit(
        "iadd3",
        "IADD3",
        EACH,
        "three addends",
        _simple(lambda x, j: x[j] + x[(j + 1) % CHAINS] + OPERANDS[9]),
    ),
    Unit(
        "lop3",
        "LOP3",
        EACH,
        "three operands",
        _simple(lambda x, j: x[j] ^ (x[(j + 1) % CHAINS] & ~x[(j + 2) % CHAINS])),
    ),
    Unit(
        "shf",
        "SHF",
        EACH,
        "funnel shift",
        _simple(lambda x, j: (x[(j + 1) % CHAINS] << OPERANDS[11]) | (x[j] >> (U32(32) - OPERANDS[11]))),
    ),
    Unit("dfma", "DFMA", EACH, "double precision multiply-add", _expect_dfma),
    Unit("wide_dfma", "IMAD.WIDE", EACH // 2, "beside as many DFMA", _expect_wide_dfma, other="DFMA"),
    Unit("wide_iadd3", "IMAD.WIDE", EACH // 2, "beside as many IADD3", _expect_wide_iadd3, other="IADD3"),
    Unit("shfl", "SHFL", EACH, "32 bits a lane, any lane", _expect_shfl),
    Unit("lds", "LDS", EACH, "4 bytes a lane, no bank conflicts, dependent", _expect_lds),
)


def launch(
    device: Device, unit: Unit, out: Any, clocks: Any, operands: Any, rounds: int, blocks: int
) -> None:
    args = [out, clocks, operands, np.uint32(rounds)]
    device.launch(SLUG, unit.name, grid=blocks, block=unit.threads, args=args)


def check(device: Device, unit: Unit, *, blocks: int = 1, rounds: int = 2) -> int:
    """Launches and compares every thread's result; how many. WrongAnswer names the first that differs."""
    threads = blocks * unit.threads
    out, clocks = device.empty(threads, np.uint32), device.empty((threads // 32, 2), np.uint64)
    launch(device, unit, out, clocks, device.from_host(OPERANDS), rounds, blocks)
    got, t = device.to_host(out), np.arange(threads)
    if unit.name == "wide_chain":  # slow to compute again
        t = t[:: max(1, threads // 64)]
    wanted = unit.expect(t, rounds)
    wrong = np.flatnonzero(got[t] != wanted)
    if len(wrong):
        raise WrongAnswer(
            f"microbench/{unit.name}: thread {t[wrong[0]]} has {got[t[wrong[0]]]:#x}, not {wanted[wrong[0]]:#x}"
        )
    return len(t)


def measure(device: Device, unit: Unit, *, rounds: int = 2048, launches: int = 5) -> dict[str, Any]:
    """The row of a unit: lane operations a clock of a multiprocessor, over `launches` launches."""
    checked = check(device, unit)
    blocks = device.n_multiprocessors
    warps = unit.threads // 32
    out = device.empty(blocks * unit.threads, np.uint32)
    clocks = device.empty((blocks * warps, 2), np.uint64)
    operands = device.from_host(OPERANDS)
    timer = events(device)
    rates, hertz = [], []
    for i in range(launches + 1):
        seconds = timer(lambda: launch(device, unit, out, clocks, operands, rounds, blocks))
        seen = device.to_host(clocks).reshape(blocks, warps, 2).astype(np.int64)
        taken = seen[:, :, 1].max(axis=1) - seen[:, :, 0].min(axis=1)
        if i and taken.max() > 0:  # the first one warms up
            rates.append(unit.threads * rounds * unit.per_round / float(np.median(taken)))
            hertz.append(float(np.median(taken)) / seconds)
    middle = statistics.median(rates) if rates else None
    return {
        "name": f"unit/{unit.name}",
        "instruction": unit.instruction + (f" + {unit.other}" if unit.other else ""),
        "what": unit.what,
        "per_clock_per_sm": middle,
        "lowest": min(rates, default=None),
        "highest": max(rates, default=None),
        "rounds": len(rates),
        "clock_mhz_by_counter": statistics.median(hertz) / 1e6 if hertz else None,
        "checked": checked,
    }
