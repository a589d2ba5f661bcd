# SPDX-License-Identifier: Apache-2.0
"""The LPN encoders and noise trees of `crypsis.vole`, on every backend that this CPU runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import aes, lpn

from crypsis import aes as aes_slug
from crypsis import backends, bitmatrix, vole

BACKENDS = backends.runnable("vole")
SEED = np.arange(7, 23, dtype=np.uint8)


def random_blocks(n, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (n, 16), dtype=np.uint8)


def integers(blocks):
    return [int.from_bytes(row.tobytes(), "little") for row in blocks]


def blocks_of(values):
    return np.frombuffer(b"".join(v.to_bytes(16, "little") for v in values), np.uint8).reshape(-1, 16)


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.mark.parametrize(("n", "log_table"), [(1, 3), (9, 0), (300, 5), (257, 16), (37, 17)])
def test_primal_encoder_is_the_reference(backend, n, log_table):
    table, noise = random_blocks(1 << log_table), random_blocks(n, 2)
    out, bits = noise.copy(), np.empty((n + 7) // 8, np.uint8)
    vole.primal_encode(SEED, table, out, bits=bits, backend=backend, threads=1)
    expected = lpn.primal_encode(aes.encrypt, SEED.tobytes(), integers(table), integers(noise))
    assert np.array_equal(out, blocks_of(expected))
    assert np.array_equal(bits, np.packbits(out[:, 0] & 1, bitorder="little"))


def test_primal_rows_do_not_depend_on_where_a_call_begins(backend):
    table, whole = random_blocks(64), np.zeros((1100, 16), np.uint8)
    vole.primal_encode(SEED, table, whole, backend=backend, threads=2)
    for first in (4, 256, 252, 1096):
        part = np.zeros((1100 - first, 16), np.uint8)
        vole.primal_encode(SEED, table, part, first_row=first, backend=backend)
        assert np.array_equal(part, whole[first:])


def test_primal_positions_are_the_matrix(backend):
    table = random_blocks(1 << 10)
    out = np.zeros((50, 16), np.uint8)
    vole.primal_encode(SEED, table, out, backend=backend)
    positions = vole.primal_positions(SEED, 50, 10, backend=backend)
    assert np.array_equal(out, np.bitwise_xor.reduce(table[positions], axis=1))


@pytest.mark.parametrize("log_table", [4, 16, 18])
def test_primal_positions_have_no_bias(log_table):
    n_rows = 40_000
    positions = vole.primal_positions(SEED, n_rows, log_table)
    for high in (True, False):  # chi-square over the highest and the lowest four bits; 15 degrees of freedom
        part = positions >> (log_table - 4) if high else positions & 15
        counts = np.bincount(part.reshape(-1), minlength=16)
        expected = positions.size / 16
        assert (
            (counts - expected) ** 2 / expected
        ).sum() < 60  # above with probability 2e-7; the seed is fixed
    assert positions.max() < 1 << log_table
    first = positions[:, 0].astype(float)
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.03


@pytest.mark.parametrize(
    ("log_code", "n", "weight"), [(6, 40, 7), (7, 64, 21), (10, 513, 7), (9, 5, 1), (8, 77, 40)]
)
def test_expand_convolute_is_the_reference(backend, log_code, n, weight):
    vector = random_blocks(1 << log_code)
    expected = lpn.expand_convolute(aes.encrypt, SEED.tobytes(), integers(vector), weight, n)
    out = np.empty((n, 16), np.uint8)
    vole.expand_convolute(SEED, vector.copy(), out, weight=weight, backend=backend, threads=1)
    assert np.array_equal(out, blocks_of(expected))
    second = random_blocks(1 << log_code, 5)
    alone, outs = np.empty_like(out), [np.empty_like(out), np.empty_like(out)]
    vole.expand_convolute(SEED, second.copy(), alone, weight=weight, backend=backend)
    vole.expand_convolute(
        SEED,
        vector.copy(),
        outs[0],
        weight=weight,
        second=(second.copy(), outs[1]),
        backend=backend,
        threads=2,
    )
    assert np.array_equal(outs[0], out)
    assert np.array_equal(outs[1], alone)


@pytest.mark.parametrize(
    ("log_code", "n", "weight"), [(6, 40, 7), (7, 64, 21), (10, 513, 7), (9, 5, 1), (8, 77, 40)]
)
def test_expand_convolute_over_gf64_is_the_reference(backend, log_code, n, weight):
    """Pairs are two codes of single elements; one vector of each kind at a time, or two of one kind."""
    pairs, singles = random_blocks(1 << log_code), random_blocks(1 << log_code, 6)[:, :8].copy()

    def expected(elements):
        values = [int.from_bytes(row.tobytes(), "little") for row in elements]
        out = lpn.expand_convolute(aes.encrypt, SEED.tobytes(), values, weight, n, 64)
        return np.frombuffer(b"".join(v.to_bytes(8, "little") for v in out), np.uint8).reshape(-1, 8)

    def code(*vectors, threads=1):
        outs = [np.empty((n, vector.shape[1]), np.uint8) for vector in vectors]
        second = (vectors[1].copy(), outs[1]) if len(vectors) == 2 else None
        vole.expand_convolute(
            SEED,
            vectors[0].copy(),
            outs[0],
            weight=weight,
            field=64,
            second=second,
            backend=backend,
            threads=threads,
        )
        return outs

    of_pairs = np.concatenate([expected(pairs[:, :8]), expected(pairs[:, 8:])], axis=1)
    of_singles = expected(singles)
    assert np.array_equal(code(pairs)[0], of_pairs)
    assert np.array_equal(code(singles)[0], of_singles)
    for vectors in ((pairs, singles), (singles, pairs), (pairs, pairs), (singles, singles)):
        wanted = [of_pairs if vector is pairs else of_singles for vector in vectors]
        assert all(map(np.array_equal, code(*vectors, threads=2), wanted))


@pytest.mark.parametrize(("field", "width"), [(128, 16), (64, 16), (64, 8)])
def test_a_large_code_is_the_same_everywhere(field, width):
    outs = []
    for backend in BACKENDS:
        vector = random_blocks(1 << 14)[:, :width].copy()
        out = np.empty((20_000, width), np.uint8)
        vole.expand_convolute(SEED, vector, out, weight=7, field=field, backend=backend, threads=2)
        outs.append(out)
    assert all(np.array_equal(out, outs[0]) for out in outs)


def test_encoders_equal_their_dense_matrix():
    """Column j of the code is what it makes of the j-th unit vector; any vector is the sum of its columns."""
    n, size = 20, 64
    rows = lpn.expander_rows(aes.encrypt, SEED.tobytes(), n, 7, 6)
    matrix = np.empty((n, size, 16), np.uint8)
    for j in range(size):
        unit, x = np.zeros((size, 16), np.uint8), [0] * size
        unit[j, 0], x[j] = 1, 1
        matrix[:, j] = vole.expand_convolute(SEED, unit, np.empty((n, 16), np.uint8), weight=7)
        for part in (1, 2):
            x = lpn.convolute(aes.encrypt, lpn.part(SEED.tobytes(), part), x)
        expected = [0] * n
        for i, row in enumerate(rows):
            for position in row:
                expected[i] ^= x[position]
        assert np.array_equal(matrix[:, j], blocks_of(expected))
    assert matrix.any(axis=2).mean() > 0.9
    vector = random_blocks(size)
    assert np.array_equal(
        vole.expand_convolute(SEED, vector.copy(), np.empty((n, 16), np.uint8), weight=7),
        bitmatrix.gf128_inner_product(matrix, vector),
    )


def rank_over_bits(rows):
    bits = np.unpackbits(rows, axis=1).astype(int)
    rank = 0
    for column in range(bits.shape[1]):
        pivots = np.nonzero(bits[rank:, column])[0]
        if not len(pivots):
            continue
        bits[[rank, rank + pivots[0]]] = bits[[rank + pivots[0], rank]]
        others = np.nonzero(bits[:, column])[0]
        others = others[others != rank]
        bits[others] ^= bits[rank]
        rank += 1
    return rank


def test_the_code_is_linear_over_the_field_and_not_over_bits_only():
    """Scaling commutes; and 16 noise values do not keep the outputs in the span of 16 bits' combinations, which would
    give the noise's places away to linear algebra [MK90]."""
    vector, factor = random_blocks(64), random_blocks(1, 9)[0]

    def code(x):
        return vole.expand_convolute(SEED, x.copy(), np.empty((300, 16), np.uint8), weight=7)

    scaled = code(bitmatrix.gf128_multiply(vector, factor))
    assert np.array_equal(scaled, bitmatrix.gf128_multiply(code(vector), factor))
    sparse = np.zeros((1 << 10, 16), np.uint8)
    sparse[::64] = random_blocks(16)
    assert rank_over_bits(code(sparse)) == 128


