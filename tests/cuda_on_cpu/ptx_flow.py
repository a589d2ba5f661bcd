# SPDX-License-Identifier: Apache-2.0
"""Where the time of a kernel depends on data: branches, addresses and divisions, in the PTX that nvcc makes of it.

What a kernel loads from global or shared memory is data; its parameters, the thread's place and constant memory at
places that are not data are public. A register that is data anywhere is data everywhere, the carry flag too: the check
may find too much, never too little. ptxas comes behind it, so machine code is still to be looked at.
"""

from __future__ import annotations

import re

from cuda_on_cpu.ptx import Instruction, Kernel

_REGISTER = re.compile(r"%[\w.]+")
_CARRY = "carry"


def depends_on_data(kernel: Kernel) -> list[str]:
    """The instructions of `kernel` that are done or not, go to an address, or take a time, by what data is."""
    secret: set[str] = set()
    while True:
        found = {name for code in kernel.program if _is_secret(code, secret) for name in _written(code)}
        if found <= secret:
            break
        secret |= found
    return [_text(code) for code in kernel.program if _shows(code, secret)]


def _registers(*operands: str) -> set[str]:
    return {name for operand in operands for name in _REGISTER.findall(operand)}


def _split(code: Instruction) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Operands that are written, and those that are read; a load of four words writes four."""
    if code.name in ("st", "bra", "ret", "bar"):
        return (), code.operands
    n = len(code.operands) - 1 if code.name == "ld" else 1
    return code.operands[:n], code.operands[n:]


def _written(code: Instruction) -> set[str]:
    return _registers(*_split(code)[0]) | ({_CARRY} if "cc" in code.flags else set())


def _is_secret(code: Instruction, secret: set[str]) -> bool:
    if code.name in ("ld", "atom") and {"global", "shared", "local"} & {*code.flags}:
        return True
    read = _registers(*_split(code)[1], code.guard)
    if code.name in ("addc", "subc", "madc"):
        read.add(_CARRY)
    return bool(read & secret)


def _shows(code: Instruction, secret: set[str]) -> bool:
    watched = _registers(code.guard, *(operand for operand in code.operands if operand.startswith("[")))
    if code.name in ("div", "rem"):
        watched |= _registers(*code.operands)
    return bool(watched & secret)


def _text(code: Instruction) -> str:
    opcode = ".".join((code.name, *code.flags, code.kind)).rstrip(".")
    return f"{code.guard} {opcode} {', '.join(code.operands)}".strip()
