# SPDX-License-Identifier: Apache-2.0
"""Runs the PTX of a simple kernel in Python, an instruction at a time, as the PTX ISA defines them.

The shim takes the portable bodies of common/arith.cuh; this takes what nvcc makes of the others, with the carry flag
as the one register it is, so a chain that something comes between gives a wrong sum here as on a device. For kernels
of independent threads without shared memory; an instruction that is not known raises.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crypsis.cuda._source import inline_includes

_ENTRY = re.compile(r"\.visible \.entry (\w+)\((.*?)\)[^{]*\{(.*?)\n\}", re.DOTALL)
_OPERAND = re.compile(r"\[[^\]]*\]|[^,\s]+")
MAX_STEPS = 100_000


def compile_ptx(path: Path, defines: Mapping[str, int | str], architecture: str = "sm_90") -> str:
    """The PTX that nvcc makes of a kernel file.

    Raises:
        FileNotFoundError: no nvcc.
        subprocess.CalledProcessError: the source does not compile.
    """
    if shutil.which("nvcc") is None:
        raise FileNotFoundError("no nvcc: install the CUDA 13.0 toolkit")
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "kernel.cu", Path(folder) / "kernel.ptx"
        source.write_text(inline_includes(path))
        macros = [f"-D{name}={value}" for name, value in defines.items()]
        command = [
            "nvcc",
            "-ptx",
            "-std=c++17",
            f"-arch={architecture}",
            *macros,
            str(source),
            "-o",
            str(target),
        ]
        subprocess.run(command, check=True, capture_output=True)
        return target.read_text()


@dataclass(frozen=True)
class Instruction:
    """`@!%p1 add.cc.u32 %r1, %r2, 7;`"""

    guard: str
    name: str
    flags: tuple[str, ...]  # between the name and the type
    kind: str  # the type: u32, s64, b32, pred
    operands: tuple[str, ...]

    @property
    def bits(self) -> int:
        return int(self.kind[1:])


@dataclass
class Thread:
    """The registers of one thread, its carry flag, and the memory that all share."""

    registers: dict[str, int]
    memory: Mapping[int, np.ndarray]  # base address -> the bytes of an array
    carry: int = 0

    def value(self, operand: str) -> int:
        if re.fullmatch(r"-?\d+|0[xX][0-9a-fA-F]+", operand):
            return int(operand, 0)
        return self.registers[operand]

    def bytes_at(self, operand: str, size: int) -> np.ndarray:
        """The `size` bytes that "[%rd1+16]" names; an IndexError outside the arrays."""
        name, _, offset = operand[1:-1].partition("+")
        address = self.registers[name] + int(offset or "0", 0)
        array, begin = self.memory[address >> 40 << 40], address & ((1 << 40) - 1)
        if begin % size or begin + size > array.size:
            raise IndexError(f"{operand}: {size} bytes at offset {begin} of {array.size}")
        return array[begin : begin + size]


class Kernel:
    """One entry of a PTX text, ready to run."""

    def __init__(self, ptx: str, name: str) -> None:
        found = {entry[0]: entry for entry in _ENTRY.findall(ptx)}
        _, parameters, body = found[name]
        self.parameters = re.findall(r"(\w+)(?:,|\s*$)", parameters.strip())
        self.program: list[Instruction] = []
        self.labels: dict[str, int] = {}
        for line in body.splitlines():
            text = line.split("//")[0].strip().rstrip(";")
            if text.endswith(":"):
                self.labels[text[:-1]] = len(self.program)
            elif text and text[0] not in "{}." and not text.startswith("//"):
                self.program.append(_parse(text))

    def run(self, grid: int, block: int, args: Sequence[object]) -> None:
        """Each thread from begin to end; arrays are written in place."""
        memory: dict[int, np.ndarray] = {}
        parameters: dict[str, int] = {}
        for i, (name, value) in enumerate(zip(self.parameters, args, strict=True), start=1):
            if isinstance(value, np.ndarray):
                memory[i << 40] = value.reshape(-1).view(np.uint8)
                parameters[name] = i << 40
            else:
                parameters[name] = int(value)  # type: ignore[call-overload]
        for index in range(grid * block):
            place = {"%tid.x": index % block, "%ctaid.x": index // block, "%ntid.x": block, "%nctaid.x": grid}
            self._run_thread(Thread(parameters | place, memory))

    def _run_thread(self, thread: Thread) -> None:
        at = 0
        for _ in range(MAX_STEPS):
            instruction = self.program[at]
            at += 1
            guard = instruction.guard
            if guard and bool(thread.registers[guard.lstrip("@!")]) == guard.startswith("@!"):
                continue
            if instruction.name == "ret":
                return
            if instruction.name == "bra":
                at = self.labels[instruction.operands[0]]
            else:
                _step(thread, instruction)
        raise RuntimeError(f"no end after {MAX_STEPS} instructions")


def _parse(text: str) -> Instruction:
    guard = ""
    if text.startswith("@"):
        guard, text = text.split(None, 1)
    opcode, _, rest = text.partition(" ") if " " in text else text.partition("\t")
    name, *flags = opcode.strip().split(".")
    operands = tuple(_OPERAND.findall(rest))
    return Instruction(guard, name, tuple(flags[:-1]), flags[-1] if flags else "", operands)


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _step(thread: Thread, code: Instruction) -> None:
    """One instruction that is no branch [PTX ISA 9.0, chapter 9.7]."""
    name, flags, bits = code.name, code.flags, code.bits
    mask = (1 << bits) - 1
    if name == "st":
        cell = thread.bytes_at(code.operands[0], bits // 8)
        value = thread.value(code.operands[1]) & mask
        cell[:] = np.frombuffer(value.to_bytes(bits // 8, "little"), np.uint8)
        return
    target, *sources = code.operands
    if name == "ld":
        if "param" in flags:
            result = thread.registers[sources[0][1:-1]]
        else:
            result = int.from_bytes(thread.bytes_at(sources[0], bits // 8).tobytes(), "little")
    elif name == "atom" and flags[-1] == "min":
        cell = thread.bytes_at(sources[0], bits // 8)
        result = int.from_bytes(cell.tobytes(), "little")
        least = min(result, thread.value(sources[1]) & mask)
        cell[:] = np.frombuffer(least.to_bytes(bits // 8, "little"), np.uint8)
    elif name == "setp":
        result = int(_compare(flags[-1], *(_typed(thread.value(s), code) for s in sources)))
        mask = 1
    elif name == "selp":
        result = thread.value(sources[0] if thread.registers[sources[2]] else sources[1])
    elif name.rstrip("c") in ("add", "sub", "mul", "mad"):
        result = _arithmetic(thread, code, [thread.value(s) for s in sources])
        mask = (1 << (2 * bits)) - 1 if "wide" in flags else mask
    else:
        result = _logic(code, [thread.value(s) for s in sources])
    thread.registers[target] = result & mask


def _typed(value: int, code: Instruction) -> int:
    return _signed(value, code.bits) if code.kind[0] == "s" else value & ((1 << code.bits) - 1)


def _arithmetic(thread: Thread, code: Instruction, values: list[int]) -> int:
    """add, addc, sub, subc, mul, mad, madc; .cc writes the flag, the forms with c read it."""
    bits, flags = code.bits, code.flags
    carry = thread.carry if code.name.endswith("c") else 0
    a, b, *rest = (_typed(value, code) for value in values)
    if code.name in ("mul", "mad", "madc"):
        product = a * b
        if "hi" in flags:
            product >>= bits
        if "wide" not in flags:
            product &= (1 << bits) - 1
        total = product + carry
        if rest:  # the addend of mad.wide has twice the bits
            total += values[2] & ((1 << (2 * bits if "wide" in flags else bits)) - 1)
    else:
        unsigned = (1 << bits) - 1
        a, b = a & unsigned, b & unsigned
        total = a - b - carry if code.name.startswith("sub") else a + b + carry
    if "cc" in flags:
        thread.carry = total >> bits & 1
    return total


def _compare(relation: str, a: int, b: int) -> bool:
    return {
        "eq": a == b,
        "ne": a != b,
        **dict.fromkeys(("lt", "lo"), a < b),
        **dict.fromkeys(("le", "ls"), a <= b),
        **dict.fromkeys(("gt", "hi"), a > b),
        **dict.fromkeys(("ge", "hs"), a >= b),
    }[relation]


def _logic(code: Instruction, values: list[int]) -> int:
    """Moves, bits and shifts."""
    name, bits = code.name, code.bits
    a = _typed(values[0], code)
    b = values[1] if len(values) > 1 else 0
    if name in ("mov", "cvta", "cvt"):
        return a
    if name == "neg":
        return -a
    if name == "not":
        return ~a
    if name in ("and", "or", "xor"):
        return {"and": a & b, "or": a | b, "xor": a ^ b}[name]
    if name in ("shl", "shr"):
        places = min(b & 0xFFFFFFFF, bits)
        return a << places if name == "shl" else a >> places
    if name == "shf" and code.flags[-1] == "wrap":
        both, places = (values[1] & 0xFFFFFFFF) << 32 | a & 0xFFFFFFFF, values[2] & 31
        return both << places >> 32 if "l" in code.flags else both >> places
    if name == "bfi":  # the low d bits of a, put into b at c
        begin, length = values[2] & 255, values[3] & 255
        field_mask = ((1 << length) - 1) << begin
        return b & ~field_mask | (a << begin) & field_mask
    raise NotImplementedError(f"PTX {name}.{'.'.join(code.flags)}.{code.kind} is not interpreted: add it")