def test_the_code_is_linear_over_gf64_and_not_over_bits_only():
    """The code of the single elements times a pair is the code of the pairs; and as above, with 8 noise values."""
    singles, pair = random_blocks(64)[:, :8].copy(), random_blocks(1, 9)[0]

    def code(x):
        out = np.empty((300, x.shape[1]), np.uint8)
        return vole.expand_convolute(SEED, x.copy(), out, weight=7, field=64)

    scaled = code(bitmatrix.gf64_multiply(singles, pair))
    assert np.array_equal(scaled, bitmatrix.gf64_multiply(code(singles), pair))
    sparse = np.zeros((1 << 10, 8), np.uint8)
    sparse[::128] = random_blocks(8)[:, :8]
    assert rank_over_bits(code(sparse)) == 64


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 2**32), st.sampled_from(BACKENDS))
def test_encoders_are_linear(first, second, backend):
    def code(x):
        return vole.expand_convolute(SEED, x.copy(), np.empty((50, 16), np.uint8), weight=7, backend=backend)

    a, b = random_blocks(64, first), random_blocks(64, second)
    assert np.array_equal(code(a) ^ code(b), code(a ^ b))

    def primal(x):
        return vole.primal_encode(SEED, x, np.zeros((50, 16), np.uint8), backend=backend)

    assert np.array_equal(primal(a) ^ primal(b), primal(a ^ b))


