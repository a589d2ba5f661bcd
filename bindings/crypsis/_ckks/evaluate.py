# SPDX-License-Identifier: Apache-2.0
"""Arithmetic on arrays of ciphertexts: sums, products, relinearising, rescaling, bringing levels together.

Products go through all steps of an operation ciphertext by ciphertext, so that what lies between stays near the
processor. Leading axes broadcast; a ciphertext is `uint64[2 or 3, level + 1, N]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import ntt, rns
from crypsis._arguments import flag, kind
from crypsis._ckks import array as arrays
from crypsis._ckks import encoder
from crypsis._ckks.encoder import Plaintext
from crypsis._ckks.noise import Estimate
from crypsis._homomorphic.numpy_calls import axis_of
from crypsis.errors import InvalidCiphertext, LevelError, MissingKey, ScaleError

Residues = npt.NDArray[np.uint64]

SAME_SCALE = 2.0**-40
"""Scales that differ by less, relatively, are one: rounding of doubles, far below the noise."""
MAX_INTEGER_BITS = 1000


def describe(array: Any) -> str:
    """Level and scale, for messages."""
    return f"level {array.level}, scale 2^{math.log2(array.scale):.2f}"


def check_same_key(a: Any, b: Any) -> None:
    """InvalidCiphertext for arrays of two keys."""
    if a.key_id != b.key_id or a.parameters != b.parameters:
        raise InvalidCiphertext(
            f"the operands are of keys {a.key_id[:4].hex()} and {b.key_id[:4].hex()}: only ciphertexts of one key can"
            " be combined"
        )


def check_alike(a: Any, b: Any) -> None:
    """One key, one level and one scale; ScaleError or LevelError naming both."""
    check_same_key(a, b)
    if a.level != b.level:
        raise LevelError(f"the operands have {describe(a)} and {describe(b)}: bring them to one with at_level()")
    if not same_scale(a.scale, b.scale):
        raise ScaleError(
            f"the operands have {describe(a)} and {describe(b)}: sums need one scale; rescale() products first"
        )


def same_scale(a: float, b: float) -> bool:
    """Equal but for the rounding of doubles."""
    return a == b or abs(a - b) < SAME_SCALE * b


def keys_of(*operands: Any) -> Any:
    """The public key of the operands that has most evaluation keys; MissingKey where none has any."""
    found = [operand.keys for operand in operands if operand.keys is not None]
    if not found:
        raise MissingKey(
            "the array has no evaluation keys, being from a secret key or from_bytes: give it those of a public key"
            " with public.bind(array), or load it with public.load(buffer)"
        )
    return max(found, key=lambda key: (key.relinearises, len(key.galois_elements)))


def any_keys(a: Any, b: Any) -> Any:
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


# Levels and scales


def drop(array: Any, level: int) -> Any:
    """The same ciphertexts, scale too, with the moduli of a lower level."""
    if level == array.level:
        return array
    if not array.parameters.bottom <= level < array.level:
        raise LevelError(
            f"level {level} was asked for, the ciphertext has {describe(array)}: give"
            f" {array.parameters.bottom} to {array.level}"
        )
    data = np.ascontiguousarray(array.data[..., : level + 1, :])
    estimate = array.estimate and array.estimate.at(level)
    return array.replaced(data, level=level, estimate=estimate)


def at_level(array: Any, level: int) -> Any:
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
    # Off by 2^-40 at most, relatively: a scale's worth.
    factor = round(parameters.scales[level] * modulus / array.scale)
    scaled = ntt.scale(above.data, factor, basis)
    data = rns.rescale(scaled, parameters.chain, level + 1)
    scale = parameters.scales[level]
    estimate = array.estimate and array.estimate.rescaled(level, scale, size=array.size_of)
    return array.replaced(data, level=level, scale=scale, estimate=estimate)


def matched(a: Any, b: Any) -> tuple[Any, Any]:
    """Both at the lower level of the two. ScaleError where the scales then differ."""
    check_same_key(a, b)
    if a.level != b.level:
        if not (a.canonical and b.canonical):
            raise ScaleError(
                f"the operands have {describe(a)} and {describe(b)}: rescale() products before they meet operands of"
                " another level"
            )
        if a.level > b.level:
            a = at_level(a, b.level)
        else:
            b = at_level(b, a.level)
    return a, b


def after_rescale(array: Any) -> tuple[int, float]:
    """(level, scale) of an array once rescaled; the scale is exactly its level's where it is that but for rounding."""
    return next_scale(array.parameters, array.level, array.scale, array)


