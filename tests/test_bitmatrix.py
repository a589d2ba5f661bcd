# SPDX-License-Identifier: Apache-2.0
"""bitmatrix: known answers, differential against the reference, and properties, over every backend."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis import backends, bitmatrix
from reference import bitmatrix as reference

VECTORS = json.loads((Path(__file__).parent / "vectors" / "bitmatrix.json").read_text())
PUBLISHED, GENERATED = VECTORS["published"], VECTORS["generated"]
BACKENDS = backends.runnable("bitmatrix")
every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_degree = pytest.mark.parametrize("k", range(1, 9))
Array = np.ndarray


def random_bytes(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def element(hexadecimal: str) -> Array:
    return np.frombuffer(bytes.fromhex(hexadecimal), np.uint8)


def rows(elements: Array, n: int = 1) -> Array:
    return np.ascontiguousarray(np.broadcast_to(elements, (n, elements.size)))


def number(row: Array) -> int:
    return int.from_bytes(row.tobytes(), "little")


def as_element(value: int, width: int = 16) -> Array:
    return np.frombuffer(value.to_bytes(width, "little"), np.uint8)


def slow_transpose(bits: Array) -> Array:
    """NumPy's way; the reference's for small ones in test_transpose_against_the_reference."""
    by_row = np.unpackbits(bits, axis=1, bitorder="little")
    return np.ascontiguousarray(np.packbits(by_row.T, axis=1, bitorder="little"))


# Known answers


@every_backend
@pytest.mark.parametrize("n", [1, 3, 4, 5, 9])
def test_published_gcm_products(backend: str, n: int) -> None:
    """GCM's elements have the bits of every byte in the other order (`reference.gcm_to_crypsis`)."""
    case = {
        name: np.frombuffer(reference.gcm_to_crypsis(bytes.fromhex(value)), np.uint8)
        for name, value in PUBLISHED["gcm"].items()
        if name != "source"
    }
    first = bitmatrix.gf128_multiply(rows(case["c"], n), case["h"], backend=backend)
    assert np.array_equal(first, rows(case["x1"], n))
    last = bitmatrix.gf128_multiply(first ^ case["lengths"], rows(case["h"], n), backend=backend)
    assert np.array_equal(last, rows(case["ghash"], n))
    # GHASH again, as an inner product with powers of H: C H^2 + len H.
    powers = bitmatrix.gf128_powers(case["h"], 3, backend=backend)[:0:-1].copy()
    ghash = bitmatrix.gf128_inner_product(np.stack([case["c"], case["lengths"]]), powers, backend=backend)
    assert np.array_equal(ghash, case["ghash"])


@every_backend
def test_published_polyval_product(backend: str) -> None:
    """POLYVAL's modulus is ours read backwards: with the 128 bits of every element reversed, a b = c x^127.

    For a root r of ours, 1 / r is a root of POLYVAL's; sum a_i r^-i = r^-127 rev(a), so rev(a) rev(b) r^-254 =
    rev(c) r^-127.
    """

    def reverse(hexadecimal: str) -> Array:
        return np.packbits(np.unpackbits(element(hexadecimal), bitorder="little")[::-1], bitorder="little")

    case = PUBLISHED["polyval"]
    left = bitmatrix.gf128_multiply(rows(reverse(case["a"])), reverse(case["b"]), backend=backend)
    right = bitmatrix.gf128_multiply(rows(reverse(case["c"])), as_element(1 << 127), backend=backend)
    assert np.array_equal(left, right)


@every_backend
def test_published_aes_products(backend: str) -> None:
    a, b, c = (np.array([int(t[i], 16) for t in PUBLISHED["aes"]["products"]], np.uint8) for i in range(3))
    assert np.array_equal(bitmatrix.gf2k_multiply(a, b, k=8, backend=backend), c)


@every_backend
def test_generated_vectors(backend: str) -> None:
    for case in GENERATED["transposes"]:
        bits = element(case["bits"]).reshape(case["rows"], -1)
        assert bitmatrix.transpose(bits, backend=backend).tobytes().hex() == case["transpose"]
    for degree, cases in GENERATED["products"].items():
        a, b, c = (np.stack([element(case[name]) for case in cases]) for name in "abc")
        if degree == "128":
            assert np.array_equal(bitmatrix.gf128_multiply(a, b, backend=backend), c)
        elif degree == "64":
            found = [
                bitmatrix.gf64_inner_product(x[None], y[None], backend=backend)
                for x, y in zip(a, b, strict=True)
            ]
            assert np.array_equal(found, c)
        else:
            found = bitmatrix.gf2k_multiply(a.ravel(), b.ravel(), k=int(degree), backend=backend)
            assert np.array_equal(found, c.ravel())


