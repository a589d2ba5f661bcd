# SPDX-License-Identifier: Apache-2.0
"""Rotations and conjugation: automorphisms x -> x^g, then a key switch; many rotations share its first half [HS18]."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from crypsis import ntt, rns
from crypsis._arguments import integer, kind
from crypsis._ckks.levels import keys_of

if TYPE_CHECKING:
    from crypsis._ckks.array import CkksArray
    from crypsis._ckks.parameters import Parameters

Residues = npt.NDArray[np.uint64]

ROTATION = 5
"""x -> x^5 turns slot i into slot i + 1: slot i is the value at zeta^(5^i)."""


def element_of(parameters: Parameters, shift: int) -> int:
    """The g of a rotation."""
    return pow(ROTATION, shift % parameters.n_slots, 2 * parameters.n)


def rotate(array: CkksArray, shift: int) -> CkksArray:
    """Rotation to the left by `shift`."""
    check_rotatable(array)
    shift = integer("shift", shift, -array.n_slots, array.n_slots) % array.n_slots
    if not shift:
        return array
    return _automorphism(array, element_of(array.parameters, shift), f"rotations=({shift},)")


def conjugate(array: CkksArray) -> CkksArray:
    """x -> x^-1."""
    check_rotatable(array)
    return _automorphism(array, 2 * array.parameters.n - 1, "conjugate=True")


def _automorphism(array: CkksArray, element: int, what: str) -> CkksArray:
    parameters, level = array.parameters, array.level
    key = keys_of(array).galois(element, what).data
    flat = array.data.reshape(-1, 2, level + 1, parameters.n)
    out = np.empty(flat.shape, np.uint64)
    for source, target in zip(flat, out, strict=True):
        rns.switch_key(source[1], key, parameters.chain, level, galois=element, add=source[:1], out=target)
    return array.replaced(
        out.reshape(array.data.shape), estimate=array.estimate and array.estimate.switched()
    )


def rotate_many(array: CkksArray, shifts: Iterable[int]) -> CkksArray:
    """All rotations, digits made once for each ciphertext."""
    check_rotatable(array)
    wanted = [integer(f"shifts[{i}]", k, -array.n_slots, array.n_slots) for i, k in enumerate(shifts)]
    if not wanted:
        raise ValueError("shifts is empty: give at least one")
    wanted = [shift % array.n_slots for shift in wanted]
    parameters, level = array.parameters, array.level
    keys = {}
    for shift in wanted:
        if shift:
            element = element_of(parameters, shift)
            keys[shift] = (element, keys_of(array).galois(element, f"rotations=({shift},)").data)
    basis, limbs, n = parameters.basis(level), level + 1, parameters.n
    flat = array.data.reshape(-1, 2, limbs, n)
    out = np.empty((len(wanted), *flat.shape), np.uint64)
    chain = parameters.chain
    low = np.zeros((2, limbs, n), np.uint64)
    for i, row in enumerate(flat):
        digits = rns.decompose(row[1], chain, level)
        for turned, shift in zip(out[:, i], wanted, strict=True):
            if not shift:
                turned[...] = row
                continue
            element, key = keys[shift]
            ntt.automorphism(row[0], element, basis, out=low[0])
            product = rns.inner_product(digits, key, chain, level, galois=element)
            rns.divide_special(product, chain, level, add=low, out=turned)
    return array.replaced(
        out.reshape(len(wanted), *array.data.shape), estimate=array.estimate and array.estimate.switched()
    )


def check_rotatable(array: CkksArray) -> None:
    """TypeError for packed arrays, ValueError for products that are not relinearised."""
    if array.packing is not None:
        raise TypeError(
            "the array is packed, it cannot be rotated or conjugated: encrypt without packed=True for that"
        )
    if array.size_of != 2:
        raise ValueError(
            f"the {kind(array)} is a product that was not relinearised: relinearise() it before it is rotated"
        )