@pytest.mark.parametrize(("field", "width"), [(128, 16), (64, 8)])
def test_convolutions_reach_every_place(field, width):
    """A single one near either end must not stay short: the two convolutions wrap around."""
    for place in (0, 500, 1023):
        unit = np.zeros((1024, width), np.uint8)
        unit[place] = 1
        vole.expand_convolute(SEED, unit, np.empty((1, width), np.uint8), weight=7, field=field)
        assert min(unit[:512].any(axis=1).mean(), unit[512:].any(axis=1).mean()) > 0.95


@pytest.mark.parametrize(("field", "width"), [(128, 16), (64, 8)])
def test_rows_of_the_code_are_dense(field, width):
    """Nearly every place of the noise counts in every output: over a large field, that is what X does to the taps."""
    n, size = 256, 512
    hit = np.empty((n, size), bool)
    for j in range(size):
        unit = np.zeros((size, width), np.uint8)
        unit[j, 0] = 1
        vole.expand_convolute(SEED, unit, out := np.empty((n, width), np.uint8), weight=7, field=field)
        hit[:, j] = out.any(axis=1)
    assert hit.mean(axis=1).min() > 0.98


def away_from(places, depth):
    return 1 - (places[:, None] >> np.arange(depth, dtype=np.uint64)[::-1] & 1).astype(int)


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 10])
def test_noise_trees(backend, depth):
    n = 5
    rng = np.random.default_rng(depth)
    seeds, delta = random_blocks(n), random_blocks(1)[0]
    leaves = np.empty((n << depth, 16), np.uint8)
    sums, totals = vole.expand_noise(seeds, depth, leaves, backend=backend)
    plain, plain_sums = vole.expand_trees(seeds, depth)
    assert np.array_equal(sums, plain_sums)
    assert np.array_equal(leaves, plain.reshape(-1, 16))
    assert np.array_equal(totals, np.bitwise_xor.reduce(plain, axis=1))
    places = rng.integers(0, 1 << depth, n, dtype=np.uint64)
    side = away_from(places, depth)
    known = np.take_along_axis(sums, side[:, :, None, None], axis=2)[:, :, 0]
    other = np.empty_like(leaves)
    vole.reconstruct_noise(known, places, totals ^ delta, depth, other, backend=backend)
    noise = np.zeros((n, 1 << depth), bool)
    noise[np.arange(n), places.astype(int)] = True
    assert np.array_equal(leaves ^ other, np.where(noise.reshape(-1, 1), delta, 0))
    placed = vole.place_noise(places, seeds, depth, np.empty_like(leaves), backend=backend)
    assert np.array_equal(placed, np.where(noise[:, :, None], seeds[:, None], 0).reshape(-1, 16))
    halves = seeds[:, :8].copy()
    placed = vole.place_noise(places, halves, depth, np.empty((n << depth, 8), np.uint8), backend=backend)
    assert np.array_equal(placed, np.where(noise[:, :, None], halves[:, None], 0).reshape(-1, 8))


