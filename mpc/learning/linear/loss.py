# SPDX-License-Identifier: Apache-2.0
"""The mean of squared residuals over rows, opened to both parties as one number, and the sum behind it on shares.

Sum (a + b)^2 = sum a^2 + sum b^2 + 2 sum a b over shares a, b of residuals. The host encrypts b; the guest multiplies
the row of its a, as digits of 43 bits, with it, and sends the three sums back with masks. Both drop bits of fraction,
then open. Cost: an encryption and 9 entries' worth of a product a row.
"""

from __future__ import annotations

import numpy as np

from crypsis.errors import ProtocolAbort
from crypsis.mpc.learning.ciphers import UnblindedCipherArray
from crypsis.mpc.learning.linear import ring128
from crypsis.mpc.learning.linear.products import Products, Slots
from crypsis.mpc.learning.linear.ring128 import Party, Ring

_DIGIT = 43
_N_DIGITS = 3
OPENED_BITS = 20
"""Of fraction, of the sum that is opened."""


def mean_square(products: Products, residuals: Ring, bits: int, party: Party) -> float:
    """Mean of the squares of the reals that `residuals` share with `bits` of fraction. At least one row."""
    slots_bits = ring128.BITS + _DIGIT + len(residuals).bit_length()
    if party:
        products.send_share(residuals)
        cross = products.receive_masked(_N_DIGITS, Slots(products.own.public_key, slots_bits, single=True))
    else:
        cross = _cross(products, residuals, Slots(products.theirs, slots_bits, single=True))
    with products.session.meter("native"):
        total = _sum(ring128.multiply(residuals, residuals))
        for k in range(_N_DIGITS):
            total = ring128.add(total, ring128.shift_left(cross[k : k + 1], _DIGIT * k + 1))
        share = ring128.truncate(total, 2 * bits - OPENED_BITS, party)
    products.outbox.put(share)
    theirs = products.session.receive_array(products.peer, np.uint64, (1, 2))
    mean = float(ring128.decode(ring128.add(share, theirs), OPENED_BITS)[0]) / len(residuals)
    if mean < -1.0:
        raise ProtocolAbort(
            f"the loss is {mean:g}: the scores left the range that shares hold; lower the learning rate"
        )
    return max(mean, 0.0)


def _cross(products: Products, own: Ring, slots: Slots) -> Ring:
    """Minus the masks of the sums of the digits of `own` times the peer's residuals."""
    low, high = own[:, 0], own[:, 1]
    mask = np.uint64((1 << _DIGIT) - 1)
    digits = [low & mask, ((low >> np.uint64(43)) | (high << np.uint64(21))) & mask, high >> np.uint64(22)]
    matrix = np.stack(digits).astype(np.int64)
    total: UnblindedCipherArray | None = None
    for part, block in products.receive_share(len(own)):
        with products.session.meter("he"):
            product = block.rmatmul(np.ascontiguousarray(matrix[:, part]))
            total = product if total is None else total + product
    if total is None:
        raise ValueError("there are no rows to take the loss of")
    return products.send_masked(total, slots)


def _sum(values: Ring) -> Ring:
    """Of uint64[n, 2] mod 2^128, as uint64[1, 2]."""
    matrix = np.ones((len(values), 1), dtype=np.int16)
    return ring128.transposed_vector(matrix, values)
