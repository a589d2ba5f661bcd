# SPDX-License-Identifier: Apache-2.0
"""Products of a party's matrix with shared vectors under BGV: the same shares as under the session's scheme, what is on
the wire, and when they are chosen."""

from __future__ import annotations

import numpy as np
import pytest
from tests.homomorphic_keys import okamoto_uchiyama_2048
from tests.learning import packed_cases as cases
from tests.learning.parties import run, run_two

from crypsis import bgv
from crypsis.errors import ConfigError, ProtocolAbort
from crypsis.mpc.learning.linear import packed, ring128
from crypsis.mpc.learning.linear.engine import choose
from crypsis.mpc.learning.linear.outbox import Outbox
from crypsis.mpc.learning.linear.packed import PackedProducts, noise_bits
from crypsis.mpc.learning.linear.products import Products
from crypsis.mpc.learning.session import CIPHERS, KEYS

LIMIT = 1 << 15


def party(engine, matrix, own, of_peer, e, peer_columns):
    def work(session):
        session.send_key(session.peer)
        session.receive_key(session.peer)
        with Outbox(session) as outbox:
            if engine == "bgv":
                bits = noise_bits(*matrix.shape, limit=LIMIT, n_batches=1)
                products = PackedProducts(session, outbox, bits)
            else:
                products = Products(session, outbox)
            return products.forward(matrix, own, peer_columns, of_peer), products.backward(
                matrix, e, peer_columns
            )

    return work


def inputs(m, columns):
    """(both matrices, shares of the guest's weights, of the host's, of the residuals)."""
    rng = np.random.default_rng(m)
    matrices = [rng.integers(-LIMIT, LIMIT, (m, d)).astype(np.int16) for d in columns]
    matrices[0][0], matrices[1][0] = -LIMIT, LIMIT - 1
    shares = [
        ring128.from_ints([int(v) for v in rng.integers(-(2**62), 2**62, n)])
        for n in (*columns, m)
        for _ in "ab"
    ]
    return matrices, [ring128.multiply(share, ring128.from_int(0xDEADBEEF << 70 | 1)) for share in shares]


def both(engine, m, columns, **options):
    (left, right), s = inputs(m, columns)
    return run_two(
        party(engine, left, s[0], s[2], s[4], columns[1]),
        party(engine, right, s[3], s[1], s[5], columns[0]),
        **options,
    )


def opened(results):
    (forward_g, backward_g), (forward_h, backward_h) = results
    pairs = [(forward_g[0], forward_h[1]), (forward_g[1], forward_h[0])]
    pairs += [(backward_g[0], backward_h[1]), (backward_g[1], backward_h[0])]
    return [ring128.add(*pair) for pair in pairs]


