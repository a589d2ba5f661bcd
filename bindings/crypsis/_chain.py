# SPDX-License-Identifier: Apache-2.0
"""`Chain`: the moduli that `crypsis.rns` works with. Private; import it from there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crypsis import _arguments, _core
from crypsis.ntt import Basis


class Chain:
    """The moduli of a CKKS scheme and how they are grouped into digits. Immutable; equal chains compare and hash equal.

    log_n: of the ring degree, as for `ntt.Basis`. moduli: q_0 .. q_(L-1), L >= 1; a rescaling drops the last one that
    is left. special: p_0 .. p_(k-1), k >= 1. dnum: into how many digits a polynomial with all moduli falls; a digit has
    alpha = ceil(L / dnum) moduli, the last one perhaps fewer, and `dnum` becomes ceil(L / alpha). Default: L, digits of
    one modulus.

    Raises ValueError for what `ntt.Basis` refuses, a modulus that is there twice, more than MAX_MODULI, and where the
    product of a digit's moduli exceeds that of the special moduli, since noise would then drown what is switched.
    """

    __slots__ = (
        "__weakref__",
        "_bases",
        "_fulls",
        "_handle",
        "alpha",
        "dnum",
        "log_n",
        "moduli",
        "n",
        "special",
    )
    log_n: int
    """log2 of the ring degree."""
    n: int
    """The ring degree N."""
    moduli: Basis
    """q_0 .. q_(L-1)."""
    special: Basis
    """p_0 .. p_(k-1)."""
    alpha: int
    """Moduli of a digit."""
    dnum: int
    """Digits at the highest level."""
    _bases: tuple[Basis, ...]
    _fulls: tuple[Basis, ...]
    _handle: Any  # _core.rns.Chain

    def __init__(
        self, log_n: int, moduli: Sequence[int], special: Sequence[int], *, dnum: int | None = None
    ) -> None:
        q, p = Basis(log_n, moduli), Basis(log_n, special)
        n_digits = (
            len(q) if dnum is None else _arguments.integer("dnum", dnum, 1, len(q), "None for one a modulus")
        )
        alpha = -(-len(q) // n_digits)
        handle = _core.rns.Chain(q._handle, p._handle, alpha)
        whole = q + p
        lefts = tuple(q[: i + 1] for i in range(len(q)))
        for name, value in (
            ("log_n", q.log_n),
            ("n", q.n),
            ("moduli", q),
            ("special", p),
            ("alpha", alpha),
            ("dnum", -(-len(q) // alpha)),
            ("_handle", handle),
            ("_bases", lefts),
            ("_fulls", (*(left + p for left in lefts[:-1]), whole)),
        ):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a Chain is immutable: make another one instead of setting {name}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _chain, self._value

    @property
    def _value(self) -> tuple[int, tuple[int, ...], tuple[int, ...], int]:
        return self.log_n, self.moduli.primes, self.special.primes, self.dnum

    def __eq__(self, other: object) -> bool:
        return self._value == other._value if isinstance(other, Chain) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return f"Chain({self.log_n}, {self.moduli.primes}, {self.special.primes}, dnum={self.dnum})"

    def n_digits(self, level: int) -> int:
        """Digits of a polynomial at `level`, 0 to L - 1."""
        return check_level(self, level) // self.alpha + 1

    def basis(self, level: int) -> Basis:
        """q_0 .. q_level."""
        return self._bases[check_level(self, level)]

    def full(self, level: int) -> Basis:
        """q_0 .. q_level, p_0 .. p_(k-1)."""
        return self._fulls[check_level(self, level)]

    @property
    def key_shape(self) -> tuple[int, int, int, int]:
        """Of a key: (dnum, 2, L + k, N); limbs are those of `full(L - 1)`."""
        return self.dnum, 2, len(self.moduli) + len(self.special), self.n


def _chain(log_n: int, moduli: tuple[int, ...], special: tuple[int, ...], dnum: int) -> Chain:
    return Chain(log_n, moduli, special, dnum=dnum)


def check_level(chain: Any, level: Any) -> int:
    """`level` where the chain has it; TypeError or ValueError otherwise."""
    if not isinstance(chain, Chain):
        raise TypeError(f"chain is {_arguments.kind(chain)}: give a crypsis.rns.Chain")
    return _arguments.integer("level", level, 0, len(chain.moduli) - 1)
