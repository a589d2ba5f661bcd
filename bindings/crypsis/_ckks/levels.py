# SPDX-License-Identifier: Apache-2.0
"""Levels and scales of ciphertexts: what fits together, and how it is brought together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from crypsis import ntt, rns
from crypsis._ckks.noise import Estimate
from crypsis._ckks.places import contiguous
from crypsis.errors import CrypsisError, InvalidCiphertext, LevelError, MissingKey, ScaleError

if TYPE_CHECKING:
    from crypsis._ckks.array import CkksArray
    from crypsis._ckks.encoder import Plaintext
    from crypsis._ckks.keys import PublicKey
    from crypsis._ckks.linear import Matrix
    from crypsis._ckks.parameters import Parameters
    from crypsis._ckks.switch_keys import SwitchKey

    Operand: TypeAlias = "CkksArray | Plaintext | Matrix"

SAME_SCALE = 2.0**-40
"""Scales that differ by less, relatively, are one: rounding of doubles, far below the noise."""


def describe(array: Operand) -> str:
    """Level and scale, for messages."""
    return f"level {array.level}, scale 2^{math.log2(array.scale):.2f}"


def describe_all(*operands: Operand) -> str:
    """Levels and scales of one operand or two, for messages."""
    told = " and ".join(describe(operand) for operand in operands)
    return f"the {'ciphertext has' if len(operands) == 1 else 'operands have'} {told}"


@contextmanager
def naming(*operands: Operand) -> Iterator[None]:
    """Errors of what knows keys or numbers only get levels and scales in front."""
    try:
        yield
    except (CrypsisError, ValueError) as error:
        raise type(error)(f"{describe_all(*operands)}: {error}") from None


def check_same_key(a: CkksArray, b: CkksArray) -> None:
    """InvalidCiphertext for arrays of two keys, ValueError for such on two devices."""
    if a.key_id != b.key_id or a.parameters != b.parameters:
        raise InvalidCiphertext(
            f"{describe_all(a, b)}, and are of keys {a.key_id[:4].hex()} and {b.key_id[:4].hex()}: only ciphertexts of"
            " one key can be combined; encrypt them with the same"
        )
    if a.device != b.device:
        raise ValueError(
            f"{describe_all(a, b)}, and are on {a.device} and {b.device}: move one of them, as .to({a.device!r}) does"
        )


def check_alike(a: CkksArray, b: CkksArray) -> None:
    """One key, one level and one scale; ScaleError or LevelError naming both."""
    check_same_key(a, b)
    if a.level != b.level:
        raise LevelError(f"{describe_all(a, b)}: bring them to one with at_level()")
    if not same_scale(a.scale, b.scale):
        raise ScaleError(f"{describe_all(a, b)}: sums need one scale; rescale() products first")


def same_scale(a: float, b: float) -> bool:
    """Equal but for the rounding of doubles."""
    return a == b or abs(a - b) < SAME_SCALE * b


def keys_of(array: CkksArray, *others: Operand) -> PublicKey:
    """The public key of the operands that has most evaluation keys; MissingKey where none has any."""
    operands = (array, *others)
    found: list[PublicKey] = [keys for operand in operands if (keys := getattr(operand, "keys", None))]
    if not found:
        raise MissingKey(
            f"{describe_all(*operands)}, and no evaluation keys, being from a secret key or from_bytes: give those of a"
            " public key with public.bind(array), or load with public.load(buffer)"
        )
    return max(found, key=lambda key: (key.relinearises, len(key.galois_elements)))


def relinearisation_of(array: CkksArray, *others: CkksArray) -> SwitchKey:
    """The relinearisation key of the operands. MissingKey where none has one."""
    keys = keys_of(array, *others)
    with naming(array, *others):
        return keys.relinearisation()


def any_keys(a: CkksArray, b: CkksArray) -> PublicKey | None:
    """The keys that a result of two operands gets: None where neither has any."""
    return a.keys if b.keys is None or b.keys is a.keys else keys_of(a, b)


def worst(estimates: Iterable[Estimate | None]) -> Estimate | None:
    """The larger error and magnitude of estimates of one level; None where one is unknown."""
    result: Estimate | None = None
    for estimate in estimates:
        if estimate is None:
            return None
        if result is None:
            result = estimate
        else:
            result = Estimate(
                result.parameters,
                result.level,
                result.scale,
                max(result.error, estimate.error),
                max(result.magnitude, estimate.magnitude),
            )
    return result


def drop(array: CkksArray, level: int) -> CkksArray:
    """The same ciphertexts, scale too, with the moduli of a lower level."""
    if level == array.level:
        return array
    if not array.parameters.bottom <= level < array.level:
        raise LevelError(
            f"level {level} was asked for, the ciphertext has {describe(array)}: give"
            f" {array.parameters.bottom} to {array.level}"
        )
    data = contiguous(array.data[..., : level + 1, :])
    estimate = array.estimate and array.estimate.at(level)
    return array.replaced(data, level=level, estimate=estimate)


def at_level(array: CkksArray, level: int) -> CkksArray:
    """Same values at a lower level and that level's scale: a product with an integer corrects the scale."""
    parameters = array.parameters
    level = parameters.check_level(level)
    if level == array.level:
        return array
    if level > array.level:
        raise LevelError(
            f"level {level} was asked for, the ciphertext has {describe(array)}: levels only go down; encrypt at a"
            " higher one"
        )
    if not array.canonical:
        raise ScaleError(
            f"the ciphertext has {describe(array)}, not the scale of its level,"
            f" 2^{math.log2(parameters.scales[array.level]):.2f}: rescale() it first"
        )
    above = drop(array, level + 1)
    basis, modulus = parameters.basis(level + 1), parameters.moduli.primes[level + 1]
    factor = round(parameters.scales[level] * modulus / array.scale)
    scaled = ntt.scale(above.data, factor, basis)
    data = rns.rescale(scaled, parameters.chain, level + 1)
    scale = parameters.scales[level]
    estimate = array.estimate and array.estimate.corrected(factor).rescaled(level, scale, size=array.size_of)
    return array.replaced(data, level=level, scale=scale, estimate=estimate)


