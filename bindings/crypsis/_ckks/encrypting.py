# SPDX-License-Identifier: Apache-2.0
"""Encryption and decryption of batches, a block of rows at a time: a block stays near the processor."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from crypsis import embedding, ntt
from crypsis._arguments import flag
from crypsis._ckks import coins as randomness
from crypsis._ckks import encoder
from crypsis._ckks.array import CkksArray
from crypsis._ckks.coins import Coins
from crypsis._ckks.noise import Estimate
from crypsis._ckks.parameters import Parameters
from crypsis._ckks.sharing import draw
from crypsis._ckks.switch_keys import EncryptionKey
from crypsis._homomorphic.wiping import wiping

if TYPE_CHECKING:
    from crypsis._ckks.keys import PublicKey

BLOCK_BYTES = 1 << 19
"""Of one polynomial a row."""

Residues = npt.NDArray[np.uint64]


def blocks(n_rows: int, row_bytes: int) -> Iterator[slice]:
    """Slices of rows of about BLOCK_BYTES together."""
    step = max(1, BLOCK_BYTES // row_bytes)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


class _Message:
    """Numbers on their way to ciphertexts."""

    def __init__(
        self, parameters: Parameters, values: Any, level: int | None, packed: bool, magnitude: float | None
    ) -> None:
        self.parameters = parameters
        self.level = parameters.check_level(level)
        self.scale = parameters.scales[self.level]
        self.packing: tuple[int, ...] | None = None
        if flag("packed", packed):
            self.slots, found, self.packing = pack(parameters, values)
        else:
            self.slots, found = encoder.as_slots(parameters, values)
        most = parameters.max_value if magnitude is None else float(magnitude)
        if not found <= min(most, parameters.max_value):
            fits = found <= parameters.max_value
            name, bound = ("magnitude", most) if fits else ("parameters.max_value", parameters.max_value)
            raise ValueError(
                f"values go up to {found:.4g}, beyond {name}, {bound:.4g}: scale them down, or take parameters with a"
                " larger first modulus or a smaller log_scale"
            )
        self.magnitude = most * math.sqrt(2) if packed else most
        self.shape = self.slots.shape[:-1]
        self.rows = self.slots.reshape(-1, self.slots.shape[-1])

    def noisy(self, part: slice, basis: ntt.Basis, coins: Coins, held: Any) -> Residues:
        """Message plus fresh noise of the rows, NTT domain."""
        noise = held(coins.noise((part.stop - part.start, self.parameters.n)))
        message: Residues = held(embedding.encode(self.rows[part], self.scale, basis))
        error = held(ntt.from_signed(noise, basis))
        ntt.add(message, error, basis, out=message)
        ntt.forward(message, basis, out=message)
        return message

    def estimate(self, *, public: bool) -> Estimate:
        return Estimate.fresh(self.parameters, magnitude=self.magnitude, level=self.level, public=public)


def encrypt_public(
    key: PublicKey,
    values: Any,
    level: int | None,
    packed: bool,
    magnitude: float | None,
    coins: Coins,
) -> CkksArray:
    """(b u + e_0 + m, a u + e_1) of each row."""
    parameters = key.parameters
    message = _Message(parameters, values, level, packed, magnitude)
    basis = parameters.basis(message.level)
    limbs, n = len(basis), parameters.n
    body, mask = key.encryption.body[:limbs], key.encryption.mask[:limbs]
    data = ntt.empty((len(message.rows), 2, limbs, n))
    for part in blocks(len(data), 8 * limbs * n):
        with wiping() as held:
            count = part.stop - part.start
            small = held(np.empty((3, count, n), np.int8))
            small[0] = held(coins.ternary((count, n)))
            small[1:] = held(coins.noise((2, count, n)))
            drawn = held(ntt.from_signed(small, basis))
            u, first, second = drawn
            encoded = held(embedding.encode(message.rows[part], message.scale, basis))
            ntt.add(first, encoded, basis, out=first)
            ntt.forward(drawn, basis, out=drawn)
            if count == 1:
                ntt.multiply_add(u[0], body, first[0], basis, out=data[part.start, 0])
                ntt.multiply_add(u[0], mask, second[0], basis, out=data[part.start, 1])
            else:  # short rows: two copies cost less than two calls for each
                data[part, 0] = ntt.multiply_add(u, body, first, basis, out=first)
                data[part, 1] = ntt.multiply_add(u, mask, second, basis, out=second)
    return CkksArray(
        parameters,
        key.id,
        data.reshape(*message.shape, 2, limbs, n),
        message.level,
        message.scale,
        message.slots.shape[-1],
        keys=key,
        packing=message.packing,
        estimate=message.estimate(public=True),
    )


def encrypt_symmetric(
    secret: Residues,
    encryption: EncryptionKey,
    keys: PublicKey | None,
    values: Any,
    level: int | None,
    packed: bool,
    magnitude: float | None,
    coins: Coins,
) -> CkksArray:
    """(e + m - a s, a) of each row, a from one seed for all rows."""
    parameters = encryption.parameters
    message = _Message(parameters, values, level, packed, magnitude)
    basis = parameters.basis(message.level)
    limbs, n = len(basis), parameters.n
    seed = randomness.public_seed()
    body = ntt.empty((len(message.rows), limbs, n))
    for part in blocks(len(body), 8 * limbs * n):
        with wiping() as held:
            first = message.noisy(part, basis, coins, held)
            # The product, with a known from its seed, would tell s.
            mask = held(randomness.expand(seed, (len(first),), basis, first=part.start))
            ntt.multiply(mask, secret[:limbs], basis, out=mask)
            ntt.subtract(first, mask, basis, out=body[part])
    return CkksArray(
        parameters,
        encryption.digest,
        body.reshape(*message.shape, limbs, n),
        message.level,
        message.scale,
        message.slots.shape[-1],
        seed=seed,
        keys=keys,
        packing=message.packing,
        estimate=message.estimate(public=False),
    )


def decrypt(
    secret: Residues, array: CkksArray, flood: int | None, as_complex: bool, coins: Coins
) -> npt.NDArray[Any]:
    """The slots in use of each row; flood: bits of the noise that is added to each coefficient (`sharing`)."""
    parameters = array.parameters
    level = parameters.decryption_level(array.level, array.scale)
    basis, n = parameters.basis(level), parameters.n
    limbs = level + 1
    s = secret[:limbs]
    data = array.to("cpu").data.reshape(-1, array.size_of, array.level + 1, n)
    slots = np.empty((len(data), n // 2), np.complex128)
    for part in blocks(len(data), 8 * limbs * n):
        with wiping() as held:
            # A block of one row is no copy.
            lower = [np.ascontiguousarray(data[part, i, :limbs]) for i in range(data.shape[1])]
            sums = held(ntt.multiply_add(lower[-1], s, lower[-2], basis))
            for term in lower[-3::-1]:
                ntt.multiply_add(sums, s, term, basis, out=sums)
            if flood is not None:
                ntt.add(sums, held(draw(flood, basis, coins, len(sums))), basis, out=sums)
            slots[part] = encoder.decode(parameters, sums, level, array.scale)
    return unpacked(array, slots, as_complex)


def pack(parameters: Parameters, values: Any) -> tuple[npt.NDArray[np.complex128], float, tuple[int, ...]]:
    """(slots `complex128[rows, N/2]`, largest number, shape) of real numbers, two to a slot, zeros at the end."""
    array = encoder.as_numbers(values, "values")
    if array.dtype.kind == "c":
        raise TypeError("values are complex: packed=True takes real numbers, two a slot; leave it out")
    rows = max(1, -(-array.size // parameters.n))
    if array.size == rows * parameters.n:
        flat = array.reshape(rows, parameters.n)
    else:
        flat = np.zeros((rows, parameters.n))
        flat.reshape(-1)[: array.size] = array.reshape(-1)
    return flat.view(np.complex128), encoder.largest(array, "values"), array.shape


def unpacked(array: CkksArray, slots: npt.NDArray[np.complex128], as_complex: bool) -> npt.NDArray[Any]:
    """What the user gets of the slots `[rows, N/2]`."""
    if array.packing is not None:
        if as_complex:
            raise ValueError("the array is packed, it holds real numbers: leave complex=True out")
        size = math.prod(array.packing)
        return slots.view(np.float64).reshape(-1)[:size].reshape(array.packing)
    used = slots[:, : array.length].reshape(*array.shape, array.length)
    return used if as_complex else np.ascontiguousarray(used.real)