def next_scale(parameters: Any, level: int, scale: float, array: Any) -> tuple[int, float]:
    if level <= parameters.bottom:
        raise LevelError(
            f"no level is left: the ciphertext has {describe(array)}, the lowest level of its parameters is"
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
            f"the ciphertext has {describe(array)}: rescaling would leave scale 2^{math.log2(scale):.2f}, nothing of"
            " the values; rescale() only after products"
        )
    return level, scale


def rescale(array: Any) -> Any:
    """One modulus less."""
    level, scale = after_rescale(array)
    data = rns.rescale(array.data, array.parameters.chain, array.level)
    estimate = array.estimate and array.estimate.rescaled(level, scale, size=array.size_of)
    return array.replaced(data, level=level, scale=scale, estimate=estimate)


def relinearise(array: Any) -> Any:
    """3 polynomials a ciphertext become 2."""
    if array.size_of == 2:
        return array
    parameters, level = array.parameters, array.level
    key = keys_of(array).relinearisation().data
    limbs, n = level + 1, parameters.n
    flat = array.data.reshape(-1, 3, limbs, n)
    out = np.empty((len(flat), 2, limbs, n), np.uint64)
    for source, target in zip(flat, out, strict=True):
        rns.switch_key(source[2], key, parameters.chain, level, add=source[:2], out=target)
    estimate = array.estimate and array.estimate.switched()
    return array.replaced(out.reshape(*array.shape, 2, limbs, n), estimate=estimate)


# Sums


def negate(array: Any) -> Any:
    """-array."""
    basis = array.parameters.basis(array.level)
    return array.replaced(ntt.negate(array.data, basis), estimate=array.estimate)


def add(a: Any, b: Any) -> Any:
    """a + b."""
    return _sum(a, b, ntt.add)


def subtract(a: Any, b: Any) -> Any:
    """a - b."""
    return _sum(a, b, ntt.subtract)


def _sum(a: Any, b: Any, operation: Callable[..., Residues]) -> Any:
    if isinstance(b, arrays.CkksArray):
        return _sum_arrays(a, b, operation)
    return _sum_plain(a, b, operation)


def _sum_arrays(a: Any, b: Any, operation: Callable[..., Residues]) -> Any:
    a, b = matched(a, b)
    check_alike(a, b)
    if a.packing != b.packing:
        raise ValueError(f"the operands are packed as {a.packing} and {b.packing}: only arrays packed alike add up")
    basis = a.parameters.basis(a.level)
    x, y = _broadcast(_padded(a, b), _padded(b, a), 3)
    data = operation(x, y, basis)
    estimate = a.estimate.plus(b.estimate) if a.estimate and b.estimate else None
    return a.replaced(data, length=max(a.length, b.length), estimate=estimate, keys=any_keys(a, b))


def _padded(array: Any, other: Any) -> Residues:
    data: Residues = array.data
    if array.size_of >= other.size_of:
        return data
    wide = np.zeros((*array.shape, other.size_of, *data.shape[-2:]), np.uint64)
    wide[..., : array.size_of, :, :] = data
    return wide


def _broadcast(x: Residues, y: Residues, axes: int) -> tuple[Residues, Residues]:
    """Both C-contiguous, of one shape in front of the last `axes` axes; y as it is where it has none there."""
    if x.shape[:-axes] == y.shape[:-axes] or y.ndim == axes:
        return x, y
    shape = broadcast_shapes(x.shape[:-axes], y.shape[:-axes])
    return (
        np.ascontiguousarray(np.broadcast_to(x, shape + x.shape[-axes:])),
        np.ascontiguousarray(np.broadcast_to(y, shape + y.shape[-axes:])),
    )


