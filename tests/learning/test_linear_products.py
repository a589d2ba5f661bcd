# SPDX-License-Identifier: Apache-2.0
"""Products of a party's matrix with shared vectors, and what is on the wire of them."""

from __future__ import annotations

import numpy as np
import pytest
from tests.homomorphic_keys import okamoto_uchiyama_2048, paillier_2048
from tests.learning.parties import OU, PAILLIER, run, run_two

from crypsis.errors import ProtocolAbort
from crypsis.mpc.learning.linear import products, ring128
from crypsis.mpc.learning.linear.outbox import Outbox
from crypsis.mpc.learning.linear.products import Products, Slots


def keys(session):
    session.send_key(session.peer)
    session.receive_key(session.peer)


def party(matrix, own, of_peer, e, peer_columns):
    def work(session):
        keys(session)
        with Outbox(session) as outbox:
            sums = Products(session, outbox)
            return sums.forward(matrix, own, peer_columns, of_peer), sums.backward(matrix, e, peer_columns)

    return work


@pytest.mark.parametrize("cipher", [OU, PAILLIER], ids=["ou", "paillier"])
@pytest.mark.parametrize("m", [1, 20])
def test_shares_of_both_products(cipher, m):
    rng = np.random.default_rng(m)
    left = rng.integers(-(2**15), 2**15, (m, 3)).astype(np.int16)
    right = rng.integers(-(2**15), 2**15, (m, 2)).astype(np.int16)
    left[0], right[0] = -(2**15), 2**15 - 1
    shares = [ring128.uniform(n) for n in (3, 3, 2, 2, m, m)]
    (forward_g, backward_g), (forward_h, backward_h) = run_two(
        party(left, shares[0], shares[2], shares[4], 2),
        party(right, shares[3], shares[1], shares[5], 3),
        cipher=cipher,
    )
    vectors = [ring128.add(shares[i], shares[i + 1]) for i in (0, 2, 4)]
    due = ring128.matrix_vector(left, vectors[0]), ring128.matrix_vector(right, vectors[1])
    np.testing.assert_array_equal(ring128.add(forward_g[0], forward_h[1]), due[0])
    np.testing.assert_array_equal(ring128.add(forward_g[1], forward_h[0]), due[1])
    due = ring128.transposed_vector(left, vectors[2]), ring128.transposed_vector(right, vectors[2])
    np.testing.assert_array_equal(ring128.add(backward_g[0], backward_h[1]), due[0])
    np.testing.assert_array_equal(ring128.add(backward_g[1], backward_h[0]), due[1])


def test_many_blocks_both_ways_do_not_deadlock(monkeypatch):
    monkeypatch.setattr(products, "BLOCK_ROWS", 7)
    rng = np.random.default_rng(0)
    matrix = rng.integers(-100, 100, (200, 9)).astype(np.int16)
    zero, e = ring128.zeros(9), ring128.uniform(200)
    (_, g), (_, h) = run_two(
        party(matrix, zero, zero, e, 9), party(matrix, zero, zero, ring128.zeros(200), 9)
    )
    due = ring128.transposed_vector(matrix, e)
    np.testing.assert_array_equal(ring128.add(g[0], h[1]), due)
    np.testing.assert_array_equal(ring128.add(g[1], h[0]), due)


def integers(rows):
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def test_masks_are_uniform_above_the_value():
    slots = Slots(okamoto_uchiyama_2048().public_key, 150)
    assert (slots.bits, slots.count, slots.statistical_bits) == (213, 3, 62)
    plaintexts, low = slots.masks(2000)
    assert plaintexts.shape == (2000, 10)
    np.testing.assert_array_equal(slots.split(plaintexts), low)
    values = [whole >> 213 * k & (1 << 213) - 1 for whole in integers(plaintexts) for k in range(3)]
    assert integers(low) == [value % 2**128 for value in values]
    assert all(2**150 <= value < 2**150 + 2**212 for value in values)
    bits = np.array([[(value - 2**150) >> b & 1 for b in range(212)] for value in values])
    assert (np.abs(bits.mean(axis=0) - 0.5) < 0.045).all()  # 7 standard deviations of 6000


VALUE_BITS = [*range(144, 158), 175, 184, 203, 259, 260]
"""Of scores, of gradients of up to 2^31 rows, of losses, of polynomials; some fill their limbs to the last bit."""


