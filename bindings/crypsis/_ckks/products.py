# SPDX-License-Identifier: Apache-2.0
"""Products of ciphertexts, with each other and with numbers.

They go through all steps of an operation ciphertext by ciphertext, so that what lies between stays near the processor.
Leading axes broadcast; a ciphertext is `uint64[2 or 3, level + 1, N]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import ntt, rns
from crypsis._arguments import flag, kind
from crypsis._ckks import array as arrays
from crypsis._ckks import encoder
from crypsis._ckks.levels import (
    any_keys,
    broadcast_shapes,
    describe_all,
    matched,
    naming,
    next_scale,
    relinearisation_of,
)
from crypsis._ckks.places import broadcast, contiguous, empty, gather, parts
from crypsis._ckks.sums import encoded
from crypsis.errors import ScaleError

Residues = npt.NDArray[np.uint64]

MAX_INTEGER_BITS = 1000


def relinearise(array: arrays.CkksArray) -> arrays.CkksArray:
    """3 polynomials a ciphertext become 2."""
    if array.size_of == 2:
        return array
    parameters, level = array.parameters, array.level
    key = relinearisation_of(array).beside(array.data)
    limbs, n = level + 1, parameters.n
    flat = array.data.reshape(-1, 3, limbs, n)
    out = empty((len(flat), 2, limbs, n), flat)
    for part in parts(flat):
        source = flat[part]
        rns.switch_key(
            contiguous(source[:, 2]),
            key,
            parameters.chain,
            level,
            add=contiguous(source[:, :2]),
            out=out[part],
        )
    estimate = array.estimate and array.estimate.switched()
    return array.replaced(out.reshape(*array.shape, 2, limbs, n), estimate=estimate)


def multiply(
    a: arrays.CkksArray, b: Any, *, relinearise: bool = True, rescale: bool = True
) -> arrays.CkksArray:
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


def divide(a: arrays.CkksArray, b: Any) -> arrays.CkksArray:
    """a times the inverse of a number."""
    if isinstance(b, bool) or not isinstance(b, int | float | complex | np.number):
        raise TypeError(
            f"the divisor is {kind(b)}: only numbers divide; multiply by the inverses of an array's"
        )
    if b == 0:
        raise ValueError("the divisor is 0: ciphertexts are divided by other numbers")
    return multiply(a, 1 / b)


def power(array: arrays.CkksArray, exponent: int) -> arrays.CkksArray:
    """array ** exponent, by squaring: depth ceil(log2(exponent))."""
    if isinstance(exponent, bool) or not isinstance(exponent, int) or exponent < 1:
        raise ValueError(f"exponent is {exponent!r}: give an int from 1")
    result: arrays.CkksArray | None = None
    square = array
    while exponent > 1:
        if exponent & 1:
            result = square if result is None else multiply(result, square)
        exponent >>= 1
        square = multiply(square, square)
    return square if result is None else multiply(result, square)


def _multiply_arrays(
    a: arrays.CkksArray, b: arrays.CkksArray, relinearised: bool, rescaled: bool
) -> arrays.CkksArray:
    if a.packing is not None or b.packing is not None:
        raise TypeError(
            f"{describe_all(a, b)}, and one is packed: packed arrays have no products but with numbers; encrypt without"
            " packed=True for that"
        )
    same, given = a is b, (a, b)
    a, b = matched(a, b)
    if a.size_of != 2 or b.size_of != 2:
        raise ValueError(
            f"{describe_all(*given)}, and one is a product that was not relinearised: relinearise() it first"
        )
    parameters, level = a.parameters, a.level
    after = next_scale(parameters, level, a.scale * b.scale, *given) if rescaled else None
    _check_product(a, b)
    key = relinearisation_of(*given).beside(a.data) if relinearised else None
    basis, limbs, n = parameters.basis(level), level + 1, parameters.n
    shape = a.shape if same else broadcast_shapes(*given)
    left, right = a.data.reshape(-1, 2, limbs, n), b.data.reshape(-1, 2, limbs, n)
    left_rows, right_rows = _rows(a.shape, shape), _rows(b.shape, shape)
    n_out = limbs - 1 if after else limbs
    out = empty((len(left_rows), 2 if relinearised else 3, n_out, n), left)
    for part in parts(out):
        x, y = gather(left, left_rows[part]), gather(right, right_rows[part])
        product = out[part] if key is None and not after else empty((len(x), 3, limbs, n), x)
        _tensor(x, y, product, basis)
        if key is not None:
            low, high = contiguous(product[:, :2]), contiguous(product[:, 2])
            rns.switch_key(
                high, key, parameters.chain, level, add=low, rescale=after is not None, out=out[part]
            )
        elif after:
            rns.rescale(product, parameters.chain, level, out=out[part])
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


def _tensor(x: Residues, y: Residues, out: Residues, basis: ntt.Basis) -> None:
    """(x_0 y_0, x_0 y_1 + x_1 y_0, x_1 y_1) of rows: `uint64[rows, 2, limbs, N]` to `uint64[rows, 3, limbs, N]`."""
    if out.flags.c_contiguous:
        ntt.tensor(contiguous(x), contiguous(y), basis, out=out)
        return
    x0, x1, y0, y1 = (contiguous(half) for half in (x[:, 0], x[:, 1], y[:, 0], y[:, 1]))
    _put(out[:, 0], ntt.multiply, x0, y0, basis)
    _put(out[:, 1], ntt.multiply, x0, y1, basis)
    _put(out[:, 1], ntt.multiply_add, x1, y0, contiguous(out[:, 1]), basis)
    _put(out[:, 2], ntt.multiply, x1, y1, basis)


def _put(target: Residues, operation: Callable[..., Residues], *arguments: Any) -> None:
    """The result of a kernel to `target`, by a copy where that is not contiguous: with several rows."""
    if target.flags.c_contiguous:
        operation(*arguments, out=target)
    else:
        target[...] = operation(*arguments)


def _check_product(a: arrays.CkksArray, b: arrays.CkksArray) -> None:
    """ScaleError where the product of the scales does not leave a bit of room in the moduli."""
    log_modulus = sum(map(math.log2, a.parameters.moduli.primes[: a.level + 1]))
    if math.log2(a.scale) + math.log2(b.scale) > log_modulus - 2:
        raise ScaleError(
            f"{describe_all(a, b)}: their product needs a modulus of"
            f" {math.log2(a.scale) + math.log2(b.scale) + 2:.0f} bits, the level has {log_modulus:.0f}: rescale()"
            " before, or multiply at a higher level"
        )


def _multiply_integer(a: arrays.CkksArray, factor: int) -> arrays.CkksArray:
    """Exact, at no level's expense; the values must still fit."""
    if factor.bit_length() > MAX_INTEGER_BITS:
        raise ValueError(f"the factor has {factor.bit_length()} bits: no ciphertext holds such values")
    basis = a.parameters.basis(a.level)
    data = ntt.scale(a.data, [factor % q for q in basis.primes], basis)
    estimate = a.estimate and a.estimate.times_plain(abs(factor), 1.0, exact=True)
    return a.replaced(data, estimate=estimate)