def broadcast_shapes(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    """NumPy's, with a message of ciphertexts."""
    try:
        return np.broadcast_shapes(a, b)
    except ValueError:
        raise ValueError(f"arrays of {a} and {b} ciphertexts do not broadcast together") from None


def _sum_plain(a: Any, b: Any, operation: Callable[..., Residues]) -> Any:
    plain = _encoded(a, b, a.scale)
    if not same_scale(plain.scale, a.scale):
        raise ScaleError(
            f"the ciphertext has {describe(a)}, the plaintext {describe(plain)}: encode it at that scale"
        )
    parameters, limbs = a.parameters, a.level + 1
    basis = parameters.basis(a.level)
    shape = broadcast_shapes(a.shape, plain.shape)
    source = np.broadcast_to(a.data, (*shape, *a.data.shape[-3:]))
    data = np.array(source, order="C")
    summand = plain.data
    flat = data.reshape(-1, a.size_of, limbs, parameters.n)
    rows = np.broadcast_to(np.arange(max(1, math.prod(plain.shape))).reshape(plain.shape), shape).reshape(-1)
    numbers = summand.reshape(-1, limbs, parameters.n)
    for row, i in zip(flat, rows, strict=True):
        operation(row[0], numbers[i], basis, out=row[0])
    estimate = a.estimate and a.estimate.plus_plain(plain.magnitude)
    return a.replaced(data, estimate=estimate)


def total(array: Any, axis: int) -> Any:
    """The sum over one axis."""
    array._refuse_packed("summed over an axis")
    if not array.ndim:
        raise TypeError("sum() of a single ciphertext: inner_sum() adds its slots")
    at = axis_of(axis, array.ndim)
    basis = array.parameters.basis(array.level)
    moved = np.moveaxis(array.data, at, 0)
    if not len(moved):
        raise ValueError(f"axis {at} of shape {array.shape} is empty: there is nothing to add up")
    result = np.array(moved[0], order="C")
    for item in moved[1:]:
        ntt.add(result, np.ascontiguousarray(item), basis, out=result)
    return array.replaced(result, estimate=array.estimate and array.estimate.summed(len(moved)))


# Products


def multiply(a: Any, b: Any, *, relinearise: bool = True, rescale: bool = True) -> Any:
    """a * b."""
    flag("relinearise", relinearise)
    flag("rescale", rescale)
    if isinstance(b, arrays.CkksArray):
        return _multiply_arrays(a, b, relinearise, rescale)
    if isinstance(b, int | np.integer) and not isinstance(b, bool):
        return _multiply_integer(a, int(b))
    if a.packing is not None or isinstance(b, float | np.floating):
        return _multiply_number(a, b, rescale)
    return _multiply_plain(a, b, rescale)


def divide(a: Any, b: Any) -> Any:
    """a times the inverse of a number."""
    if isinstance(b, bool) or not isinstance(b, int | float | complex | np.number):
        raise TypeError(f"the divisor is {kind(b)}: only numbers divide; multiply by the inverses of an array's")
    if b == 0:
        raise ValueError("the divisor is 0: ciphertexts are divided by other numbers")
    return multiply(a, 1 / b)


def power(array: Any, exponent: int) -> Any:
    """array ** exponent, by squaring: depth ceil(log2(exponent))."""
    if isinstance(exponent, bool) or not isinstance(exponent, int) or exponent < 1:
        raise ValueError(f"exponent is {exponent!r}: give an int from 1")
    result = None
    square = array
    while True:
        if exponent & 1:
            result = square if result is None else multiply(result, square)
        exponent >>= 1
        if not exponent:
            return result
        square = multiply(square, square)


def _multiply_arrays(a: Any, b: Any, relinearised: bool, rescaled: bool) -> Any:
    if a.packing is not None or b.packing is not None:
        raise TypeError("an operand is packed: packed arrays have no products but with numbers")
    same = a is b
    a, b = matched(a, b)
    if a.size_of != 2 or b.size_of != 2:
        raise ValueError("an operand is a product that was not relinearised: relinearise() it first")
    parameters, level = a.parameters, a.level
    after = next_scale(parameters, level, a.scale * b.scale, a) if rescaled else None
    _check_product(a, b)
    key = keys_of(a, b).relinearisation().data if relinearised else None
    basis, limbs, n = parameters.basis(level), level + 1, parameters.n
    shape = a.shape if same else broadcast_shapes(a.shape, b.shape)
    left, right = a.data.reshape(-1, 2, limbs, n), b.data.reshape(-1, 2, limbs, n)
    rows = list(zip(_rows(a.shape, shape), _rows(b.shape, shape), strict=True))
    n_out = limbs - 1 if after else limbs
    out = np.empty((len(rows), 2 if relinearised else 3, n_out, n), np.uint64)
    chain, direct = parameters.chain, key is None and not after
    product = np.empty((0 if direct else 3, limbs, n), np.uint64)
    for target, (i, j) in zip(out, rows, strict=True):
        if direct:
            product = target
        _tensor(left[i], right[j], product, basis)
        if key is not None:
            rns.switch_key(
                product[2], key, chain, level, add=product[:2], rescale=after is not None, out=target
            )
        elif after:
            rns.rescale(product, chain, level, out=target)
    estimate = a.estimate.times(b.estimate) if a.estimate and b.estimate else None
    if estimate and relinearised:
        estimate = estimate.switched()
    if estimate and after:
        estimate = estimate.rescaled(*after, size=out.shape[1])
    new_level, scale = after or (level, a.scale * b.scale)
    return a.replaced(
        out.reshape(*shape, *out.shape[1:]),
        level=new_level,
        scale=scale,
        length=min(a.length, b.length),
        estimate=estimate,
        keys=any_keys(a, b),
    )


def _rows(shape: tuple[int, ...], wanted: tuple[int, ...]) -> list[int]:
    if shape == wanted:
        return list(range(math.prod(shape)))
    numbers = np.arange(math.prod(shape)).reshape(shape)
    rows: list[int] = np.broadcast_to(numbers, wanted).reshape(-1).tolist()
    return rows


def _tensor(a: Residues, b: Residues, out: Residues, basis: ntt.Basis) -> None:
    """(a_0 b_0, a_0 b_1 + a_1 b_0, a_1 b_1)."""
    low, middle, high = out
    ntt.multiply(a[0], b[0], basis, out=low)
    ntt.multiply(a[0], b[1], basis, out=middle)
    ntt.multiply_add(a[1], b[0], middle, basis, out=middle)
    ntt.multiply(a[1], b[1], basis, out=high)


def _check_product(a: Any, b: Any) -> None:
    """ScaleError where the product of the scales does not leave a bit of room in the moduli."""
    log_modulus = sum(map(math.log2, a.parameters.moduli.primes[: a.level + 1]))
    if math.log2(a.scale) + math.log2(b.scale) > log_modulus - 2:
        raise ScaleError(
            f"the operands have {describe(a)} and {describe(b)}: their product needs a modulus of"
            f" {math.log2(a.scale) + math.log2(b.scale) + 2:.0f} bits, the level has {log_modulus:.0f}: rescale() before,"
            " or multiply at a higher level"
        )


def _multiply_integer(a: Any, factor: int) -> Any:
    """Exact, at no level's expense; the values must still fit."""
    if factor.bit_length() > MAX_INTEGER_BITS:
        raise ValueError(f"the factor has {factor.bit_length()} bits: no ciphertext holds such values")
    basis = a.parameters.basis(a.level)
    data = ntt.scale(a.data, [factor % q for q in basis.primes], basis)
    estimate = a.estimate and a.estimate.times_plain(abs(factor), 1.0, exact=True)
    return a.replaced(data, estimate=estimate)


def _multiply_number(a: Any, factor: Any, rescaled: bool) -> Any:
    """With one real number for all slots: its integer, no polynomial."""
    if isinstance(factor, bool) or not isinstance(factor, int | float | np.integer | np.floating):
        raise TypeError(f"a packed array was multiplied by {kind(factor)}: only real numbers multiply it")
    number = float(factor)
    if not math.isfinite(number):
        raise ValueError(f"the factor is {number}: give a finite number")
    parameters = a.parameters
    after = next_scale(parameters, a.level, a.scale * parameters.scales[a.level], a) if rescaled else None
    factor_scale = parameters.scales[a.level]
    encoder.check_fits(parameters, abs(number), a.level, a.scale * factor_scale, "the factor")
    integer = round(number * factor_scale)
    basis = parameters.basis(a.level)
    data = ntt.scale(a.data, [integer % q for q in basis.primes], basis)
    return _product(a, data, a.shape, abs(number), factor_scale, after)


def _multiply_plain(a: Any, b: Any, rescaled: bool) -> Any:
    """With numbers slot by slot, or a `Plaintext`."""
    parameters = a.parameters
    plain = _encoded(a, b, parameters.scales[a.level])
    after = next_scale(parameters, a.level, a.scale * plain.scale, a) if rescaled else None
    encoder.check_fits(parameters, plain.magnitude, a.level, a.scale * plain.scale, "the factors")
    basis, limbs, n = parameters.basis(a.level), a.level + 1, parameters.n
    if not plain.shape:
        data = ntt.multiply(a.data, plain.data, basis)
        shape = a.shape
    else:
        shape = broadcast_shapes(a.shape, plain.shape)
        data = np.empty((*shape, a.size_of, limbs, n), np.uint64)
        flat, source = data.reshape(-1, a.size_of, limbs, n), a.data.reshape(-1, a.size_of, limbs, n)
        numbers = plain.data.reshape(-1, limbs, n)
        for row, i, j in zip(flat, _rows(a.shape, shape), _rows(plain.shape, shape), strict=True):
            ntt.multiply(source[i], numbers[j], basis, out=row)
    return _product(a, data, shape, plain.magnitude, plain.scale, after)


def _product(
    a: Any,
    data: Residues,
    shape: tuple[int, ...],
    magnitude: float,
    factor_scale: float,
    after: tuple[int, float] | None,
) -> Any:
    estimate = a.estimate and a.estimate.times_plain(magnitude, factor_scale)
    level, scale = a.level, a.scale * factor_scale
    if after:
        data = rns.rescale(data, a.parameters.chain, level)
        level, scale = after
        estimate = estimate and estimate.rescaled(level, scale, size=a.size_of)
    return a.replaced(data, level=level, scale=scale, estimate=estimate)


def _encoded(a: Any, values: Any, scale: float) -> Plaintext:
    """Numbers as a plaintext at the level of `a`; a `Plaintext` as it is, with as few moduli."""
    if isinstance(values, Plaintext):
        if values.parameters != a.parameters:
            raise ValueError(f"the plaintext is of {values.parameters!r}, the ciphertext of {a.parameters!r}")
        if a.packing is not None:
            raise TypeError("the array is packed: give it numbers, not a Plaintext")
        return values.at(a.level)
    if a.packing is not None:
        return _encoded_packed(a, values, scale)
    numbers = encoder.as_numbers(values, "the operand")
    length = numbers.shape[-1] if numbers.ndim else 1
    if length not in (1, a.length):
        raise ValueError(
            f"the operand has {length} numbers a row, the ciphertext {a.length} slots in use: give as many, or one"
        )
    if length != a.length:
        numbers = np.broadcast_to(numbers, (*numbers.shape[:-1], a.length))
    return encoder.encode(a.parameters, np.ascontiguousarray(numbers), level=a.level, scale=scale, name="the operand")


def _encoded_packed(a: Any, values: Any, scale: float) -> Plaintext:
    from crypsis._ckks.encrypting import pack

    numbers = encoder.as_numbers(values, "the operand")
    if numbers.shape != a.packing:
        try:
            numbers = np.ascontiguousarray(np.broadcast_to(numbers, a.packing))
        except ValueError:
            raise ValueError(f"the operand has shape {numbers.shape}, the packed array {a.packing}") from None
    slots, _, _ = pack(a.parameters, numbers)
    return encoder.encode(
        a.parameters, slots.reshape(*a.shape, -1), level=a.level, scale=scale, name="the operand"
    )
