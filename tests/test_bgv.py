# SPDX-License-Identifier: Apache-2.0
"""bgv: keys, encryption, products and decryption against Python's integers, over every backend."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgv_cases import ODD, SMALL, TINY, forced, ints, phases, polynomials, secret_of, values
from crypsis import aes, bgv
from crypsis._bgv import keys
from crypsis._bgv.words import compose
from crypsis._ckks.coins import Coins
from reference import bgv as reference

every_parameters = pytest.mark.parametrize("parameters", [TINY, SMALL, ODD], ids=["tiny", "small", "odd"])
SECRETS = {parameters: bgv.SecretKey.generate(parameters) for parameters in (TINY, SMALL, ODD)}


def test_the_preset() -> None:
    preset = bgv.RING128
    assert (preset.n, preset.plain_bits, preset.limbs) == (8192, 128, 2)
    assert preset.q.bit_length() == 215 <= 218
    assert all(prime < 2**50 and prime % (2 * preset.n) == 1 for prime in preset.basis.primes)
    assert preset.max_noise_bits == 82
    assert preset == bgv.Parameters(13, [43] * 5, 128)
    assert preset != bgv.Parameters(13, [43] * 5, 127)


@every_parameters
def test_keys_are_as_written(parameters: bgv.Parameters) -> None:
    secret = bgv.SecretKey.generate(parameters)
    s = secret_of(secret)
    assert set(s) <= {-1, 0, 1}
    public = secret.public_key
    body, mask = (polynomials(half[None], parameters)[0] for half in (public._body, public._mask))
    noise = reference.phase(body, mask, s, parameters.q)
    t = 1 << parameters.plain_bits
    assert all(value % t == 0 and abs(value // t) <= 21 for value in noise)
    assert secret.id == public.id != bgv.SecretKey.generate(parameters).id


@every_parameters
def test_encryption_against_the_reference(parameters: bgv.Parameters) -> None:
    rng = np.random.default_rng(1)
    secret, t = SECRETS[parameters], 1 << parameters.plain_bits
    message = values(rng, parameters, 3, parameters.n - 2)
    found = secret.encrypt(message)
    assert len(found) == 3
    s = secret_of(secret)
    halves = [polynomials(half, parameters) for half in (found.first, found.second)]
    for first, second, row in zip(*halves, ints(message), strict=True):
        phase = reference.phase(first, second, s, parameters.q)
        assert [value % t for value in phase] == [*row, 0, 0]
        assert max(abs(value) for value in phase) < 23 * t
    constants = secret.encrypt_constants(message[:, 0])
    for phase, value in zip(phases(secret, constants), ints(message[:, 0]), strict=True):
        assert [x % t for x in phase] == [value] + [0] * (parameters.n - 1)


@every_parameters
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_products_against_the_reference(parameters: bgv.Parameters, data: st.DataObject) -> None:
    """Random numbers, and the largest and smallest there are."""
    rows, terms = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    dtype = data.draw(st.sampled_from([np.int8, np.int16, np.int32]))
    bounds = np.iinfo(dtype)
    kind = data.draw(st.sampled_from(["random", "lowest", "highest", "zero"]))
    shape = (rows, terms, parameters.n)
    fill = {"lowest": bounds.min, "highest": bounds.max, "zero": 0}
    small = (
        rng.integers(bounds.min, bounds.max, shape, dtype, endpoint=True)
        if kind == "random"
        else np.full(shape, fill[kind], dtype)
    )
    message = values(rng, parameters, terms, parameters.n)
    if data.draw(st.booleans()):
        message[:] = 2**64 - 1  # taken mod t
    is_reversed = data.draw(st.booleans())
    secret, t = SECRETS[parameters], 1 << parameters.plain_bits
    plains = bgv.plain(small, parameters, reversed=is_reversed)
    products = bgv.matmul(plains, secret.encrypt(message))
    factors = [[reference.inverted(p) if is_reversed else p for p in row] for row in small.tolist()]
    for row, phase in zip(factors, phases(secret, products), strict=True):
        wanted = [0] * parameters.n
        for factor, term in zip(row, ints(message).tolist(), strict=True):
            wanted = reference.add(wanted, reference.multiply(factor, term))
        assert [value % t for value in phase] == [value % t for value in wanted]
    assert products.squared.tolist() == [
        pytest.approx(float((row.astype(object) ** 2).sum())) for row in small
    ]


def test_parts_of_plains() -> None:
    rng = np.random.default_rng(2)
    small = rng.integers(-9, 9, (2, 3, 16), np.int64)
    plains = bgv.plain(small, TINY)
    secret = SECRETS[TINY]
    message = values(rng, TINY, 3, 16)
    ciphertexts = secret.encrypt(message)
    whole = bgv.matmul(plains, ciphertexts)
    one = bgv.multiply_sum(plains[1], ciphertexts)
    assert np.array_equal(one.first[0], whole.first[1])
    assert one.squared[0] == whole.squared[1]
    assert plains[:, 1:].shape == (2, 2)
    assert plains[1, 2].shape == ()
    turned = bgv.plain(np.ascontiguousarray(small.swapaxes(0, 1)), TINY).transposed()
    assert np.array_equal(bgv.matmul(turned, ciphertexts).second, whole.second)
    mirrored = bgv.matmul(plains.reversed(), ciphertexts)
    direct = bgv.matmul(bgv.plain(small, TINY, reversed=True), ciphertexts)
    assert np.array_equal(mirrored.first, direct.first)
    inner = sum(int(a) * b for a, b in zip(small[0, 0], ints(message)[0], strict=True))
    alone = bgv.multiply_sum(plains.reversed()[0, :1], secret.encrypt(message[:1]))
    assert phases(secret, alone)[0][0] % 2**128 == inner % 2**128
    total = whole + mirrored
    assert [x % 2**128 for x in phases(secret, total)[0]] == [
        (x + y) % 2**128 for x, y in zip(phases(secret, whole)[0], phases(secret, mirrored)[0], strict=True)
    ]
    assert np.allclose(total.squared, 4 * whole.squared)  # the same ciphertexts, whose noise could add up
    other = bgv.matmul(plains, secret.encrypt(message))
    assert np.allclose((whole + other).squared, 2 * whole.squared)
    assert np.allclose((whole + other + other).squared, (math.sqrt(2) + 1) ** 2 * whole.squared)


def test_short_polynomials_are_filled_up() -> None:
    secret = SECRETS[TINY]
    found = bgv.multiply_sum(
        bgv.plain(np.array([[0, 3]], np.int8), TINY), secret.encrypt_constants(np.array([[5, 0]], np.uint64))
    )
    assert [x % 2**128 for x in phases(secret, found)[0]] == [0, 15] + [0] * 14


def everything(seed: bytes) -> list[bytes]:
    """All that one exchange sends and finds, from fixed coins."""
    coins = Coins(aes.Generator.from_seed(seed))
    rng = np.random.default_rng(3)
    secret = keys.SecretKey(SMALL, coins=coins)
    message = values(rng, SMALL, 2, SMALL.n)
    ciphertexts = secret.encrypt(message, coins=coins)
    small = rng.integers(-(2**15), 2**15, (3, 2, SMALL.n), np.int64).astype(np.int16)
    products = bgv.matmul(bgv.plain(small, SMALL, reversed=True), ciphertexts)
    masks = values(rng, SMALL, 3, SMALL.n)
    hidden = bgv.hide(products, secret.public_key, masks, SMALL.max_noise_bits, coins=coins)
    sent = [secret.public_key.to_bytes(), ciphertexts.to_bytes(), hidden.to_bytes()]
    return [*sent, secret.decrypt(hidden).tobytes()]


def test_backends_agree_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    from crypsis._bgv import encrypting

    for module in (keys, encrypting):
        monkeypatch.setattr(module, "public_seed", lambda: hashlib.sha256(b"public").digest())
    found = []
    for text in forced():
        monkeypatch.setenv("CRYPSIS_BACKEND", text)
        for threads in ("1", "3"):
            monkeypatch.setenv("CRYPSIS_NUM_THREADS", threads)
            found.append(everything(bytes(range(32))))
    assert all(one == found[0] for one in found)
    assert everything(bytes(32)) != found[0]


@every_parameters
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_composition_is_exact_up_to_a_quarter(parameters: bgv.Parameters, data: st.DataObject) -> None:
    quarter = parameters.q // 4
    edge = st.sampled_from([0, 1, -1, quarter, -quarter, 2**parameters.plain_bits, -(2**64), 2**128 - 1])
    numbers: list[Any] = data.draw(
        st.lists(edge | st.integers(-quarter, quarter), min_size=parameters.n, max_size=parameters.n)
    )
    residues = np.array([[[x % p for x in numbers] for p in parameters.basis.primes]], np.uint64)
    found = ints(compose(residues, parameters))[0].tolist()
    assert found == [x % (1 << parameters.plain_bits) for x in numbers]
    step = ints(compose(residues[..., 1::3], parameters))[0].tolist()
    assert step == found[1::3]
