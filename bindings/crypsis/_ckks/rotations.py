# SPDX-License-Identifier: Apache-2.0
"""Rotations and conjugation: automorphisms x -> x^g, then a key switch; many rotations share its first half [HS18]."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from crypsis import ntt, rns
from crypsis._arguments import integer
from crypsis._ckks.levels import describe_all, keys_of, naming
from crypsis._ckks.places import contiguous, empty, parts

if TYPE_CHECKING:
    from crypsis._ckks.array import CkksArray
    from crypsis._ckks.levels import Operand
    from crypsis._ckks.parameters import Parameters
    from crypsis._ckks.switch_keys import SwitchKey

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
    key = galois_of(array, element, what).beside(array.data)
    flat = array.data.reshape(-1, 2, level + 1, parameters.n)
    out = empty(flat.shape, flat)
    for part in parts(flat):
        rns.switch_key(
            contiguous(flat[part, 1]),
            key,
            parameters.chain,
            level,
            galois=element,
            add=contiguous(flat[part, :1]),
            out=out[part],
        )
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
            keys[shift] = (element, galois_of(array, element, f"rotations=({shift},)").beside(array.data))
    basis, limbs, n = parameters.basis(level), level + 1, parameters.n
    flat = array.data.reshape(-1, 2, limbs, n)
    out = empty((len(wanted), *flat.shape), flat)
    chain = parameters.chain
    for part in parts(flat):
        low, high = contiguous(flat[part, 0]), contiguous(flat[part, 1])
        digits = rns.decompose(high, chain, level)
        summand = empty((len(low), 2, limbs, n), flat)
        summand.fill(0)
        for turned, shift in zip(out, wanted, strict=True):
            if not shift:
                turned[part] = flat[part]
                continue
            element, key = keys[shift]
            summand[:, 0] = ntt.automorphism(low, element, basis)
            product = rns.inner_product(digits, key, chain, level, galois=element)
            rns.divide_special(product, chain, level, add=summand, out=turned[part])
    return array.replaced(
        out.reshape(len(wanted), *array.data.shape), estimate=array.estimate and array.estimate.switched()
    )


def galois_of(array: CkksArray, element: int, what: str) -> SwitchKey:
    """The array's Galois key of x -> x^element. MissingKey without one, saying how to make `what`."""
    keys = keys_of(array)
    with naming(array):
        return keys.galois(element, what)


def check_rotatable(array: CkksArray, *others: Operand) -> None:
    """TypeError for packed arrays, ValueError for products that are not relinearised; others: of the operation."""
    if array.packing is not None:
        raise TypeError(
            f"{describe_all(array, *others)}, and the array is packed, it cannot be rotated or conjugated: encrypt"
            " without packed=True for that"
        )
    if array.size_of != 2:
        raise ValueError(
            f"{describe_all(array, *others)}, and the array is a product that was not relinearised: relinearise() it"
            " before it is rotated"
        )