@pytest.mark.parametrize("depth", [1, 2, 3, 5, 6, 10])
def test_correlated_trees(backend, depth):
    n = 5
    rng = np.random.default_rng(depth)
    seeds, delta = random_blocks(n), random_blocks(1)[0] | 1
    leaves = np.empty((n << depth, 16), np.uint8)
    sums = vole.expand_correlated(seeds, delta, depth, leaves, backend=backend)
    for i in range(2 if depth < 8 else 0):
        expected, expected_sums = lpn.correlated_tree(
            aes.encrypt, aes_slug.LEFT_KEY, *integers(seeds[i : i + 1]), *integers(delta[None]), depth
        )
        tree = leaves.reshape(n, -1, 16)[i]
        assert np.array_equal(tree, blocks_of([leaf & ~1 for leaf in expected]))
        assert np.array_equal(sums[i], blocks_of(expected_sums))
    places = rng.integers(0, 1 << depth, n, dtype=np.uint64)
    known = np.where(away_from(places, depth)[:, :, None] == 1, sums ^ delta, sums)
    other = np.empty_like(leaves)
    vole.reconstruct_correlated(known, places, depth, other, backend=backend)
    noise = np.zeros((n, 1 << depth), bool)
    noise[np.arange(n), places.astype(int)] = True
    assert np.array_equal(leaves ^ other, np.where(noise.reshape(-1, 1), delta, 0))
    assert not np.any(leaves[:, 0] & 1)
    assert np.array_equal(other[:, 0] & 1, noise.reshape(-1))


def test_reads_are_counted():
    assert vole.measure_gather(random_blocks(1 << 8), 512, repeats=2) in (10240, 10241)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"table": np.zeros((3, 16), np.uint8)}, ValueError),
        ({"table": np.zeros((0, 16), np.uint8)}, ValueError),
        ({"table": np.zeros((4, 8), np.uint8)}, ValueError),
        ({"seed": np.zeros(15, np.uint8)}, ValueError),
        ({"seed": b"0" * 15}, ValueError),
        ({"seed": "0" * 16}, TypeError),
        ({"out": np.zeros((4, 16), np.uint16)}, TypeError),
        ({"out": np.zeros((8, 16), np.uint8)[::2]}, ValueError),
        ({"first_row": 2}, ValueError),
        ({"first_row": -4}, ValueError),
        ({"bits": np.zeros(2, np.uint8)}, ValueError),
    ],
)
def test_wrong_arguments_of_the_primal_encoder(change, error):
    arguments = {"seed": SEED, "table": random_blocks(8), "out": np.zeros((4, 16), np.uint8)} | change
    with pytest.raises(error, match=next(iter(change))):
        vole.primal_encode(arguments.pop("seed"), arguments.pop("table"), arguments.pop("out"), **arguments)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"vector": np.zeros((32, 16), np.uint8)}, ValueError),
        ({"vector": np.zeros((65, 16), np.uint8)}, ValueError),
        ({"weight": 0}, ValueError),
        ({"weight": 41}, ValueError),
        ({"weight": 7.0}, TypeError),
        ({"out": np.zeros(16, np.uint8)}, ValueError),
        ({"second": (np.zeros((32, 16), np.uint8), np.zeros((4, 16), np.uint8))}, ValueError),
        ({"second": (np.zeros((64, 8), np.uint8), np.zeros((4, 8), np.uint8))}, ValueError),
        ({"field": 32}, ValueError),
        ({"vector": np.zeros((64, 8), np.uint8)}, ValueError),
        ({"field": 64, "vector": np.zeros((64, 4), np.uint8)}, ValueError),
        ({"field": 64, "out": np.zeros((4, 8), np.uint8)}, ValueError),
    ],
)
def test_wrong_arguments_of_the_dual_encoder(change, error):
    arguments = {
        "vector": np.zeros((64, 16), np.uint8),
        "out": np.zeros((4, 16), np.uint8),
        "weight": 7,
    } | change
    with pytest.raises(error, match=list(change)[-1]):
        vole.expand_convolute(SEED, arguments.pop("vector"), arguments.pop("out"), **arguments)


def test_overlaps_and_wrong_places_are_refused():
    both = np.zeros((64, 16), np.uint8)
    with pytest.raises(ValueError, match="overlaps"):
        vole.expand_convolute(SEED, both, both[:4], weight=7)
    with pytest.raises(ValueError, match="positions has a value"):
        vole.place_noise(np.array([4], np.uint64), both[:1], 2, np.empty((4, 16), np.uint8))
    with pytest.raises(ValueError, match="known has shape"):
        vole.reconstruct_noise(
            np.zeros((1, 3, 16), np.uint8),
            np.array([1], np.uint64),
            both[:1],
            2,
            np.empty((4, 16), np.uint8),
        )