@pytest.mark.parametrize("key", [okamoto_uchiyama_2048, paillier_2048])
@pytest.mark.parametrize("single", [False, True])
def test_masks_are_wide_enough_for_a_whole_training(key, single):
    for value_bits in VALUE_BITS:
        slots = Slots(key().public_key, value_bits, single=single)
        assert slots.statistical_bits >= products.STATISTICAL_BITS == 56
        assert slots.plaintext_bits <= key().public_key.max_packed_bits
    # A million rows, five epochs, 20 + 20 columns: 2^22.4 scores and half as many polynomials at each party.
    assert Slots(key().public_key, 148).statistical_bits >= 40 + 23
    assert Slots(key().public_key, 259).statistical_bits >= 40 + 20


@pytest.mark.parametrize("key", [okamoto_uchiyama_2048, paillier_2048])
@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("drawn", [b"\0", b"\xff"])
def test_no_slot_reaches_its_neighbour(key, single, drawn, monkeypatch):
    """The largest values of either sign beside each other, under the least and the largest masks."""
    monkeypatch.setattr(products.secrets, "token_bytes", lambda n: drawn * n)
    for value_bits in VALUE_BITS:
        slots = Slots(key().public_key, value_bits, single=single)
        plaintexts, mask = slots.masks(2)
        most = (1 << value_bits) - 1
        values = [most * (-1) ** (k % 2 + group) for group in range(2) for k in range(slots.count)]
        totals = []
        for group, plaintext in enumerate(integers(plaintexts)):
            own = values[group * slots.count :][: slots.count]
            totals.append(plaintext + sum(value << slots.bits * k for k, value in enumerate(own)))
        assert all(0 <= total < 1 << slots.plaintext_bits for total in totals)
        limbs = np.stack([np.frombuffer(t.to_bytes(8 * 40, "little"), "<u8") for t in totals])
        found = ring128.subtract(slots.split(limbs), mask)
        np.testing.assert_array_equal(
            found, ring128.from_ints([(v + 2**127) % 2**128 - 2**127 for v in values])
        )


@pytest.mark.parametrize("drawn", [b"\0", b"\xff"])
def test_extreme_rows_and_shares_on_the_line(drawn, monkeypatch):
    monkeypatch.setattr(products.secrets, "token_bytes", lambda n: drawn * n)
    matrix = np.full((7, 31), -(2**15), dtype=np.int16)
    matrix[1::2] = 2**15 - 1
    most, e = ring128.from_ints([-1] * 31), ring128.from_ints([-1] * 7)
    (forward_g, backward_g), (forward_h, backward_h) = run_two(
        party(matrix, most, most, e, 31), party(matrix, most, most, e, 31)
    )
    due = ring128.matrix_vector(matrix, ring128.add(most, most))
    np.testing.assert_array_equal(ring128.add(forward_g[0], forward_h[1]), due)
    np.testing.assert_array_equal(ring128.add(forward_g[1], forward_h[0]), due)
    due = ring128.transposed_vector(matrix, ring128.add(e, e))
    np.testing.assert_array_equal(ring128.add(backward_g[0], backward_h[1]), due)


def test_a_key_too_short_for_a_masked_number():
    from tests.homomorphic_keys import okamoto_uchiyama_small

    with pytest.raises(ValueError, match="holds no masked number of 300 bits"):
        Slots(okamoto_uchiyama_small().public_key, 300)


def test_a_result_out_of_range_ends_both():
    matrix = np.ones((4, 2), dtype=np.int16)

    def host(session):
        keys(session)
        with Outbox(session) as outbox:
            sums = Products(session, outbox)
            sums.send_share(ring128.zeros(2))
            list(sums.receive_share(2))
            far = products.encoded(np.full((2, 10), 2**63, dtype=np.uint64), 0)
            outbox.put(session.peer_key().encrypt(far))

    results = run(party(matrix, ring128.zeros(2), ring128.zeros(2), ring128.zeros(4), 2), {"host": host})
    assert isinstance(results["guest"], ProtocolAbort)
    assert "a masked result of host is out of range" in str(results["guest"])


def test_a_wrong_number_of_ciphertexts_is_refused():
    def host(session):
        keys(session)
        with Outbox(session) as outbox:
            Products(session, outbox).send_share(ring128.zeros(3))

    matrix = np.ones((4, 2), dtype=np.int16)
    results = run(party(matrix, ring128.zeros(2), ring128.zeros(2), ring128.zeros(4), 2), {"host": host})
    assert "host sent ciphertexts of shape (3,) where (2,) were due" in str(results["guest"])


def test_a_failure_to_send_is_raised_here():
    class Broken:
        peer = "host"

        def send_array(self, peer, array):
            raise ProtocolAbort("the line is cut")

    def put_for_ever():
        with Outbox(Broken()) as outbox:
            while True:
                outbox.put(np.zeros(1))

    with pytest.raises(ProtocolAbort, match="the line is cut"):
        put_for_ever()
