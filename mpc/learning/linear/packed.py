# SPDX-License-Identifier: Apache-2.0
"""Products of one's own matrix with a vector that is shared, by BGV with packed coefficients: what `products` does with
one number in each ciphertext, with thousands.

`PackedProducts` is one party's side of two products that run at the same time, each party the evaluator of one. A share
s mod 2^128 leaves its owner encrypted under the owner's key of `crypsis.bgv`, whose plaintexts are polynomials mod
2^128; a column of the matrix, cut into pieces of N = 8192 rows, is a polynomial a piece [HLHD22]:

    A: X, a    B: s                         both with the roles the other way round, too
      <- Enc_B(s)                            forward: d ciphertexts; backward: one for N rows
      -> Enc_B(X s + r), hidden              forward: one for N rows; backward: d
    A: X a - r       B: X s + r              together X (a + s)

The mask r is uniform mod 2^128 for every coefficient that travels, rows beyond the last one too, so what B decrypts is
a uniform number whatever X is. The noise of B's ciphertexts, which holds X, is flooded: what B decrypts in a whole
training is within a statistical distance of 2^-40 of numbers that do not depend on X, and the second halves of what it
gets look uniform by ring-LWE, as long as it made its key and ciphertexts as it should. A training that is resumed has
fresh keys and is one more: distances add up.

Up to N / 2 rows a polynomial holds several columns (`bgv.Layout`), which saves messages of narrow batches only in part:
a ciphertext has 221 KB, so small batches of many columns are better off with `products`; `choose` decides.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from crypsis import bgv
from crypsis.errors import ConfigError, CrypsisError, ProtocolAbort
from crypsis.mpc.learning.linear import ring128
from crypsis.mpc.learning.linear.outbox import Outbox
from crypsis.mpc.learning.linear.products import Matrix
from crypsis.mpc.learning.linear.ring128 import Ring
from crypsis.mpc.learning.session import CIPHERS, KEYS, Session

PARAMETERS = bgv.RING128
BLOCK = 4
"""Ciphertexts of a message of `forward`'s factors and of `backward`'s results: below 1 MB, so that line, owner and
evaluator have work early."""


def noise_bits(rows: int, columns: int, *, limit: int, n_batches: int) -> int:
    """How much noise hides one party's matrix from the other in a training, of public numbers only.

    rows: of a batch, the most. columns: of the evaluator. limit: what no entry of its matrix exceeds. n_batches: of the
    whole training, those of losses too. ConfigError where the parameters have no room for it.
    """
    layout = bgv.Layout(PARAMETERS, rows, columns)
    entries = max(min(rows, PARAMETERS.n) * columns, rows * layout.share)
    # Both products of all batches together: the distance of everything is 2^-40.
    ciphertexts = n_batches * (layout.pieces + layout.groups)
    try:
        return PARAMETERS.noise_bits(entries, limit, ciphertexts=ciphertexts)
    except ValueError as error:
        raise ConfigError(
            f"{n_batches} batches of {rows} rows x {columns} columns in all epochs are too much for products='bgv'"
            f" ({error}): lower batch_size, max_epochs or clip, or give products='scheme'"
        ) from error


def batch_bytes(rows: int, columns: int) -> int:
    """What the two products of a batch take on the line, both ways, of an evaluator with that many columns."""
    layout = bgv.Layout(PARAMETERS, rows, columns)
    half = sum(PARAMETERS.moduli_bits) * PARAMETERS.n // 8
    used = len(layout.forward_coefficients) / PARAMETERS.n
    # Factors of both products, then both halves of forward's results and one of backward's.
    return int(half * (layout.groups + layout.pieces + layout.pieces * (1 + used) + layout.groups))


class PackedProducts:
    """One party's side, with fresh keys of both, which are exchanged here. noise_bits: what hides one's own matrix."""

    def __init__(self, session: Session, outbox: Outbox, noise_bits: int) -> None:
        self.session, self.peer, self.outbox = session, session.peer, outbox
        self._meter, self._noise_bits = session.meter, noise_bits
        with self._meter("he"):
            self._secret = bgv.SecretKey.generate(PARAMETERS)
            key = self._secret.public_key.to_bytes()
        channel = session.channel()
        channel.send(KEYS, key)
        with self._meter("wait"):
            answer = channel.recv(KEYS)
        try:
            self._theirs = bgv.PublicKey.from_bytes(answer, PARAMETERS)
        except (CrypsisError, ValueError) as error:
            raise ProtocolAbort(f"the BGV key of {self.peer} is refused: {error}") from error

    def forward(
        self, matrix: Matrix, own_share: Ring, peer_columns: int, share_of_peer: Ring
    ) -> tuple[Ring, Ring]:
        """matrix[m, d] @ (own_share + the peer's share of it): (one's own share of that, of the peer's product).

        share_of_peer: one's own share of the peer's vector, `uint64[peer_columns, 2]`.
        """
        m, d = matrix.shape
        theirs = bgv.Layout(PARAMETERS, m, peer_columns)
        with self._meter("native"):
            spread = theirs.spread(share_of_peer)
        self._send_encrypted(spread, BLOCK)
        own = bgv.Layout(PARAMETERS, m, d)
        values = self._polynomials(matrix, own)
        totals: list[bgv.Products] = []
        for part, block in self._received(own.groups, BLOCK):
            with self._meter("he"):
                for piece in range(own.pieces):
                    product = bgv.matmul(_plains(values[part, piece]), block)
                    if part.start:
                        totals[piece] = totals[piece] + product
                    else:
                        totals.append(product)
        places = own.forward_coefficients
        masks = ring128.uniform(own.pieces * len(places)).reshape(own.pieces, len(places), 2)
        for piece, total in enumerate(totals):
            self._hide(total, masks[piece : piece + 1], places)
        with self._meter("native"):
            result = ring128.subtract(ring128.matrix_vector(matrix, own_share), own.join(masks))
        found = [self._decrypted(slice(i, i + 1), theirs.forward_coefficients) for i in range(theirs.pieces)]
        with self._meter("native"):
            return result, theirs.join(np.concatenate(found))

    def backward(self, matrix: Matrix, share: Ring, peer_columns: int) -> tuple[Ring, Ring]:
        """matrix[m, d].T @ e for an e[m] of which `share` is one's own: (one's own share of that, of the peer's)."""
        m, d = matrix.shape
        own, theirs = bgv.Layout(PARAMETERS, m, d), bgv.Layout(PARAMETERS, m, peer_columns)
        with self._meter("native"):
            cut = own.cut(share)
        self._send_encrypted(cut, 1)
        values = self._polynomials(matrix, own)
        blocks = list(_blocks(own.groups, BLOCK))
        totals: list[bgv.Products] = []
        for part, block in self._received(own.pieces, 1):
            with self._meter("he"):
                for k, columns in enumerate(blocks):
                    plains = _plains(values[columns, part.start])
                    product = bgv.matmul(plains.transposed().reversed(), block)
                    if part.start:
                        totals[k] = totals[k] + product
                    else:
                        totals.append(product)
        places = own.backward_coefficients
        masks = ring128.uniform(own.groups * len(places)).reshape(own.groups, len(places), 2)
        for columns, total in zip(blocks, totals, strict=True):
            self._hide(total, masks[columns], places)
        with self._meter("native"):
            result = ring128.subtract(ring128.transposed_vector(matrix, share), own.gather(masks))
        found = [
            self._decrypted(columns, theirs.backward_coefficients)
            for columns in _blocks(theirs.groups, BLOCK)
        ]
        with self._meter("native"):
            return result, theirs.gather(np.concatenate(found))

    # The owner of a share.

    def _send_encrypted(self, values: npt.NDArray[np.uint64], step: int) -> None:
        """Polynomials under one's own key, in messages of `step`."""
        for part in _blocks(len(values), step):
            with self._meter("he"):
                data = self._secret.encrypt(values[part]).to_bytes()
            self.outbox.put(data)

    def _decrypted(self, part: slice, places: range) -> npt.NDArray[np.uint64]:
        """The next message of what the evaluator hid."""
        with self._meter("wait"):
            data = self.session.channel().recv(CIPHERS)
        try:
            with self._meter("he"):
                hidden = bgv.Hidden.from_bytes(
                    data, self._secret, part.stop - part.start, coefficients=places
                )
                return self._secret.decrypt(hidden)
        except (CrypsisError, ValueError) as error:
            raise ProtocolAbort(f"hidden products of {self.peer} are refused: {error}") from error

    # The evaluator.

    def _received(self, count: int, step: int) -> Iterator[tuple[slice, bgv.Ciphertexts]]:
        """What the peer's `_send_encrypted` sends, message by message."""
        for part in _blocks(count, step):
            with self._meter("wait"):
                data = self.session.channel().recv(CIPHERS)
            try:
                with self._meter("he"):
                    block = bgv.Ciphertexts.from_bytes(data, self._theirs, part.stop - part.start)
            except (CrypsisError, ValueError) as error:
                raise ProtocolAbort(f"ciphertexts of {self.peer} are refused: {error}") from error
            yield part, block

    def _polynomials(self, matrix: Matrix, layout: bgv.Layout) -> Matrix:
        """int16[groups, pieces, N or less]: coefficients as `layout.plains` arranges them."""
        with self._meter("native"):
            width = layout.pieces * layout.block
            columns = np.zeros((layout.groups * layout.share, width), dtype=np.int16)
            columns[: layout.columns, : layout.rows] = matrix.T
            return columns.reshape(layout.groups, layout.pieces, -1)

    def _hide(self, products: bgv.Products, masks: npt.NDArray[np.uint64], places: range) -> None:
        """Masks, hides and sends."""
        with self._meter("he"):
            data = bgv.hide(products, self._theirs, masks, self._noise_bits, coefficients=places).to_bytes()
        self.outbox.put(data)


def _plains(values: Matrix) -> bgv.Plains:
    """int16[k, n] as plains [1, k]. They are made twice a batch: all of them would be 40 bytes an entry."""
    return bgv.plain(np.ascontiguousarray(values)[None], PARAMETERS)


def _blocks(count: int, step: int) -> Iterator[slice]:
    for begin in range(0, count, step):
        yield slice(begin, min(count, begin + step))