def test_moduli_are_the_references_and_irreducible() -> None:
    assert [reference.MODULI[k] for k in range(1, 9)] == list(bitmatrix.GF2K_MODULI)
    for k, modulus in enumerate(bitmatrix.GF2K_MODULI, start=1):
        assert modulus.bit_length() == k + 1
        assert reference.is_irreducible(modulus)


# Transposes: differential, every edge of a tile


def test_transpose_against_the_reference() -> None:
    for n_rows, n_columns in ((8, 16), (24, 8), (40, 56), (128, 16)):
        bits = random_bytes(n_rows, n_rows, n_columns // 8)
        wanted = reference.transpose([row.tobytes() for row in bits], n_columns)
        assert [row.tobytes() for row in slow_transpose(bits)] == wanted
        for backend in BACKENDS:
            assert [row.tobytes() for row in bitmatrix.transpose(bits, backend=backend)] == wanted


@every_backend
def test_every_tail_of_128_rows_and_of_128_columns(backend: str) -> None:
    whole = random_bytes(1, 128, 140)
    for n_bytes in range(140):
        bits = np.ascontiguousarray(whole[:, :n_bytes])
        blocks = slow_transpose(bits) if n_bytes else np.zeros((0, 16), np.uint8)
        assert np.array_equal(bitmatrix.transpose(bits, backend=backend), blocks)
        assert np.array_equal(bitmatrix.transpose(blocks, backend=backend), bits)


@every_backend
def test_shapes_around_every_edge(backend: str) -> None:
    edges = [0, 8, 120, 128, 136, 376, 384, 392, 504, 512, 520, 1024, 1032]
    whole = random_bytes(2, max(edges), max(edges) // 8)
    for n_rows in edges:
        for n_columns in edges:
            bits = np.ascontiguousarray(whole[:n_rows, : n_columns // 8])
            found = bitmatrix.transpose(bits, backend=backend)
            assert found.shape == (n_columns, n_rows // 8)
            if bits.size:
                assert np.array_equal(found, slow_transpose(bits))


@every_backend
@pytest.mark.parametrize("shape", [(4096, 512), (128, 1 << 15), (1 << 18, 16), (3000, 200)])
@pytest.mark.parametrize("threads", [1, 3])
def test_large_matrices_and_threads(backend: str, shape: tuple[int, int], threads: int) -> None:
    bits = random_bytes(3, *shape)
    found = bitmatrix.transpose(bits, backend=backend, threads=threads)
    assert np.array_equal(found, slow_transpose(bits))


@every_backend
def test_unaligned_buffers_and_nothing_else_is_written(backend: str) -> None:
    for n_rows, n_columns in ((128, 1032), (1032, 128), (520, 520)):
        n = n_rows * n_columns // 8
        for offset in (1, 7, 33):
            memory = random_bytes(offset, n + 64)
            bits = memory[offset : offset + n].reshape(n_rows, -1)
            target = np.full(n + 128, 0xA5, np.uint8)
            out = target[offset : offset + n].reshape(n_columns, -1)
            assert bitmatrix.transpose(bits, out=out, backend=backend) is out
            assert np.array_equal(out, slow_transpose(bits))
            assert (target[:offset] == 0xA5).all()
            assert (target[offset + n :] == 0xA5).all()


@given(n_rows=st.integers(0, 80), n_columns=st.integers(0, 80), seed=st.integers(0, 2**32))
@settings(max_examples=40)
def test_transposing_twice_is_the_identity_and_xor_goes_through(
    n_rows: int, n_columns: int, seed: int
) -> None:
    a, b = random_bytes(seed, 2, 8 * n_rows, n_columns)
    for backend in BACKENDS:
        once = bitmatrix.transpose(a, backend=backend)
        assert np.array_equal(bitmatrix.transpose(once, backend=backend), a)
        assert np.array_equal(once ^ bitmatrix.transpose(b, backend=backend), bitmatrix.transpose(a ^ b))


# Bits and small elements


@given(st.lists(st.integers(0, 1), max_size=70))
def test_bits_pack_as_the_reference_says(bits: list[int]) -> None:
    packed = bitmatrix.pack_bits(np.array(bits, np.uint8))
    assert packed.tobytes() == reference.from_bits(bits)
    assert bitmatrix.unpack_bits(packed, len(bits)).tolist() == bits


def test_bits_pack_along_the_last_axis() -> None:
    values = np.random.default_rng(4).integers(0, 2, (3, 4, 21), dtype=np.uint8)
    packed = bitmatrix.pack_bits(values, out=np.empty((3, 4, 3), np.uint8))
    assert packed[1, 2].tobytes() == reference.from_bits(values[1, 2].tolist())
    assert np.array_equal(bitmatrix.unpack_bits(packed, 21, out=np.empty_like(values)), values)


@every_degree
def test_multiplication_tables_of_small_fields(k: int) -> None:
    """Every product, on every backend, in bytes and in slices."""
    q = 1 << k
    a, b = (np.ascontiguousarray(x.ravel()) for x in np.indices((q, q), dtype=np.uint8))
    wanted = np.array([reference.multiply(int(x), int(y), k) for x, y in zip(a, b, strict=True)], np.uint8)
    pad = -len(a) % 8
    a8, b8, wanted8 = (np.concatenate([x, np.zeros(pad, np.uint8)]) for x in (a, b, wanted))
    for backend in BACKENDS:
        assert np.array_equal(bitmatrix.gf2k_multiply(a, b, k=k, backend=backend), wanted)
        planes = [bitmatrix.slice_elements(x, k=k, backend=backend) for x in (a8, b8)]
        product = bitmatrix.gf2k_multiply_sliced(*planes, backend=backend)
        assert np.array_equal(bitmatrix.unslice_elements(product, backend=backend), wanted8)
        for scalar in {0, 1, q // 2, q - 1}:
            by_scalar = bitmatrix.gf2k_multiply(a8, scalar, k=k, backend=backend)
            assert by_scalar.tolist() == [reference.multiply(int(x), scalar, k) for x in a8]
            sliced = bitmatrix.gf2k_multiply_sliced(planes[0], scalar, backend=backend)
            assert np.array_equal(bitmatrix.unslice_elements(sliced, backend=backend), by_scalar)


@every_backend
@every_degree
def test_small_elements_of_every_length(k: int, backend: str) -> None:
    for n in (*range(80), 129, 200_003):
        a, b = np.random.default_rng(n).integers(0, 1 << k, (2, n), dtype=np.uint8)
        found = bitmatrix.gf2k_multiply(a, b, k=k, backend=backend, threads=2)
        assert np.array_equal(found, bitmatrix.gf2k_multiply(a, b, k=k, backend="portable", threads=1))
        packed = bitmatrix.pack_elements(a, k=k, backend=backend, threads=2)
        if n < 200:
            assert packed.tobytes() == reference.pack_elements(a.tolist(), k)
        assert np.array_equal(bitmatrix.unpack_elements(packed, n, k=k, backend=backend, threads=2), a)
        planes = random_bytes(n, 2, k, n)
        sliced = bitmatrix.gf2k_multiply_sliced(planes[0], planes[1], backend=backend, threads=2)
        assert np.array_equal(
            sliced, bitmatrix.gf2k_multiply_sliced(planes[0], planes[1], backend="portable")
        )


# GF(2^128) and GF(2^64): differential

EXTREMES = [0, 1, 2, 0x87, 1 << 63, 1 << 64, 1 << 127, (1 << 64) - 1, ((1 << 64) - 1) << 64, (1 << 128) - 1]


@every_backend
def test_products_of_extreme_elements(backend: str) -> None:
    pairs = [(x, y) for x in EXTREMES for y in EXTREMES]
    a, b = (np.stack([as_element(pair[i]) for pair in pairs]) for i in range(2))
    found = bitmatrix.gf128_multiply(a, b, backend=backend)
    assert [number(row) for row in found] == [reference.multiply(x, y, 128) for x, y in pairs]
    low = [(x % 2**64, y >> 64) for x, y in pairs]
    for x, y in low:
        product = bitmatrix.gf64_inner_product(
            as_element(x, 8)[None], as_element(y, 8)[None], backend=backend
        )
        assert number(product) == reference.multiply(x, y, 64)


@every_backend
def test_products_of_every_count(backend: str) -> None:
    for n in range(19):
        a, b = random_bytes(n, 2, n, 16)
        wanted = [reference.multiply(number(x), number(y), 128) for x, y in zip(a, b, strict=True)]
        assert [number(row) for row in bitmatrix.gf128_multiply(a, b, backend=backend)] == wanted
        one = random_bytes(100 + n, 16)
        wanted = [reference.multiply(number(x), number(one), 128) for x in a]
        assert [number(row) for row in bitmatrix.gf128_multiply(a, one, backend=backend)] == wanted


@every_backend
def test_products_over_gf64_with_a_pair(backend: str) -> None:
    for n in range(19):
        a, pair, add = random_bytes(n, n, 8), random_bytes(200 + n, 16), random_bytes(300 + n, n, 16)
        wanted = [reference.multiply(number(x), number(y), 64) for x in a for y in pair.reshape(2, 8)]
        found = bitmatrix.gf64_multiply(a, pair, backend=backend)
        assert [number(row) for row in found.reshape(-1, 8)] == wanted
        assert np.array_equal(bitmatrix.gf64_multiply(a, pair.reshape(2, 8), backend=backend), found)
        sums = bitmatrix.gf64_multiply(a, pair, add=add, backend=backend)
        assert np.array_equal(sums, found ^ add)
        assert bitmatrix.gf64_multiply(a, pair, add=add, out=add, backend=backend) is add
        assert np.array_equal(add, sums)
    a = np.stack([as_element(x % 2**64, 8) for x in EXTREMES])
    for one in EXTREMES:
        pair = as_element(one)
        wanted = [reference.multiply(number(x), number(y), 64) for x in a for y in pair.reshape(2, 8)]
        found = bitmatrix.gf64_multiply(a, pair, backend=backend).reshape(-1, 8)
        assert [number(row) for row in found] == wanted


@every_backend
def test_products_are_added(backend: str) -> None:
    for n in range(19):
        a, b, add = random_bytes(n, 3, n, 16)
        for factor in (b, random_bytes(n, 16)):
            wanted = bitmatrix.gf128_multiply(a, factor, backend=backend) ^ add
            assert np.array_equal(bitmatrix.gf128_multiply(a, factor, add=add, backend=backend), wanted)
            own = add.copy()
            bitmatrix.gf128_multiply(a, factor, add=own, out=own, backend=backend)
            assert np.array_equal(own, wanted)


@every_backend
@pytest.mark.parametrize("m", [64, 128])
def test_inner_products_of_every_count(backend: str, m: int) -> None:
    function = bitmatrix.gf128_inner_product if m == 128 else bitmatrix.gf64_inner_product
    for n in range(19):
        a, b = random_bytes(n, 3, n, m // 8), random_bytes(50 + n, n, m // 8)
        wanted = []
        for row in a:
            total = 0
            for x, y in zip(row, b, strict=True):
                total ^= reference.multiply(number(x), number(y), m)
            wanted.append(total)
        assert [number(row) for row in function(a, b, backend=backend)] == wanted
        assert number(function(a[1], b, backend=backend)) == wanted[1]
        assert function(a[:0], b, backend=backend).shape == (0, m // 8)


@every_backend
def test_powers_of_every_count(backend: str) -> None:
    x = random_bytes(9, 16)
    wanted = [reference.power(number(x), i, 128) for i in range(70)]
    for n in (0, 1, 2, 3, 15, 16, 17, 31, 33, 70):
        assert [number(row) for row in bitmatrix.gf128_powers(x, n, backend=backend)] == wanted[:n]
    zero = bitmatrix.gf128_powers(np.zeros(16, np.uint8), 3, backend=backend)
    assert [number(row) for row in zero] == [1, 0, 0]


@every_backend
def test_large_batches_and_threads(backend: str) -> None:
    n = 40_001
    a, b = random_bytes(1, 2, n, 16)
    for threads in (1, 3):
        options = {"backend": backend, "threads": threads}
        expected = bitmatrix.gf128_multiply(a, b, backend="portable")
        assert np.array_equal(bitmatrix.gf128_multiply(a, b, **options), expected)
        total = np.bitwise_xor.reduce(expected, axis=0)
        assert np.array_equal(bitmatrix.gf128_inner_product(a, b, **options), total)
        assert np.array_equal(
            bitmatrix.gf64_inner_product(a.reshape(2, n, 8), b.reshape(2, n, 8)[0], **options),
            bitmatrix.gf64_inner_product(a.reshape(2, n, 8), b.reshape(2, n, 8)[0], backend="portable"),
        )
        halves = a[:, :8].copy()
        assert np.array_equal(
            bitmatrix.gf64_multiply(halves, b[0], add=b, **options),
            bitmatrix.gf64_multiply(halves, b[0], backend="portable") ^ b,
        )
        powers = bitmatrix.gf128_powers(a[0], n, **options)
        assert np.array_equal(powers[1:], bitmatrix.gf128_multiply(powers[:-1].copy(), a[0]))


# Field axioms

integers = st.integers(0, 2**128 - 1)


@given(x=integers, y=integers, z=integers)
@settings(max_examples=60)
def test_field_axioms(x: int, y: int, z: int) -> None:
    a, b, c = (rows(as_element(v)) for v in (x, y, z))
    for backend in BACKENDS:

        def times(p: Array, q: Array, backend: str = backend) -> Array:
            return bitmatrix.gf128_multiply(p, q, backend=backend)

        assert np.array_equal(times(a, b), times(b, a))
        assert np.array_equal(times(times(a, b), c), times(a, times(b, c)))
        assert np.array_equal(times(a ^ b, c), times(a, c) ^ times(b, c))
        assert np.array_equal(times(a, as_element(1)), a)
        assert number(times(a, b)) == reference.multiply(x, y, 128)


@every_backend
def test_every_element_but_zero_has_an_inverse(backend: str) -> None:
    """a^(2^128 - 1) = 1: the Frobenius map 128 times is the identity."""
    a = random_bytes(6, 9, 16)
    power = a
    for _ in range(128):
        power = bitmatrix.gf128_multiply(power, power, backend=backend)
    assert np.array_equal(power, a)
