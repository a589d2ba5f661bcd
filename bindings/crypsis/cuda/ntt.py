# SPDX-License-Identifier: Apache-2.0
"""`crypsis.ntt` on a device: kernels/ntt. Called by way of `crypsis.ntt`.

Functions take the device first and then what those of `crypsis.ntt` take, and return and raise what those do;
DeviceMemoryError where arrays do not fit. Arrays are the device's, `uint64[..., limbs, N]`, the same words as on the
CPU. Nothing waits for the device but the first call with a basis, which makes its tables (32 N bytes a prime).

Constant-time is what is so on the CPU: no branch and no address of a kernel depends on residues.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from crypsis import _arguments
from crypsis import ntt as host
from crypsis._bigint import arrays as check
from crypsis.cuda._device import Device
from crypsis.cuda._ntt_tables import Tables, factors, tables_of
from crypsis.ntt import Basis

_TURNS = np.dtype([("n", "<u4"), ("repeat", "<u4")])
SIGNED = (np.int8, np.int16, np.int32, np.int64)


def forward(device: Device, values: Any, basis: Basis, *, out: Any = None) -> Any:
    """Coefficients to values at the odd powers of psi."""
    tables, values = tables_of(device, basis_of(basis)), words(device, "values", values, basis)
    result = output(device, out, values.shape, same=(values,))
    tables.forward(polynomials(values), polynomials(result))
    return result


def inverse(device: Device, values: Any, basis: Basis, *, out: Any = None) -> Any:
    """The inverse of `forward`."""
    tables, values = tables_of(device, basis_of(basis)), words(device, "values", values, basis)
    result = output(device, out, values.shape, same=(values,))
    tables.inverse(polynomials(values), polynomials(result))
    return result


def add(device: Device, a: Any, b: Any, basis: Basis, *, out: Any = None) -> Any:
    """a + b, element by element."""
    return _pointwise(device, "add", a, (("b", b),), basis, out)


def subtract(device: Device, a: Any, b: Any, basis: Basis, *, out: Any = None) -> Any:
    """a - b, element by element."""
    return _pointwise(device, "subtract", a, (("b", b),), basis, out)


def negate(device: Device, a: Any, basis: Basis, *, out: Any = None) -> Any:
    """-a."""
    return _pointwise(device, "negate", a, (), basis, out)


def multiply(device: Device, a: Any, b: Any, basis: Basis, *, out: Any = None) -> Any:
    """a b, element by element."""
    return _pointwise(device, "multiply", a, (("b", b),), basis, out)


def multiply_add(device: Device, a: Any, b: Any, c: Any, basis: Basis, *, out: Any = None) -> Any:
    """a b + c, element by element."""
    return _pointwise(device, "multiply_add", a, (("b", b), ("c", c)), basis, out)


def tensor(device: Device, x: Any, y: Any, basis: Basis, *, out: Any = None) -> Any:
    """(x_0 y_0, x_0 y_1 + x_1 y_0, x_1 y_1), in one pass over memory."""
    tables = tables_of(device, basis_of(basis))
    x, y = words(device, "x", x, basis), words(device, "y", y, basis)
    if x.ndim < 3 or x.shape[-3] != 2 or x.shape != y.shape:
        raise ValueError(
            f"x and y have shapes {x.shape} and {y.shape}: give both uint64[..., 2, {len(basis)}, {basis.n}]"
        )
    result = output(device, out, (*x.shape[:-3], 3, *x.shape[-2:]), apart=(x, y))
    n = x.size // 2
    tables.elementwise("tensor", n, [result, x, y, *_sizes(tables, n)])
    return result


def scale(device: Device, a: Any, constants: int | Sequence[int], basis: Basis, *, out: Any = None) -> Any:
    """a times integers, taken mod each prime."""
    tables, a = tables_of(device, basis_of(basis)), words(device, "a", a, basis)
    residues = host._residues(constants, basis)
    result = output(device, out, a.shape, same=(a,))
    pairs = device.from_host(factors(residues, basis.primes))
    tables.elementwise("scale", a.size, [result, a, pairs, *_sizes(tables, a.size)])
    return result


def automorphism(
    device: Device, values: Any, galois: int, basis: Basis, *, ntt_domain: bool = True, out: Any = None
) -> Any:
    """a(x) to a(x^galois)."""
    tables, values = tables_of(device, basis_of(basis)), words(device, "values", values, basis)
    galois = host._galois(galois, basis)
    ntt_domain = _arguments.flag("ntt_domain", ntt_domain)
    result = output(device, out, values.shape, apart=(values,))
    if ntt_domain:
        sizes = (np.uint64(values.size), np.uint32(basis.log_n), np.uint32(galois))
        tables.elementwise("permute", values.size, [result, values, *sizes])
    else:
        back = np.uint32(pow(galois, -1, 2 * basis.n))
        args = [result, values, *_sizes(tables, values.size), back]
        tables.elementwise("permute_coefficients", values.size, args)
    return result


def from_signed(device: Device, values: Any, basis: Basis, *, out: Any = None) -> Any:
    """Signed integers to residues."""
    tables = tables_of(device, basis_of(basis))
    values = check.array("values", values, SIGNED, tuple(range(1, 33)), device)
    if values.shape[-1] != basis.n:
        raise ValueError(f"values has shape {values.shape}: give [..., {basis.n}], a polynomial a row")
    result = output(device, out, (*values.shape[:-1], len(basis), basis.n), apart=(values,))
    wide = values.astype(np.int64, copy=False)
    tables.elementwise("from_signed", result.size, [result, wide, *_sizes(tables, result.size)])
    return result


def is_reduced(device: Device, values: Any, basis: Basis) -> bool:
    """Whether every residue is below its prime; waits for the device."""
    tables, values = tables_of(device, basis_of(basis)), words(device, "values", values, basis)
    return bool((values < tables.primes[:, :1]).all())


def _pointwise(
    device: Device, kernel: str, a: Any, operands: Sequence[tuple[str, Any]], basis: Basis, out: Any
) -> Any:
    tables, a = tables_of(device, basis_of(basis)), words(device, "a", a, basis)
    args: list[Any] = []
    same: list[Any] = [a]
    apart: list[Any] = []
    for name, operand in operands:
        operand = words(device, name, operand, basis)
        turns = host._turns(name, operand.shape, a.shape)
        if turns is None:  # an axis of 1 between others
            operand, turns = device.xp.ascontiguousarray(device.xp.broadcast_to(operand, a.shape)), 1
        (same if operand.shape == a.shape else apart).append(operand)
        n = operand.size // (len(basis) * basis.n)
        args += [operand, np.array((max(n, 1), turns), _TURNS)[()]]
    result = output(device, out, a.shape, same=tuple(same), apart=tuple(apart))
    tables.elementwise(kernel, a.size, [result, a, *args, *_sizes(tables, a.size)])
    return result


def _sizes(tables: Tables, n: int) -> tuple[Any, ...]:
    return tables.primes, np.uint64(n), np.uint32(tables.limbs), np.uint32(tables.log_n)


def basis_of(basis: Any) -> Basis:
    """`basis`, checked."""
    if not isinstance(basis, Basis):
        raise TypeError(f"basis is {_arguments.kind(basis)}: give a crypsis.ntt.Basis")
    return basis


def words(device: Device, name: str, value: Any, basis: Basis) -> Any:
    """uint64[..., limbs, N] on the device, checked."""
    array: Any = check.array(name, value, (np.uint64,), tuple(range(33)), device)
    if array.shape[-2:] != (len(basis), basis.n):
        raise ValueError(f"{name} has shape {array.shape}: give uint64[..., {len(basis)}, {basis.n}]")
    return array


def output(device: Device, out: Any, shape: tuple[int, ...], *, same: Any = (), apart: Any = ()) -> Any:
    """`out`, checked, or a new array. It may be the very memory of those in `same`, else it overlaps no input."""
    return check.result(out, shape, same=same, apart=apart, device=device)


def polynomials(values: Any) -> Any:
    """[n, limbs, N]."""
    return values.reshape(-1, *values.shape[-2:])
