# SPDX-License-Identifier: Apache-2.0
"""Powers: any base, or one base whose powers are tabulated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crypsis import _arguments, _core
from crypsis._bigint import arrays as check
from crypsis._bigint.arrays import Limbs
from crypsis._bigint.modulus import Modulus
from crypsis.cuda._dispatch import device_of, follow_data

if TYPE_CHECKING:
    from crypsis.cuda import Device


@follow_data("bigint")
def powm(
    bases: Limbs,
    exponents: Limbs,
    modulus: Modulus,
    *,
    exponent_bits: int | None = None,
    montgomery: bool = False,
    out: Limbs | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Limbs:
    """bases^exponents mod n, row by row; constant-time in both. `out` may be `bases` where it has its shape.

    bases: `uint64[n, limbs]`, or one row for all exponents.
    exponents: `uint64[n, e]` with any number e of limbs, or `uint64[e]`, one for all bases; plain numbers also
    with `montgomery`. exponent_bits: a public bound, every exponent is below 2^exponent_bits (ValueError names
    the row); default 64 * e. The time depends on it. 0^0 is 1.
    """
    return _powm(bases, exponents, modulus, exponent_bits, montgomery, False, out, backend, threads)


@follow_data("bigint")
def powm_vartime(
    bases: Limbs,
    exponents: Limbs,
    modulus: Modulus,
    *,
    exponent_bits: int | None = None,
    montgomery: bool = False,
    out: Limbs | None = None,
    backend: str | None = None,
    threads: int | None = None,
) -> Limbs:
    """`powm` whose time and memory addresses depend on the exponents: for public exponents, some percent faster."""
    return _powm(bases, exponents, modulus, exponent_bits, montgomery, True, out, backend, threads)


def _powm(
    bases: Limbs,
    exponents: Limbs,
    modulus: Modulus,
    exponent_bits: int | None,
    montgomery: bool,
    vartime: bool,
    out: Limbs | None,
    backend: str | None,
    threads: int | None,
) -> Limbs:
    rows, powers, n_bits, result = powm_operands(bases, exponents, modulus, exponent_bits, out)
    _core.bigint.powm(
        modulus._core,
        rows,
        powers,
        n_bits,
        result.reshape(-1, modulus.limbs),
        _arguments.flag("montgomery", montgomery),
        vartime,
        _arguments.backend(backend),
        _arguments.threads(threads),
    )
    return result


def powm_operands(
    bases: Limbs,
    exponents: Limbs,
    modulus: Modulus,
    exponent_bits: int | None,
    out: Limbs | None,
    device: Device | None = None,
) -> tuple[Limbs, Limbs, int, Limbs]:
    """Bases and exponents as rows, the bound of exponents, and where the powers go; private."""
    rows = check.rows("bases", bases, modulus.limbs, device)
    powers = _exponents(exponents, device)
    n = max(len(rows), len(powers)) if len(rows) and len(powers) else 0
    if len(rows) not in (1, n) or len(powers) not in (1, n):
        raise ValueError(
            f"bases has shape {bases.shape} and exponents {exponents.shape}: "
            "give as many rows, or one for all in either"
        )
    shape = (n, modulus.limbs) if max(bases.ndim, exponents.ndim) == 2 else (modulus.limbs,)
    one_base = (rows,) if len(rows) == 1 and n != 1 else ()
    result = check.result(
        out, shape, same=() if one_base else (rows,), apart=(*one_base, powers), device=device
    )
    return rows, powers, _exponent_bits(exponent_bits, powers), result


def _exponents(exponents: Any, device: Device | None = None) -> Limbs:
    checked: Limbs = check.array("exponents", exponents, (np.uint64,), (1, 2), device)
    if checked.shape[-1] == 0:
        raise ValueError(f"exponents has shape {checked.shape}: give at least one limb")
    return checked.reshape(-1, checked.shape[-1])


def _exponent_bits(exponent_bits: int | None, exponents: Limbs) -> int:
    most = 64 * exponents.shape[1]
    return most if exponent_bits is None else _arguments.integer("exponent_bits", exponent_bits, 0, most)


class FixedBase:
    """Powers of one base from tables: no squarings. Immutable, thread-safe; threads share the tables.

    base: `uint64[limbs]`, in Montgomery form with `montgomery=True`. exponent_bits: public bound of every
    exponent, at least 1. window: bits of an exponent that one look-up takes in `powm_vartime`, 1 to 12; default:
    the largest up to 10 whose table stays below TABLE_BYTES. `powm`, which reads whole tables, takes what is
    quickest up to that.

    Each table is built at the first use of its form (and backend): 2^window products for each window. To build it
    earlier, call `build`.
    """

    TABLE_BYTES = 96 << 20
    """What the default window keeps the table below."""

    def __init__(
        self,
        base: Limbs,
        modulus: Modulus,
        exponent_bits: int,
        *,
        window: int | None = None,
        montgomery: bool = False,
    ) -> None:
        if (device := device_of(base)) is not None:
            base = device.to_host(base)
        row = check.rows("base", base, modulus.limbs)
        if len(row) != 1:
            raise ValueError(f"base has shape {base.shape}: give uint64[{modulus.limbs}]")
        in_form = _arguments.flag("montgomery", montgomery)
        _core.bigint.check_values(modulus._core, row, "base", 1)
        self._base = row.copy() if in_form else modulus.to_montgomery(row, threads=1)
        self._modulus = modulus
        self._exponent_bits = _arguments.integer("exponent_bits", exponent_bits, 1, 1 << 16)
        self._window = (
            self._default_window() if window is None else _arguments.integer("window", window, 1, 12)
        )
        self._given_window = None if window is None else self._window
        self._tables: dict[tuple[Any, bool], Any] = {}

    @property
    def modulus(self) -> Modulus:
        """The modulus."""
        return self._modulus

    @property
    def exponent_bits(self) -> int:
        """Every exponent is below 2^exponent_bits."""
        return self._exponent_bits

    @property
    def window(self) -> int | None:
        """Bits of a look-up in `powm_vartime`, as given; None for the default, of which a device has its own."""
        return self._given_window

    @property
    def n_bytes(self) -> int:
        """Bytes of the tables built so far."""
        return sum(table.n_bytes for table in list(self._tables.values()))

    def build(self, *, vartime: bool = False, backend: str | None = None, threads: int | None = None) -> None:
        """Builds the table of `powm`, or of `powm_vartime`, now."""
        self._table(vartime, backend, threads)

    def powm(
        self,
        exponents: Limbs,
        *,
        montgomery: bool = False,
        out: Limbs | None = None,
        backend: str | None = None,
        threads: int | None = None,
    ) -> Limbs:
        """base^exponents mod n, constant-time: each look-up reads every entry of its small table.

        exponents: `uint64[n, e]` with any e, or `uint64[e]`; below 2^exponent_bits (ValueError names the row),
        plain numbers also with `montgomery`, which is about the result. `out` must not overlap them.
        """
        return self._powm(exponents, False, montgomery, out, backend, threads)

    def powm_vartime(
        self,
        exponents: Limbs,
        *,
        montgomery: bool = False,
        out: Limbs | None = None,
        backend: str | None = None,
        threads: int | None = None,
    ) -> Limbs:
        """`powm` by direct look-ups in a bigger table, half the products: memory addresses depend on the exponents."""
        return self._powm(exponents, True, montgomery, out, backend, threads)

    def _powm(
        self,
        exponents: Limbs,
        vartime: bool,
        montgomery: bool,
        out: Limbs | None,
        backend: str | None,
        threads: int | None,
    ) -> Limbs:
        if (device := device_of(exponents, out)) is not None:
            from crypsis.cuda import bigint

            return bigint.fixed_base_powm(  # type: ignore[no-any-return]
                device, self, exponents, vartime=vartime, montgomery=montgomery, out=out
            )
        rows = _exponents(exponents)
        limbs = self._modulus.limbs
        shape = (len(rows), limbs) if exponents.ndim == 2 else (limbs,)
        result = check.result(out, shape, apart=(rows,))
        self._table(vartime, backend, threads).powm(
            rows,
            self._exponent_bits,
            result.reshape(-1, limbs),
            _arguments.flag("montgomery", montgomery),
            _arguments.threads(threads),
        )
        return result

    def _table(self, vartime: bool, backend: str | None, threads: int | None) -> Any:
        key = (_core.bigint.select(_arguments.backend(backend)), vartime)
        n_threads = _arguments.threads(threads)
        # No lock: a fork could leave it held in the child. Two threads may build the same table; one is kept.
        if key not in self._tables:
            table = _core.bigint.FixedBase(
                self._modulus._core, self._base, self._exponent_bits, self._window, vartime, key[0], n_threads
            )
            self._tables.setdefault(key, table)
        return self._tables[key]

    def _default_window(self) -> int:
        entry_bytes = 8 * (64 * self._modulus.limbs // 52 + 8)
        for window in range(10, 1, -1):
            if -(-self._exponent_bits // window) * entry_bytes << window <= self.TABLE_BYTES:
                return window
        return 1
