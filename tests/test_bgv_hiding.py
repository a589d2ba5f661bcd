# SPDX-License-Identifier: Apache-2.0
"""bgv: what a product shows before and after `hide`, and the bounds on its noise that hiding goes by."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bgv_cases import ODD, SMALL, TINY, hidden_phases, ints, phases, polynomials, secret_of, values
from crypsis import bgv, ntt, sampling
from crypsis._bgv import noise
from crypsis._ckks import sharing
from crypsis._ckks.coins import Coins
from crypsis._homomorphic.wiping import Held
from crypsis.errors import InvalidCiphertext
from reference import bgv as reference

RNG = np.random.default_rng(7)
BIG = bgv.SecretKey.generate(bgv.RING128)
SECRETS = {parameters: bgv.SecretKey.generate(parameters) for parameters in (TINY, SMALL, ODD)}
T = 1 << 128


def quotients(phases_: list[list[int]], t: int) -> np.ndarray:
    """What is above t, nearest: float64."""
    return np.array([[float((x + t // 2) // t) for x in row] for row in phases_])


@pytest.mark.parametrize("parameters", [TINY, SMALL, ODD], ids=["tiny", "small", "odd"])
@pytest.mark.parametrize("places", [None, range(0, 8, 4), range(1), range(2, 7, 3)], ids=str)
def test_the_owner_gets_product_plus_mask(parameters: bgv.Parameters, places: range | None) -> None:
    secret, t = SECRETS[parameters], 1 << parameters.plain_bits
    small = RNG.integers(-(2**7), 2**7, (3, 2, parameters.n), np.int16)
    products = bgv.matmul(
        bgv.plain(small, parameters), secret.encrypt(values(RNG, parameters, 2, parameters.n))
    )
    chosen = range(parameters.n) if places is None else places
    masks = values(RNG, parameters, 3, len(chosen))
    masks[0] = 0
    masks[1] = 2**64 - 1  # mod t
    hidden = bgv.hide(products, secret.public_key, masks, parameters.max_noise_bits, coefficients=places)
    found = ints(secret.decrypt(hidden))
    exact = np.array(phases(secret, products), object)[:, list(chosen)]
    assert (found == (exact + ints(masks)) % t).all()
    assert hidden.first.shape == (3, len(parameters.basis), len(chosen))


def test_the_largest_noise_still_decrypts() -> None:
    """All coins 0 or all 1: every flood at its limit, at the most bits there is room for."""
    secret = SECRETS[TINY]
    products = bgv.matmul(
        bgv.plain(np.full((1, 1, 16), -(2**15), np.int16), TINY),
        secret.encrypt(np.full((1, 16, 2), 2**64 - 1, np.uint64)),
    )
    exact = np.array(phases(secret, products), object)

    class Constant:
        def __init__(self, byte: int) -> None:
            self.byte = byte

        def ternary(self, shape: tuple[int, ...]) -> np.ndarray:
            return np.full(shape, 1 if self.byte else -1, np.int8)

        def noise(self, shape: tuple[int, ...]) -> np.ndarray:
            return np.full(shape, 21 if self.byte else -21, np.int8)

        def bytes(self, shape: tuple[int, ...]) -> np.ndarray:
            return np.full(shape, self.byte, np.uint8)

    for byte in (0, 255):
        masks = np.full((1, 16, 2), 2**64 - 1 if byte else 0, np.uint64)
        coins = Constant(byte)
        hidden = bgv.hide(products, secret.public_key, masks, TINY.max_noise_bits, coins=coins)  # type: ignore[arg-type]
        assert (ints(secret.decrypt(hidden)) == (exact + ints(masks)) % T).all()
        size = max(abs(x) for row in hidden_phases(secret, hidden) for x in row)
        assert TINY.q // 16 < size < TINY.q // 4


def test_noise_before_hiding_is_as_the_bound_says() -> None:
    """Standard deviation sigma |X| or a little more, nothing beyond the tail, whatever the plaintexts are."""
    n = bgv.RING128.n
    for fill in (None, 0, 2**64 - 1, 2**63, 3 << 62):
        message = values(RNG, bgv.RING128, 2, n) if fill is None else np.full((2, n, 2), fill, np.uint64)
        small = RNG.integers(-(2**15), 2**15, (1, 2, n), np.int64).astype(np.int16)
        products = bgv.matmul(bgv.plain(small, bgv.RING128), BIG.encrypt(message))
        found = quotients(phases(BIG, products), T)
        size = math.sqrt(products.squared[0])
        assert 0.9 * sampling.SIGMA < found.std() / size < 1.1 * math.sqrt(noise.VARIANCE)
        norm = noise.TAIL * math.sqrt(noise.VARIANCE) * size * math.sqrt(n)
        assert norm / 20 < np.linalg.norm(found) < norm


@pytest.mark.parametrize("part", [0.1, 0.9])
def test_messages_are_rounded_without_bias(part: float) -> None:
    """0.9 t is encrypted as -0.1 t nine times of ten, so that the noise of a product does not grow with |X|_1."""
    message = np.full((1, bgv.RING128.n, 2), int(part * 2**64), np.uint64)
    phase = phases(BIG, BIG.encrypt(message))[0]
    mean = sum(phase) / T / len(phase)
    assert abs(mean) < 6 * 3.3 / math.sqrt(len(phase))
    ones = bgv.plain(np.ones((1, bgv.RING128.n), np.int8), bgv.RING128)
    assert abs(quotients(phases(BIG, bgv.multiply_sum(ones, BIG.encrypt(message))), T)).max() < 40 * 90


def test_hidden_noise_is_the_flood_and_no_more() -> None:
    """Four uniform numbers of [-2^b, 2^b): range, mean, deviation; those of two products are independent."""
    n = bgv.RING128.n
    bits = bgv.RING128.noise_bits(n, 2**15, ciphertexts=100)
    small = RNG.integers(-(2**15), 2**15, (2, 1, n), np.int64).astype(np.int16)
    small[1] = 0
    products = bgv.matmul(bgv.plain(small, bgv.RING128), BIG.encrypt(values(RNG, bgv.RING128, 1, n)))
    masks = values(RNG, bgv.RING128, 2, n)
    hidden = bgv.hide(products, BIG.public_key, masks, bits)
    found = quotients(hidden_phases(BIG, hidden), T)
    assert abs(found).max() <= 2.0 ** (bits + 2) * 1.0001
    deviation = sharing.deviation_of(bits)
    for row in found:
        assert 0.94 * deviation < row.std() < 1.06 * deviation
        assert abs(row.mean()) < 6 * deviation / math.sqrt(n)
        assert (abs(row) > 2.0 ** (bits + 1)).any()  # no single uniform number
    assert abs(np.corrcoef(found)[0, 1]) < 6 / math.sqrt(n)


def test_second_halves_are_new() -> None:
    """a u + t e_1 with a fresh ternary u and small e_1 for each, added to sum X a; none for the plains 0."""
    secret = SECRETS[TINY]
    small = np.zeros((4, 1, 16), np.int16)
    small[2:] = 5
    products = bgv.matmul(bgv.plain(small, TINY), secret.encrypt(values(RNG, TINY, 1, 16)))
    assert not products.second[0].any()
    assert np.array_equal(products.second[2], products.second[3])
    masks = np.zeros((4, 16, 2), np.uint64)
    hidden = [bgv.hide(products, secret.public_key, masks, TINY.max_noise_bits) for _ in range(2)]
    rows = [row.tobytes() for one in hidden for row in one.second]
    assert len(set(rows)) == 8
    differences = [ntt.subtract(one.second, products.second, TINY.basis) for one in hidden]
    assert len({row.tobytes() for one in differences for row in one}) == 8
    for row in polynomials(np.concatenate(differences), TINY):
        assert max(map(abs, row)) > TINY.q // 2**12  # looks uniform
    # What was added is an encryption of 0 under the public key and the flood: divisible by t.
    added = polynomials(differences[0], TINY)
    s = secret_of(secret)
    assert all(len(set(row)) == 16 for row in added)
    assert set(s) <= {-1, 0, 1}
    first = ints(secret.decrypt(hidden[0]))
    assert (first == np.array(phases(secret, products), object) % T).all()


class Recording(Coins):
    """Coins that keep what they gave: ternary polynomials, noise, bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[np.ndarray] = []

    def ternary(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.kept(super().ternary(shape), shape)

    def noise(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.kept(super().noise(shape), shape)

    def bytes(self, shape: tuple[int, ...]) -> np.ndarray:
        return self.kept(super().bytes(shape), shape)

    def kept(self, found: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        assert found.shape == shape
        self.given.append(found.copy())  # before it is wiped
        return found


def test_what_is_added_is_an_encryption_of_zero_the_flood_and_the_mask() -> None:
    """Number by number, from the coins: (a u + t e_1; t (u e_pk + s e_1 + f) + r), all fresh for each product."""
    secret, n, rows, places = SECRETS[TINY], TINY.n, 4, range(1, 16, 5)
    small = np.zeros((rows, 1, n), np.int16)
    small[2:] = 77
    products = bgv.matmul(bgv.plain(small, TINY), secret.encrypt(values(RNG, TINY, 1, n)))
    masks, bits, coins = values(RNG, TINY, rows, len(places)), TINY.max_noise_bits, Recording()
    hidden = bgv.hide(products, secret.public_key, masks, bits, coefficients=places, coins=coins)
    u, noise_, stream = coins.given
    assert u.shape == noise_.shape == (rows, n)
    assert stream.shape == (4, rows, len(places), 16)
    for drawn in (u, noise_, stream.swapaxes(0, 1)):
        assert len({row.tobytes() for row in drawn}) == rows
        assert all(row.any() for row in drawn)
    half = 1 << (bits + 1)
    terms = np.array([int.from_bytes(x.tobytes(), "little") % half for x in stream.reshape(-1, 16)], object)
    floods = (terms.reshape(4, rows, len(places)) - half // 2).sum(axis=0)
    key, s = secret.public_key, secret_of(secret)
    body, mask = (polynomials(each[None], TINY)[0] for each in (key._body, key._mask))
    key_noise = [x // T for x in reference.phase(body, mask, s, TINY.q)]
    added = polynomials(ntt.subtract(hidden.second, products.second, TINY.basis), TINY)
    before, after = phases(secret, products), hidden_phases(secret, hidden)
    for i in range(rows):
        small_u, e = u[i].tolist(), noise_[i].tolist()
        zero = reference.add(reference.multiply(mask, small_u), [T * x for x in e])
        assert [(x - y) % TINY.q for x, y in zip(added[i], zero, strict=True)] == [0] * n
        error = reference.add(reference.multiply(small_u, key_noise), reference.multiply(s, e))
        wanted = [
            before[i][k] + T * (error[k] + floods[i][j]) + ints(masks)[i][j] for j, k in enumerate(places)
        ]
        assert after[i] == wanted


def test_keys_and_their_noise_are_drawn() -> None:
    """Thirds of -1, 0 and 1, and noise with the deviation that the parameters' security is by."""
    n = bgv.RING128.n
    counts = np.unique(secret_of(BIG), return_counts=True)
    assert counts[0].tolist() == [-1, 0, 1]
    assert abs(counts[1] - n / 3).max() < 6 * math.sqrt(n * 2 / 9)
    key = BIG.public_key
    phase = polynomials(ntt.multiply_add(key._mask, BIG._s, key._body, bgv.RING128.basis)[None], bgv.RING128)
    assert all(x % T == 0 for x in phase[0])
    found = quotients(phase, T)
    assert 0.94 * sampling.SIGMA < found.std() < 1.06 * sampling.SIGMA


@pytest.mark.parametrize("word", [2**64 - 1, 2**63])
@pytest.mark.parametrize("entry", [-(2**15), 2**15 - 1])
def test_the_largest_products_still_decrypt(word: int, entry: int) -> None:
    """As many columns as there is room for, all entries and values as large as they get, the same noise in all."""
    n, columns = bgv.RING128.n, 512
    total = bgv.matmul(
        bgv.plain(np.full((1, 1, n), entry, np.int16), bgv.RING128),
        BIG.encrypt(np.full((1, n, 2), word, np.uint64)),
    )
    for _ in range(9):
        total = total + total
    masks = values(RNG, bgv.RING128, 1, n)
    hidden = bgv.hide(total, BIG.public_key, masks, bgv.RING128.max_noise_bits)
    value = word + (word << 64)
    product = np.array([entry * value * columns * (2 * i + 2 - n) for i in range(n)], object)
    assert (ints(BIG.decrypt(hidden))[0] == (product + ints(masks)[0]) % T).all()


def test_noise_bits() -> None:
    preset = bgv.RING128
    bits = preset.noise_bits(20 * 8192, 2**15, ciphertexts=640)
    squared = 20 * 8192 * 2.0**30
    norm = 10 * math.sqrt(10.75 * squared + noise.PUBLIC_VARIANCE * 8192) * math.sqrt(640 * 8192)
    assert bits == math.ceil(math.log2(0.8826 * norm * 2**39)) == sharing.bits_for(norm)
    assert 0.8826 * norm / 2 ** (bits + 1) < 2.0**-40
    # Up to 512 columns of 16 bits, 1,000 pieces of 8,192 rows.
    assert preset.noise_bits(512 * 8192, 2**15, ciphertexts=1000) <= preset.max_noise_bits
    with pytest.raises(ValueError, match=r"takes 8\d bits of noise, these parameters have room for 82"):
        preset.noise_bits(20 * 8192, 2**15, ciphertexts=2**24)
    assert preset.noise_bits(8192, 1, coefficients=1) < preset.noise_bits(8192, 1)
    for name, arguments in {
        "entries": (0, 1),
        "magnitude": (1, -1),
    }.items():
        with pytest.raises(ValueError, match=f"{name} is"):
            preset.noise_bits(*arguments)


def test_too_little_and_too_much_noise_is_refused() -> None:
    secret = SECRETS[TINY]
    products = bgv.matmul(
        bgv.plain(np.full((1, 1, 16), 2**15 - 1, np.int16), TINY), secret.encrypt(values(RNG, TINY, 1, 16))
    )
    masks = values(RNG, TINY, 1, 16)
    least = TINY.noise_bits(16, 2**15 - 1)
    bgv.hide(products, secret.public_key, masks, least)
    with pytest.raises(
        ValueError, match=f"noise_bits is {least - 1}: to hide these products takes {least} at least"
    ):
        bgv.hide(products, secret.public_key, masks, least - 1)
    with pytest.raises(ValueError, match="would no longer decrypt, these parameters have room for"):
        bgv.hide(products, secret.public_key, masks, TINY.max_noise_bits + 1)
    other = bgv.SecretKey.generate(TINY)
    with pytest.raises(InvalidCiphertext, match="use the key they were made with"):
        bgv.hide(products, other.public_key, masks, least)
    with pytest.raises(InvalidCiphertext, match="use the key they were made with"):
        other.decrypt(bgv.hide(products, secret.public_key, masks, least))


def test_products_cannot_be_sent() -> None:
    products = bgv.matmul(
        bgv.plain(np.ones((1, 1, 16), np.int16), TINY), SECRETS[TINY].encrypt(values(RNG, TINY, 1, 16))
    )
    assert not hasattr(products, "to_bytes")
    with pytest.raises(TypeError, match="cannot be pickled"):
        products.__reduce__()
    with pytest.raises(TypeError, match=r"give what crypsis\.bgv\.hide returned"):
        SECRETS[TINY].decrypt(products)  # type: ignore[arg-type]


def test_secrets_are_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    call = Held.__call__

    def recorded(self: Held, array: np.ndarray) -> np.ndarray:
        seen.append(array)
        found: np.ndarray = call(self, array)
        return found

    monkeypatch.setattr(Held, "__call__", recorded)
    secret = bgv.SecretKey.generate(TINY)
    products = bgv.matmul(
        bgv.plain(np.ones((1, 1, 16), np.int16), TINY), secret.encrypt(values(RNG, TINY, 1, 16))
    )
    hidden = bgv.hide(products, secret.public_key, values(RNG, TINY, 1, 16), TINY.max_noise_bits)
    secret.decrypt(hidden)
    assert len(seen) > 20
    assert not any(array.any() for array in seen)
    s = secret._s
    del secret
    assert not s.any()