@pytest.mark.parametrize(
    ("m", "columns"), [(1, (3, 2)), (20, (3, 2)), (4097, (6, 2)), (8192, (2, 1)), (8200, (9, 2))]
)
def test_shares_of_both_products(m, columns):
    (left, right), s = inputs(m, columns)
    due = [
        ring128.matrix_vector(left, ring128.add(s[0], s[1])),
        ring128.matrix_vector(right, ring128.add(s[2], s[3])),
        ring128.transposed_vector(left, ring128.add(s[4], s[5])),
        ring128.transposed_vector(right, ring128.add(s[4], s[5])),
    ]
    for found, expected in zip(opened(both("bgv", m, columns)), due, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_same_numbers_as_under_the_sessions_scheme():
    for found, expected in zip(
        opened(both("bgv", 30, (4, 3))), opened(both("scheme", 30, (4, 3))), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_messages_are_masked_flooded_and_blinded_anew(monkeypatch):
    m, columns = 8200, (5, 2)
    keys, recorded = cases.recording_keys(monkeypatch), {}
    both("bgv", m, columns, recorded=recorded)
    check_messages(m, columns, keys, recorded)


def check_messages(m, columns, keys, recorded):
    """Every message of the two products of `inputs`: what it is, its masks, its noise, its second half."""
    matrices, shares = inputs(m, columns)
    layouts = [bgv.Layout(packed.PARAMETERS, m, d) for d in columns]
    for name, own, peer in (("guest", 0, 1), ("host", 1, 0)):
        sent = [cases.parsed(raw, keys, layouts) for raw in recorded[name][0].sent[CIPHERS]]
        blocks = -(-columns[peer] // packed.BLOCK)
        results = -(-columns[own] // packed.BLOCK)
        factors = [message for message in sent if isinstance(message, bgv.Ciphertexts)]
        hidden = [message for message in sent if isinstance(message, bgv.Hidden)]
        assert len(sent) == blocks + 2 + 2 + results
        assert (len(factors), len(hidden)) == (blocks + 2, 2 + results)
        assert (
            len({message.key_id for message in factors}) == len({message.key_id for message in hidden}) == 1
        )
        assert factors[0].key_id != hidden[0].key_id
        assert len({message.seed for message in factors}) == len(factors)
        bits = noise_bits(m, columns[own], limit=LIMIT, n_batches=1)
        key = keys.named(hidden[0].key_id)
        # The second piece has 8 rows: its other 8184 coefficients are masked as well.
        assert len(hidden[1].coefficients) == cases.N
        cases.check_uniform(cases.check_hidden(key, hidden[1], bits))
        cases.check_uniform(
            np.concatenate([cases.check_hidden(key, message, bits) for message in hidden[2:]])
        )
        # What is left without the products is masks, none of them twice.
        forward = ring128.matrix_vector(matrices[own], shares[2 if own else 1])
        backward = ring128.transposed_vector(matrices[own], shares[4 if own else 5])
        known = [*ring128.to_ints(forward), *[0] * (2 * cases.N - m), *ring128.to_ints(backward)]
        found = [v for message in hidden for polynomial in cases.sums(key, message) for v in polynomial]
        masks = {(a - b) % 2**128 for a, b in zip(found, known, strict=True)}
        assert len(masks) == len(found)
        received = [
            cases.parsed(raw, keys, layouts)
            for raw in recorded["host" if name == "guest" else "guest"][0].sent[CIPHERS][:results]
        ]
        products = None
        for k, block in enumerate(received):
            part = matrices[own][: cases.N, k * packed.BLOCK : (k + 1) * packed.BLOCK]
            product = bgv.matmul(bgv.plain(np.ascontiguousarray(part.T)[None], packed.PARAMETERS), block)
            products = product if products is None else products + product
        assert (products.second != hidden[0].second).mean() > 0.99


def test_products_that_are_not_hidden_are_found(monkeypatch):
    keys, recorded = cases.recording_keys(monkeypatch), {}
    monkeypatch.setattr(packed.bgv, "hide", cases.unhidden)
    results = both("bgv", 8200, (5, 2), recorded=recorded)
    assert len(opened(results)) == 4
    with pytest.raises(AssertionError, match="not flooded"):
        check_messages(8200, (5, 2), keys, recorded)


@pytest.mark.parametrize(
    ("stream", "message", "text"),
    [
        (KEYS, 1, "the BGV key of host is refused"),
        (CIPHERS, 0, "ciphertexts of host are refused"),
        (CIPHERS, 1, "hidden products of host are refused"),
        (CIPHERS, 2, "ciphertexts of host are refused"),
        (CIPHERS, 3, "hidden products of host are refused"),
    ],
)
@pytest.mark.parametrize("change", ["short", "bits", "other"])
def test_malformed_messages(stream, message, text, change):
    seen = {KEYS: 0, CIPHERS: 0}

    def tamper(number, raw):
        seen[number] = seen.get(number, 0) + 1
        if number != stream or seen[number] != message + 1:
            return [raw]
        if change == "short":
            return [raw[:-1]]
        return (
            [b"\xff" * len(raw)]
            if change == "bits"
            else [raw[: len(raw) // 2] + b"\xff" * (len(raw) - len(raw) // 2)]
        )

    (left, right), s = inputs(20, (3, 2))
    results = run(
        party("bgv", left, s[0], s[2], s[4], 2),
        {"host": party("bgv", right, s[3], s[1], s[5], 3)},
        tamper=tamper,
    )
    assert isinstance(results["guest"], ProtocolAbort)
    assert text in str(results["guest"])


@pytest.mark.parametrize(
    ("rows", "columns", "due"),
    [
        (569, (15, 15), "scheme"),
        (4096, (30, 30), "scheme"),
        (50_000, (31, 30), "bgv"),
        (62_500, (21, 20), "bgv"),
        (62_500, (500, 20), "scheme"),
        (1 << 18, (200, 20), "bgv"),
    ],
)
def test_what_auto_takes(rows, columns, due):
    key = okamoto_uchiyama_2048().public_key
    sizes = {"rows": rows, "columns": columns, "limit": 8 << 10, "n_batches": 80}
    assert choose("auto", key, **sizes) == choose("auto", key, **sizes | {"columns": columns[::-1]}) == due
    assert choose("bgv", key, **sizes) == "bgv"
    assert choose("scheme", key, **sizes) == "scheme"


@pytest.mark.parametrize(
    ("rows", "columns", "n_batches", "entries", "results"),
    [
        (8200, 20, 7, 8192 * 20, 2 + 20),
        (100_000, 1, 3, 100_000, 13 + 1),  # backward, all rows go into one result
        (4096, 5, 2, 4096 * 5, 1 + 3),
        (30, 5, 11, 30 * 5, 1 + 1),
    ],
)
def test_noise_covers_all_products_of_a_training(rows, columns, n_batches, entries, results):
    """docs/bgv.md's formula, with sizes counted by hand."""
    norm = 10 * np.sqrt((10.75 * entries * LIMIT**2 + 451.5 * 8192) * 8192 * n_batches * results)
    due = np.log2(0.8826 * norm) + 39
    assert due - 0.01 <= noise_bits(rows, columns, limit=LIMIT, n_batches=n_batches) < due + 1.01


def test_more_than_the_noise_has_room_for():
    key = okamoto_uchiyama_2048().public_key
    sizes = {"rows": 60_000, "columns": (20, 300), "limit": 31 << 10, "n_batches": 1 << 30}
    assert choose("auto", key, **sizes) == "scheme"
    with pytest.raises(ConfigError, match=r"60000 rows x 20 columns .* lower batch_size, max_epochs or clip"):
        choose("bgv", key, **sizes)
