# SPDX-License-Identifier: Apache-2.0
"""Encrypted vectors: products and rotations. Keys and ciphertexts are made on the host, few of them, and repeated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.gpu import limits
from benchmarks.gpu.cases.base import TEST_BITS, Case, Prepare, Work, same
from crypsis import ckks
from crypsis.cuda import Device

DISTINCT = 4
SMALL = ckks.Literal(5, (50, 40, 40), (50,), 40)
"""Where a CPU plays the device; as insecure as it is small."""


def _operation(literal: ckks.Literal, operation: Callable[[Any, Any], Any], n_operands: int) -> Prepare:
    """An item is a ciphertext of the result; the operands come from `n_operands` arrays."""

    def prepare(device: Device, n: int, bits: int) -> Work:
        chosen = SMALL if bits == TEST_BITS else literal
        parameters = ckks.Parameters.of(chosen, insecure_allow_weak=chosen is SMALL)
        secret = ckks.SecretKey(parameters, bytes(32))
        public = secret.public_key(rotations=(1,))
        slots = np.random.default_rng(9).uniform(-1, 1, (n_operands, DISTINCT, parameters.n // 2))
        few = [public.encrypt(part, magnitude=1) for part in slots]
        index = np.arange(n) % DISTINCT
        hosts = (few * 2)[:2]
        there = [array.to(device.name)[index] for array in hosts]

        def check(result: Any) -> int:
            first, last = (result[part].to("cpu").data for part in (slice(0, DISTINCT), slice(n - 1, n)))
            wanted = operation(*hosts).data
            return same("ckks", first, wanted[: len(first)]) + same("ckks", last, wanted[index[-1:]])

        def end_to_end() -> Any:
            return operation(*(array[index].to(device.name) for array in hosts)).to("cpu")

        return Work(lambda: operation(*there), check, end_to_end)

    return prepare


def _cases(name: str, literal: ckks.Literal, items: int) -> tuple[Case, ...]:
    moduli, special = len(literal.moduli_bits), len(literal.special_bits)
    digits = -(-moduli // (-(-moduli // (literal.dnum or moduli))))
    sizes = (literal.log_n, moduli, special, digits)
    return (
        Case(
            f"ckks/multiply/{name}",
            "products",
            literal.log_n,
            items,
            5,
            limits.key_switch(*sizes, rescale=True),
            _operation(literal, lambda a, b: a * b, 2),
        ),
        Case(
            f"ckks/rotate/{name}",
            "rotations",
            literal.log_n,
            items,
            5,
            limits.key_switch(*sizes),
            _operation(literal, lambda a, _: a.rotate(1), 1),
        ),
    )


CASES = (*_cases("13", ckks.SHALLOW, 1 << 11), *_cases("15", ckks.DEEP, 1 << 7))