def _multiply_number(a: arrays.CkksArray, factor: Any, rescaled: bool) -> arrays.CkksArray:
    """With one real number for all slots: its integer, no polynomial."""
    if isinstance(factor, bool) or not isinstance(factor, int | float | np.integer | np.floating):
        given = (a, factor) if isinstance(factor, encoder.Plaintext) else (a,)
        raise TypeError(
            f"{describe_all(*given)}, and the array is packed and was multiplied by {kind(factor)}: only real numbers"
            " multiply it; encrypt without packed=True for others"
        )
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


def _multiply_plain(a: arrays.CkksArray, b: Any, rescaled: bool) -> arrays.CkksArray:
    """With numbers slot by slot, or a `Plaintext`."""
    parameters = a.parameters
    plain = encoded(a, b, parameters.scales[a.level])
    given = a, b if isinstance(b, encoder.Plaintext) else plain
    after = next_scale(parameters, a.level, a.scale * plain.scale, *given) if rescaled else None
    with naming(*given):
        encoder.check_fits(parameters, plain.magnitude, a.level, a.scale * plain.scale, "the factors")
    basis, limbs, n = parameters.basis(a.level), a.level + 1, parameters.n
    numbers = plain.beside(a.data)
    if not plain.shape:
        data = ntt.multiply(a.data, numbers, basis)
        shape = a.shape
    else:
        shape = broadcast_shapes(*given)
        numbers = broadcast(numbers, (*shape, limbs, n))
        data = ntt.multiply(
            broadcast(a.data, (*shape, a.size_of, limbs, n)), numbers.reshape(*shape, 1, limbs, n), basis
        )
    return _product(a, data, shape, plain.magnitude, plain.scale, after)


def _product(
    a: arrays.CkksArray,
    data: Residues,
    shape: tuple[int, ...],
    magnitude: float,
    factor_scale: float,
    after: tuple[int, float] | None,
) -> arrays.CkksArray:
    estimate = a.estimate and a.estimate.times_plain(magnitude, factor_scale)
    level, scale = a.level, a.scale * factor_scale
    if after:
        data = rns.rescale(data, a.parameters.chain, level)
        level, scale = after
        estimate = estimate and estimate.rescaled(level, scale, size=a.size_of)
    return a.replaced(data, level=level, scale=scale, estimate=estimate)
