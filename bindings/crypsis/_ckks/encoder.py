# SPDX-License-Identifier: Apache-2.0
"""Numbers to plaintext polynomials and back, with the checks that numbers from outside need."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from crypsis import embedding, ntt, rns
from crypsis._arguments import kind, refuse_gpu
from crypsis._ckks.parameters import Parameters
from crypsis._ckks.places import Placed
from crypsis._homomorphic.secret import Frozen
from crypsis._homomorphic.wiping import wiping
from crypsis.errors import LevelError

Residues = npt.NDArray[np.uint64]
Slots = npt.NDArray[Any]
"""float64 or complex128."""


class Plaintext(Frozen):
    """Numbers encoded at a level and a scale, in the NTT domain: for products with many ciphertexts.

    data: `uint64[*shape, level + 1, N]`. shape: rows; () is one for every row of a ciphertext. length: slots in use.
    magnitude: the largest |number|. `encode` makes it.
    """

    __slots__ = ("_placed", "data", "length", "level", "magnitude", "parameters", "scale", "shape")

    parameters: Parameters
    data: Residues
    shape: tuple[int, ...]
    length: int
    level: int
    scale: float
    magnitude: float
    _placed: Placed

    def __init__(
        self, parameters: Parameters, data: Residues, length: int, level: int, scale: float, magnitude: float
    ) -> None:
        self._set(
            parameters=parameters,
            data=data,
            _placed=Placed(data),
            shape=data.shape[:-2],
            length=length,
            level=level,
            scale=scale,
            magnitude=magnitude,
        )

    def beside(self, data: Any) -> Any:
        """`data` where those of a ciphertext are: a GPU gets a copy, which is kept."""
        return self._placed.beside(data)

    def at(self, level: int) -> Plaintext:
        """The same numbers and scale with fewer moduli. LevelError where it has none to drop."""
        if level == self.level:
            return self
        if level > self.level:
            raise LevelError(
                f"the plaintext is encoded at level {self.level}, the ciphertext is at {level}: encode it there"
            )
        data = np.ascontiguousarray(self.data[..., : level + 1, :])
        return Plaintext(self.parameters, data, self.length, level, self.scale, self.magnitude)

    def __repr__(self) -> str:
        return (
            f"Plaintext(shape={self.shape}, {self.length} slots, level {self.level},"
            f" scale 2^{math.log2(self.scale):.2f})"
        )


def encode(
    parameters: Parameters,
    values: Any,
    *,
    level: int | None = None,
    scale: float | None = None,
    magnitude: float | None = None,
    name: str = "values",
) -> Plaintext:
    """Encode numbers for use with ciphertexts of `level` (default: the top) or lower ones.

    values: real or complex numbers, `[..., m]` with m at most `n_slots`, filled up with zeros. scale: by default that
    of the level, with which a product has the scale of the level below once it is rescaled. magnitude: what no |value|
    exceeds, known without looking at them: estimates of errors, and with them the noise of `share_safe`, then say
    nothing else of the numbers; without it they go by the largest one. ValueError for too many, for larger ones,
    for NaN and infinities (naming the index), and for numbers that do not fit the moduli; TypeError for no numbers.
    """
    level = parameters.check_level(level)
    scale = parameters.scales[level] if scale is None else float(scale)
    slots, found = as_slots(parameters, values, name)
    most = found if magnitude is None else float(magnitude)
    if not found <= most:
        raise ValueError(f"{name} go up to {found:.4g}, beyond magnitude, {most:.4g}: scale them down")
    check_fits(parameters, most, level, scale, name)
    basis = parameters.basis(level)
    data = embedding.encode(slots, scale, basis)
    ntt.forward(data, basis, out=data)
    return Plaintext(parameters, data, slots.shape[-1], level, scale, most)


def check_fits(parameters: Parameters, magnitude: float, level: int, scale: float, name: str) -> None:
    """ValueError where numbers of this size would wrap around the modulus of the level."""
    log_modulus = sum(map(math.log2, parameters.moduli.primes[: level + 1]))
    if magnitude > 0 and math.log2(magnitude) + math.log2(scale) > log_modulus - 2:
        raise ValueError(
            f"{name} go up to {magnitude:.4g}: with scale 2^{math.log2(scale):.1f} at level {level} at most"
            f" {2.0 ** (log_modulus - 2 - math.log2(scale)):.4g} fits: scale the numbers down"
        )


def as_slots(parameters: Parameters, values: Any, name: str = "values") -> tuple[Slots, float]:
    """(float64 or complex128 `[..., m]`, largest magnitude) of numbers from outside."""
    array = as_numbers(values, name)
    if array.ndim == 0:
        array = array.reshape(1)
    if array.shape[-1] > parameters.n_slots:
        raise ValueError(
            f"{name} have {array.shape[-1]} numbers a row, a ciphertext has {parameters.n_slots} slots: cut them"
            " into rows, or encrypt with packed=True, which does"
        )
    if array.shape[-1] == 0:
        raise ValueError(f"{name} have no numbers: give at least one a row")
    return array, largest(array, name)


def as_numbers(values: Any, name: str) -> Slots:
    """A C-contiguous float64 or complex128 array; TypeError for what is no number."""
    refuse_gpu(name, values)
    array = values if isinstance(values, np.ndarray) else np.asarray(values)
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{name} is {kind(values)} of {array.dtype}: give real or complex numbers")
    dtype = np.complex128 if array.dtype.kind == "c" else np.float64
    # numpy.ascontiguousarray would make an axis where there is none.
    return np.asarray(array, dtype=dtype, order="C")


def largest(array: Slots, name: str) -> float:
    """The largest magnitude; ValueError naming the first NaN or infinity."""
    if array.size == 0:
        return 0.0
    flat = array.reshape(-1).view(np.float64)
    top = max(float(flat.max()), -float(flat.min()))
    if not math.isfinite(top):
        at = int(np.argmin(np.isfinite(array)))
        where = tuple(int(i) for i in np.unravel_index(at, array.shape))
        raise ValueError(
            f"{name}[{', '.join(map(str, where))}] is {array.reshape(-1)[at]}: only finite numbers can be encrypted"
        )
    return float(np.abs(array).max()) if array.dtype.kind == "c" else top


def decode(
    parameters: Parameters, residues: Residues, level: int, scale: float
) -> npt.NDArray[np.complex128]:
    """The slots `complex128[..., N/2]` of coefficients modulo the level's moduli, NTT domain; these are overwritten,
    and what lies between is wiped.
    """
    basis = parameters.basis(level)
    with wiping() as secret:
        ntt.inverse(residues, basis, out=residues)
        coefficients = secret(rns.compose(residues, parameters.chain, level))
        slots: npt.NDArray[np.complex128] = embedding.decode(coefficients, scale)
        return slots
