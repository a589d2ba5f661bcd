# SPDX-License-Identifier: Apache-2.0
"""Which cryptosystem takes the products of a training: the session's, or BGV with packed coefficients."""

from __future__ import annotations

from typing import Literal, Protocol

from crypsis.errors import ConfigError
from crypsis.mpc.learning.ciphers import PublicKey
from crypsis.mpc.learning.linear import packed
from crypsis.mpc.learning.linear.outbox import Outbox
from crypsis.mpc.learning.linear.products import Matrix, Products, forward_slots
from crypsis.mpc.learning.linear.ring128 import Ring
from crypsis.mpc.learning.session import Session

Choice = Literal["auto", "bgv", "scheme"]
Taken = Literal["bgv", "scheme"]

MOST_BYTES = 2
"""`auto` takes BGV while it sends at most so many times the bytes of the session's scheme. It computes 20 times as
fast, so that it is ahead even then, unless the line is slower than some 40 Mbit/s."""


class Engine(Protocol):
    """Shares of both parties' products: `products.Products` or `packed.PackedProducts`."""

    def forward(
        self, matrix: Matrix, own_share: Ring, peer_columns: int, share_of_peer: Ring
    ) -> tuple[Ring, Ring]:
        """See `Products.forward`."""
        ...

    def backward(self, matrix: Matrix, share: Ring, peer_columns: int) -> tuple[Ring, Ring]:
        """See `Products.backward`."""
        ...


def scheme_bytes(key: PublicKey, rows: int, columns: int) -> int:
    """What the two products of a batch take on the line, both ways, of an evaluator with that many columns."""
    count = forward_slots(key, columns).count
    return 8 * key.modulus.limbs * (columns + -(-rows // count) + rows + columns)


def choose(
    choice: Choice, key: PublicKey, *, rows: int, columns: tuple[int, int], limit: int, n_batches: int
) -> Taken:
    """What both parties come to, from public sizes alone. key: one of the session's; both have the same length.

    rows: of a batch. columns: of one party and of the other. limit, n_batches: see `packed.noise_bits`. ConfigError for
    "bgv" where it has no room for that.
    """
    if choice == "scheme":
        return "scheme"
    try:
        for each in columns:
            packed.noise_bits(rows, each, limit=limit, n_batches=n_batches)
    except ConfigError:
        if choice == "bgv":
            raise
        return "scheme"
    ours = sum(packed.batch_bytes(rows, each) for each in columns)
    theirs = sum(scheme_bytes(key, rows, each) for each in columns)
    return "bgv" if choice == "bgv" or ours <= MOST_BYTES * theirs else "scheme"


def engine(
    taken: Taken,
    session: Session,
    outbox: Outbox,
    scheme: Products,
    *,
    rows: int,
    columns: int,
    limit: int,
    n_batches: int,
) -> Engine:
    """The one that was chosen. columns: one's own."""
    if taken == "scheme":
        return scheme
    bits = packed.noise_bits(rows, columns, limit=limit, n_batches=n_batches)
    return packed.PackedProducts(session, outbox, bits)