def matched(a: CkksArray, b: CkksArray) -> tuple[CkksArray, CkksArray]:
    """Both at the lower level of the two. ScaleError where the scales then differ."""
    check_same_key(a, b)
    if a.level != b.level:
        if not (a.canonical and b.canonical):
            raise ScaleError(
                f"{describe_all(a, b)}: rescale() products before they meet operands of another level"
            )
        if a.level > b.level:
            a = at_level(a, b.level)
        else:
            b = at_level(b, a.level)
    return a, b


def after_rescale(array: CkksArray) -> tuple[int, float]:
    """(level, scale) of an array once rescaled; the scale is exactly its level's where it is that but for rounding."""
    return next_scale(array.parameters, array.level, array.scale, array)


def next_scale(parameters: Parameters, level: int, scale: float, *operands: Operand) -> tuple[int, float]:
    """(level, scale) after a rescaling; operands: of the product, for messages."""
    if level <= parameters.bottom:
        raise LevelError(
            f"no level is left: {describe_all(*operands)}, the lowest level of its parameters is"
            f" {parameters.bottom} (depth {parameters.depth}): take parameters with more moduli, or fewer products in a"
            " row"
        )
    scale /= parameters.moduli.primes[level]
    level -= 1
    canonical = parameters.scales[level]
    if same_scale(scale, canonical):
        return level, canonical
    if scale < math.sqrt(canonical):
        raise ScaleError(
            f"{describe_all(*operands)}: rescaling would leave scale 2^{math.log2(scale):.2f}, nothing of"
            " the values; rescale() only after products"
        )
    return level, scale


def rescale(array: CkksArray) -> CkksArray:
    """One modulus less."""
    level, scale = after_rescale(array)
    data = rns.rescale(array.data, array.parameters.chain, array.level)
    estimate = array.estimate and array.estimate.rescaled(level, scale, size=array.size_of)
    return array.replaced(data, level=level, scale=scale, estimate=estimate)


def broadcast_shapes(a: CkksArray, b: CkksArray | Plaintext) -> tuple[int, ...]:
    """NumPy's of the leading axes, with a message of ciphertexts."""
    try:
        return np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise ValueError(
            f"{describe_all(a, b)}, and shapes {a.shape} and {b.shape}, which do not broadcast together: reshape() one"
            " of them"
        ) from None
