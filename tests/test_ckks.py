# SPDX-License-Identifier: Apache-2.0
"""Every operation of `crypsis.ckks`, within the bound that its noise estimate gives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from ckks_cases import SWITCHING, TINY, WIDE, check, coins, numbers, parameters, public_key, secret_key
from crypsis import ckks, ntt

pytestmark = pytest.mark.filterwarnings("error")
N_SLOTS = 512


@pytest.fixture(params=SWITCHING, ids=["dnum=4", "dnum=2", "three moduli"])
def literal(request: pytest.FixtureRequest) -> ckks.Literal:
    found: ckks.Literal = request.param
    return found


@pytest.mark.parametrize("shape", [(N_SLOTS,), (1,), (7,), (3, N_SLOTS), (2, 2, 5), (0, 5)])
@pytest.mark.parametrize("complex", [False, True])
def test_encrypt_and_decrypt(literal: ckks.Literal, shape: tuple[int, ...], complex: bool) -> None:
    secret, public = secret_key(literal), public_key(literal)
    values = numbers(*shape, complex=complex)
    for key in (secret, public):
        array = key.encrypt(values)
        assert array.shape == shape[:-1]
        assert array.length == shape[-1]
        assert array.n_slots == N_SLOTS
        check(secret, array, values)
        for level in range(array.level):
            check(secret, key.encrypt(values, level=level), values)


def test_what_can_be_encrypted() -> None:
    secret = secret_key(TINY)
    for values in (
        [1, 2, 3],
        (True, False),
        2.5,
        np.float32([0.5]),
        np.arange(4, dtype=np.int16),
        np.int64(7),
    ):
        check(secret, secret.encrypt(values), np.atleast_1d(np.asarray(values, float)))
    strided = numbers(8, 20)[::2, ::3]
    check(secret, secret.encrypt(strided), strided)


def test_sums(literal: ckks.Literal) -> None:
    secret, public = secret_key(literal), public_key(literal)
    x, y = numbers(3, 20), numbers(3, 20, seed=1)
    cx, cy = public.encrypt(x, magnitude=1), secret.encrypt(y, magnitude=1)
    check(secret, cx + cy, x + y)
    check(secret, cx - cy, x - y)
    check(secret, cy - cx, y - x)
    check(secret, -cx, -x)
    check(secret, cx + y, x + y)
    check(secret, y - cx, y - x)
    check(secret, cx + 0.5, x + 0.5)
    check(secret, 2 - cx, 2 - x)
    check(secret, cx + y[0], x + y[0])
    check(secret, cx + (1 + 2j), x + (1 + 2j))
    check(secret, cx[0] + cy, x[0] + y)
    check(secret, cx + cy[2], x + y[2])
    check(secret, cx.reshape(3, 1) + cy, x[:, None] + y)
    check(secret, cx.sum(), x.sum(0))
    check(secret, cx.reshape(3, 1).sum(-1), x)


def test_slots_past_the_length_stay_zero() -> None:
    secret, public = secret_key(TINY), public_key(TINY)
    x = numbers(5)
    for array in (
        public.encrypt(x) + 3.0,
        3.0 - public.encrypt(x),
        public.encrypt(x) * 2.5,
        public.encrypt(x) * x,
    ):
        rest = secret.decrypt(array.with_length(N_SLOTS))[5:]
        assert np.abs(rest).max() < array.estimate.bound


def test_products(literal: ckks.Literal) -> None:
    secret, public = secret_key(literal), public_key(literal)
    x, y = numbers(3, 20), numbers(3, 20, seed=1)
    cx, cy = public.encrypt(x, magnitude=1), secret.encrypt(y, magnitude=1)
    for found, expected in (
        (cx * cy, x * y),
        (cx * cx, x * x),
        (cx.square(), x * x),
        (cx * y, x * y),
        (y[0] * cx, x * y[0]),
        (cx * 0.3, x * 0.3),
        (-0.75 * cx, -0.75 * x),
        (cx * 1j, x * 1j),
        (cx / 8, x / 8),
        (cx[0] * cy, x[0] * y),
        (cx * cy[1], x * y[1]),
        (cx.reshape(3, 1) * cy, x[:, None] * y),
        (cx.reshape(3, 1) * y, x[:, None] * y),
    ):
        check(secret, found, expected)
        assert found.level == cx.level - 1
        assert found.canonical
    for found, expected in (
        (cx * 3, 3 * x),
        (np.int64(-5) * cx, -5 * x),
        (cx * 0, 0 * x),
        (cx * 2**8, 256 * x),
    ):
        check(secret, found, expected)
        assert found.level == cx.level
        assert found.canonical


def test_powers() -> None:
    secret, public = secret_key(TINY), public_key(TINY)
    x = numbers(20)
    cx = public.encrypt(x, magnitude=1)
    for exponent, depth in ((1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (8, 3)):
        found = cx**exponent
        check(secret, found, x**exponent)
        assert cx.level - found.level == depth


def test_operands_of_different_levels(literal: ckks.Literal) -> None:
    secret, public = secret_key(literal), public_key(literal)
    x = numbers(20)
    fresh = public.encrypt(x, magnitude=1)
    top = fresh.level
    powers = {level: fresh.at_level(level) for level in range(top + 1)}
    for level, array in powers.items():
        assert array.level == level
        assert array.canonical
        check(secret, array, x)
    for a in powers.values():
        for b in powers.values():
            total = a + b
            assert total.level == min(a.level, b.level)
            assert total.canonical
            check(secret, total, 2 * x)
            check(secret, a - b, 0 * x)
            if min(a.level, b.level):
                check(secret, a * b, x * x)


def test_products_that_are_rescaled_later(literal: ckks.Literal) -> None:
    secret, public = secret_key(literal), public_key(literal)
    x, y = numbers(2, 20), numbers(2, 20, seed=1)
    cx, cy = public.encrypt(x, magnitude=1), public.encrypt(y, magnitude=1)
    lazy = cx.multiply(cy, relinearise=False, rescale=False)
    assert lazy.size_of == 3
    assert lazy.level == cx.level
    assert lazy.scale == pytest.approx(cx.scale**2)
    check(secret, lazy, x * y)
    both = lazy + cx.square(relinearise=False, rescale=False)
    expected = x * y + x * x
    check(secret, both, expected)
    check(secret, both.rescale(), expected)
    check(secret, both.relinearise(), expected)
    check(secret, both.relinearise().rescale(), expected)
    check(secret, both.rescale().relinearise(), expected)
    assert both.relinearise().rescale().canonical
    mixed = both + cx.multiply(y, rescale=False)
    check(secret, mixed.relinearise().rescale(), expected + x * y)
    assert mixed.size_of == 3
    check(secret, (cx * cy).multiply(0.5, rescale=False).rescale(), x * y / 2)


def test_the_fused_product_equals_its_steps(literal: ckks.Literal) -> None:
    public = public_key(literal)
    cx, cy = public.encrypt(numbers(2, 20)), public.encrypt(numbers(2, 20, seed=1))
    fused = cx * cy
    steps = cx.multiply(cy, relinearise=False, rescale=False).relinearise().rescale()
    assert np.array_equal(fused.data, steps.data)
    assert np.array_equal(
        cx.multiply(cy, relinearise=False).data,
        cx.multiply(cy, relinearise=False, rescale=False).rescale().data,
    )


def test_rotations(literal: ckks.Literal) -> None:
    secret, public = secret_key(literal), public_key(literal)
    x = numbers(2, N_SLOTS, complex=True)
    cx = public.encrypt(x, magnitude=1)
    for shift in (0, 1, 2, 5, -1, 100, N_SLOTS - 1, 100 - N_SLOTS):
        check(secret, cx.rotate(shift), np.roll(x, -shift, axis=1))
        low = cx.at_level(1)
        check(secret, low.rotate(shift), np.roll(x, -shift, axis=1))
    check(secret, cx.conjugate(), x.conj())
    assert cx.rotate(0) is cx


def test_many_rotations_at_once(literal: ckks.Literal) -> None:
    secret, public = secret_key(literal), public_key(literal)
    x = numbers(2, N_SLOTS)
    cx = public.encrypt(x, magnitude=1)
    shifts = (5, 0, -1, 5, 100)
    many = cx.rotate_many(shifts)
    assert many.shape == (5, 2)
    check(secret, many, np.stack([np.roll(x, -shift, axis=1) for shift in shifts]))
    for i, shift in enumerate(shifts):  # the digits are the same, so are all bits
        assert np.array_equal(many[i].data, cx.rotate(shift).data)


def test_plaintexts_are_encoded_once() -> None:
    secret, public = secret_key(TINY), public_key(TINY)
    x, w = numbers(3, 20), numbers(20, seed=1)
    cx = public.encrypt(x, magnitude=1)
    plain = public.encode(w)
    check(secret, cx * plain, x * w)
    low = cx.at_level(1)
    product = low.multiply(plain.at(1), rescale=False)
    assert product.scale == low.scale * plain.scale
    check(secret, product, x * w)
    at_scale = ckks.encode(parameters(TINY), w, level=2, scale=cx.at_level(2).scale)
    check(secret, cx.at_level(2) + at_scale, x + w)
    rows = ckks.encode(parameters(TINY), x, level=3)
    check(secret, cx * rows, x * x)


def test_packed_arrays() -> None:
    for literal in (TINY, WIDE):
        secret, public = secret_key(literal), public_key(literal)
        for shape in ((), (1,), (1023,), (1024,), (1025,), (3, 700), (0,)):
            x, y = numbers(*shape), numbers(*shape, seed=1)
            cx, cy = public.encrypt(x, packed=True, magnitude=2), secret.encrypt(y, packed=True, magnitude=2)
            assert cx.shape == (max(1, -(-x.size // 1024)),)
            check(secret, cx, x)
            check(secret, cx + cy, x + y)
            check(secret, cx - 2 * cy, x - 2 * y)
            check(secret, cx + y, x + y)
            check(secret, 1.0 - cx, 1.0 - x)
        if literal is TINY:
            check(secret, cx * 0.5, x * 0.5)
            check(secret, cx / 3, x / 3)


def test_a_batch_is_the_single_ciphertexts(literal: ckks.Literal) -> None:
    public, x, w = public_key(literal), numbers(4, 20), numbers(20, seed=2)
    cx = public.encrypt(x)
    cy = public.encrypt(numbers(4, 20, seed=1))
    operations = (
        lambda a, b: a + b,
        lambda a, b: a * b,
        lambda a, b: a * w,
        lambda a, b: a + w,
        lambda a, b: a * 0.3,
        lambda a, b: a.rotate(1),
        lambda a, b: a.conjugate(),
        lambda a, b: a.at_level(0),
        lambda a, b: a.rotate_many((1, 2)).sum(),
    )
    for operation in operations:
        batch = operation(cx, cy)
        for i in range(4):
            assert np.array_equal(batch[i].data, operation(cx[i], cy[i]).data)


def test_encrypting_in_blocks_is_encrypting_rows() -> None:
    """The same coins give the same ciphertexts; rows take theirs one after the other within a block."""
    secret = secret_key(TINY)
    x = numbers(40, 20)
    big = secret.encrypt(x, coins=coins(1))
    check(secret, big, x)
    seed = big.seeded
    assert seed is not None
    assert seed[0].shape == (40, 4, 1024)


def test_indexing_and_shapes() -> None:
    secret, public = secret_key(TINY), public_key(TINY)
    x = numbers(3, 4, 5)
    cx = secret.encrypt(x)
    check(secret, cx[1], x[1])
    check(secret, cx[1, 2], x[1, 2])
    check(secret, cx[:, 1:3], x[:, 1:3])
    check(secret, cx[[2, 0]], x[[2, 0]])
    check(secret, cx[..., 0], x[:, 0])
    check(secret, cx.reshape(12), x.reshape(12, 5))
    check(secret, cx.reshape(-1, 2), x.reshape(6, 2, 5))
    check(secret, ckks.stack(list(cx)), x)
    assert len(cx) == 3
    assert cx.ndim == 2
    assert cx.size == 12
    check(secret, public.bind(cx).sum(1), x.sum(1))
    assert "level 3" in repr(cx)
    assert "2^40" in repr(cx)


def test_decryption_takes_a_result_beyond_the_lowest_modulus() -> None:
    """Above the lowest level there is room for more than max_value."""
    secret, public = secret_key(TINY), public_key(TINY)
    values = np.array([200.0, -250.0])
    found = secret.decrypt(public.encrypt(values) * public.encrypt(values))
    assert found == pytest.approx(values**2, abs=1e-3)


def test_precision_report() -> None:
    secret = secret_key(TINY)
    x = numbers(N_SLOTS)
    report = secret.precision(secret.encrypt(x), x)
    assert report.least <= report.average <= report.most < -25
    assert str(report).startswith("log2 error")
    assert ckks.compare([1.0, 2.0], [1.0, 2.0]).most == -np.inf
    with pytest.raises(ValueError, match="shape"):
        ckks.compare([1.0], [1.0, 2.0])


def test_secret_keys_do_not_show_and_are_wiped() -> None:
    secret = ckks.SecretKey(parameters(TINY), bytes(range(32)))
    s, seed = secret._s, secret._seed
    assert repr(secret) == f"SecretKey(of {secret.id[:4].hex()}, {secret.parameters!r})"
    assert s.any()
    assert seed.any()
    del secret
    assert not s.any()
    assert not seed.any()


def test_threads_expand_a_key_once() -> None:
    buffer, array = public_key(TINY).to_bytes(), public_key(TINY).encrypt(numbers(20))
    expected = array.rotate(1).data
    seeded = secret_key(TINY).encrypt(numbers(20))
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            public = ckks.PublicKey.from_bytes(buffer, insecure_allow_weak=True)
            fresh = ckks.CkksArray.from_bytes(seeded.to_bytes(), insecure_allow_weak=True)
            found = list(pool.map(lambda _, public=public: public.bind(array).rotate(1).data, range(8)))
            assert all(np.array_equal(one, expected) for one in found)
            halves = list(pool.map(lambda _, fresh=fresh: fresh.data, range(8)))
            assert all(np.array_equal(one, seeded.data) for one in halves)


def test_a_key_follows_from_its_seed() -> None:
    one, two = (ckks.SecretKey(parameters(TINY), bytes(range(32))) for _ in range(2))
    assert one.id == two.id
    assert np.array_equal(one.encryption.body, two.encryption.body)
    assert one.id != secret_key(TINY).id
    assert one.public_key(relinearise=False) == two.public_key(relinearise=False)
    x = numbers(5)
    check(two, one.encrypt(x), x)


def test_a_symmetric_encryption_leaves_no_product_with_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """a s, with a from its public seed, is the secret key: it is zeros in memory afterwards."""
    secret, products = secret_key(TINY), []
    multiply = ntt.multiply

    def recorded(*arguments: Any, **options: Any) -> Any:
        products.append(multiply(*arguments, **options))
        return products[-1]

    monkeypatch.setattr(ntt, "multiply", recorded)
    check(secret, secret.encrypt(numbers(3, 8)), numbers(3, 8))
    assert products
    assert not any(product.any() for product in products)


@pytest.mark.parametrize("factors", [1, 2, 3])
def test_products_that_are_not_rescaled_decrypt(literal: ckks.Literal, factors: int) -> None:
    """At scales that the two lowest moduli do not hold, too."""
    secret, x = secret_key(literal), numbers(2, 8)
    array = public_key(literal).encrypt(x, magnitude=1)
    try:
        for _ in range(factors):
            array = array.multiply(np.full(8, 0.5), rescale=False)
    except ValueError:  # beyond the modulus, and said so
        assert factors >= array.level
        return
    check(secret, array, x / 2**factors)
