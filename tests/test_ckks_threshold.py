# SPDX-License-Identifier: Apache-2.0
"""Threshold CKKS: sums come out within the stated error, fewer than all shares give nothing, the noise is enough."""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckks_cases import coins
from crypsis import aes, ckks, ntt, rns
from crypsis._ckks.threshold import flooding
from crypsis._ckks.threshold.key_share import secret_polynomial
from crypsis._homomorphic import key_files
from crypsis.ckks import threshold
from crypsis.errors import BudgetError, CrypsisError, WrongPassphrase
from threshold_cases import (
    NAMES,
    SMALL,
    agreement,
    answers,
    joint,
    make_shares,
    makers,
    run_rounds,
    seed,
    shares,
)


def signed(residues: Any, deal: threshold.Agreement) -> Any:
    """The centred integers, as doubles, of polynomials in the NTT domain."""
    basis = deal.parameters.basis(deal.level)
    return rns.compose(ntt.inverse(residues.copy(), basis), deal.parameters.chain, deal.level)


@pytest.mark.parametrize("n_parties", [2, 3, 5])
@pytest.mark.parametrize("literal", [SMALL, ckks.JOINT], ids=["small", "joint"])
def test_sum(n_parties: int, literal: ckks.Literal) -> None:
    key, deal = joint(n_parties, literal), joint(n_parties, literal).agreement
    random = np.random.default_rng(n_parties)
    values = random.uniform(-4, 4, (n_parties, 10_000))
    total = sum((key.encrypt(row, packed=True) for row in values[1:]), key.encrypt(values[0], packed=True))
    found = threshold.combine(key, total, answers(shares(n_parties, literal).values(), total))
    assert found.shape == (10_000,)
    assert 0 < np.abs(found - values.sum(axis=0)).max() < deal.error < 2**-10


def test_ordinary_public_key() -> None:
    """Complex numbers, several rows, integer weights: whatever an ordinary public key encrypts."""
    key = joint()
    x = np.random.default_rng(0).uniform(-1, 1, (2, 2, 30)) + 0.5j
    array = key.public_key.encrypt(x, magnitude=2)
    total = array * 3 - array
    found = threshold.combine(key, total, answers(shares().values(), total), complex=True)
    assert found.shape == (2, 2, 30)
    assert np.abs(found - 2 * x).max() < key.agreement.error
    loaded = key.public_key.load(array.to_bytes())
    real = threshold.combine(key, loaded, answers(shares().values(), loaded))
    assert np.abs(real - x.real).max() < key.agreement.error


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 8), st.integers(1, 2500), st.integers(0, 1 << 30))
def test_sums_of_any_length(n_summands: int, length: int, number: int) -> None:
    key = joint(2)
    values = np.random.default_rng(number).uniform(-4, 4, (n_summands, length))
    total = key.encrypt(values[0], packed=True)
    for row in values[1:]:
        total = total + key.encrypt(row, packed=True)
    found = threshold.combine(key, total, answers(shares(2).values(), total))
    assert np.abs(found - values.sum(axis=0)).max() < key.agreement.error


def test_secret_is_the_sum_of_the_shares() -> None:
    """b + a sum s_i is small, with the variance of n parts; no b_i alone is."""
    key = joint(5)
    deal, basis = key.agreement, key.agreement.parameters.moduli
    total = secret_polynomial(deal, np.frombuffer(seed(NAMES[0]), np.uint8))
    for name in NAMES[1:]:
        ntt.add(total, secret_polynomial(deal, np.frombuffer(seed(name), np.uint8)), basis, out=total)
    encryption = key.public_key.encryption
    error = signed(ntt.multiply_add(encryption.mask, total, encryption.body, basis), deal)
    assert 0.85 < error.std() / math.sqrt(5 * 10.5) < 1.15
    assert np.abs(error).max() <= 5 * 21
    secret = signed(total, deal)
    assert 0.85 < secret.var() / (5 * 2 / 3) < 1.15


def test_error_of_a_joint_key() -> None:
    """The error of a fresh encryption has the variance that the flooding is made for, and `encrypt` states."""
    key = joint(5)
    deal, basis = key.agreement, key.agreement.parameters.moduli
    array = key.encrypt(np.zeros(20 * 1024), packed=True)
    secret = secret_polynomial(deal, np.frombuffer(seed(NAMES[0]), np.uint8))
    for name in NAMES[1:]:
        ntt.add(secret, secret_polynomial(deal, np.frombuffer(seed(name), np.uint8)), basis, out=secret)
    errors = [
        signed(ntt.multiply_add(row[1].copy(), secret, row[0].copy(), basis), deal) for row in array.data
    ]
    deviation = flooding.fresh_deviation(deal.parameters, 5)
    assert 0.8 < np.std(errors) / deviation < 1.2
    norms = [float(np.linalg.norm(error)) for error in errors]
    assert max(norms) < flooding.TAIL * deviation * math.sqrt(1024)
    assert array.estimate is not None
    assert array.estimate.error == pytest.approx(deviation * 32 / deal.scale)


# What single shares say.


def uniform_looking(data: Any, deal: threshold.Agreement) -> bool:
    """Coefficients modulo Q, and residues in NTT order: chi-square of 8 classes below its 10^-6 quantile."""
    basis = deal.parameters.basis(deal.level)
    samples = [signed(data, deal).reshape(-1) / math.prod(basis.primes) + 0.5]
    for i, prime in enumerate(basis.primes):
        samples.append(data[..., i, :].reshape(-1).astype(np.float64) / prime)
    for sample in samples:
        counts = np.bincount(np.minimum((sample * 8).astype(np.int64), 7), minlength=8)
        expected = sample.size / 8
        if ((counts - expected) ** 2 / expected).sum() > 40.5:
            return False
    return True


@pytest.mark.parametrize("absent", range(3))
def test_fewer_than_all_shares_give_nothing(absent: int) -> None:
    """c0 and all but one share: what comes out looks uniform; with the last one it does not."""
    key = joint()
    deal, basis = key.agreement, key.agreement.parameters.moduli
    total = key.encrypt(np.full(8 * 1024, 3.0), packed=True)
    given = answers(shares().values(), total)
    rest = total.data[:, 0].copy()
    for i, share in enumerate(given):
        assert uniform_looking(share.data, deal)
        if i != absent:
            ntt.add(rest, share.data, basis, out=rest)
    assert uniform_looking(rest, deal)
    assert not uniform_looking(ntt.add(rest, given[absent].data, basis), deal)


def test_all_other_secrets_do_not_decrypt() -> None:
    """n - 1 parties pool their secrets, not only their shares."""
    key = joint()
    deal, basis = key.agreement, key.agreement.parameters.moduli
    array = key.encrypt(np.full(8 * 1024, 3.0), packed=True)
    known = secret_polynomial(deal, np.frombuffer(seed(NAMES[1]), np.uint8))
    ntt.add(known, secret_polynomial(deal, np.frombuffer(seed(NAMES[2]), np.uint8)), basis, out=known)
    rest = np.stack([ntt.multiply_add(row[1].copy(), known, row[0].copy(), basis) for row in array.data])
    assert uniform_looking(rest, deal)
    last = secret_polynomial(deal, np.frombuffer(seed(NAMES[0]), np.uint8))
    masks = np.ascontiguousarray(array.data[:, 1])
    whole = np.stack(
        [ntt.multiply_add(mask, last, row, basis) for mask, row in zip(masks, rest, strict=True)]
    )
    assert not uniform_looking(whole, deal)


def test_missing_shares_are_named() -> None:
    key = joint()
    total = key.encrypt([1.0], packed=True)
    given = answers(shares().values(), total)
    with pytest.raises(CrypsisError, match="no decryption share of 'south': all 3"):
        threshold.combine(key, total, [given[0], given[2]])
    combiner = threshold.Combiner(key, total)
    assert combiner.missing == ("north", "south", "east")
    with pytest.raises(CrypsisError, match="twice"):
        threshold.combine(key, total, [given[0], given[0]])


# The noise.


def test_noise_is_a_sum_of_four_uniform_numbers() -> None:
    deal = agreement()
    basis = deal.parameters.basis(deal.level)
    for bits in (0, 3, 40, deal.flood_bits):
        noise = signed(flooding.draw(bits, basis, aes.Generator.from_seed(bytes(32)))[0], deal)
        assert np.abs(noise + 2).max() <= 4 * 2.0**bits + 2
        assert 0.93 < noise.std() / math.sqrt(((2 ** (bits + 1)) ** 2 - 1) / 3) < 1.07
        kurtosis = ((noise - noise.mean()) ** 4).mean() / noise.var() ** 2
        assert bits == 0 or 2.2 < kurtosis < 3.1  # 3 - 1.2 / 4 in the limit


def test_fisher_information() -> None:
    """J of `flooding`, computed from the distribution itself: it falls to its limit as the numbers grow."""
    found = []
    for bits in (5, 7, 9):
        width = 2 ** (bits + 1)
        one = np.full(width, 1 / width)
        p = np.convolve(np.convolve(one, one), np.convolve(one, one))
        root = np.sqrt(np.concatenate([[0], p, [0]]))
        found.append(4 * (np.diff(root) ** 2).sum() * width**2)
        # The bound on the statistical distance, for shifts by less and by more than one.
        for shift in (1, 5, width // 8):
            moved = (
                np.abs(np.concatenate([p, np.zeros(shift)]) - np.concatenate([np.zeros(shift), p])).sum() / 2
            )
            assert moved <= shift * math.sqrt(flooding.FISHER * 1.01) / 2 / width
    assert found == sorted(found, reverse=True)
    assert flooding.FISHER * 0.9999 < found[-1] < flooding.FISHER


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 1000), st.integers(1, 1 << 20), st.integers(1, 1 << 30))
def test_flood_bits_give_the_distance(n_parties: int, n_summands: int, n_ciphertexts: int) -> None:
    parameters = ckks.Parameters.of(ckks.JOINT)
    bits = flooding.flood_bits(parameters, n_parties, n_summands, n_ciphertexts)
    norm = 2 * n_summands * flooding.fresh_deviation(parameters, n_parties) * math.sqrt(8192 * n_ciphertexts)
    distance = norm * math.sqrt(flooding.FISHER) / 2 / 2.0 ** (bits + 1)
    assert 2.0**-41 < distance <= 2.0**-40 * (1 + 1e-9)


def test_stated_error_is_near_the_measured() -> None:
    key = joint(5)
    total = key.encrypt(np.zeros(16 * 1024), packed=True)
    found = threshold.combine(key, total, answers(shares(5).values(), total))
    # packed: a slot's error is in both of its numbers
    assert 0.9 < found.std() * math.sqrt(2) * 6 / key.agreement.error < 1.1


def test_same_ciphertext_same_answer() -> None:
    """Noise is a function of the ciphertext: averaging answers gains nothing, in whatever array it is."""
    key, share = joint(), shares()["south"]
    array = key.public_key.encrypt(np.ones((3, 4)), magnitude=1)
    first, again = share.share(array), share.share(array)
    assert np.array_equal(first.data, again.data)
    alone = share.share(array[1])
    assert np.array_equal(alone.data[0], first.data[1])
    assert alone.digest != first.digest
    other = array + 1.0  # the same second halves
    assert np.array_equal(share.share(other).data, first.data)
    fresh = share.share(key.public_key.encrypt(np.ones((3, 4)), magnitude=1))
    assert not np.array_equal(fresh.data, first.data)
    # Other parties and other keys have other noise and secrets.
    assert not np.array_equal(shares()["north"].share(array).data, first.data)


def test_noise_is_there() -> None:
    """share - c1 s_i has the deviation of the flooding."""
    key, share = joint(), shares()["south"]
    deal, basis = key.agreement, key.agreement.parameters.moduli
    array = key.encrypt(np.zeros(8 * 1024), packed=True)
    secret = secret_polynomial(deal, np.frombuffer(seed("south"), np.uint8))
    masks = np.ascontiguousarray(array.data[:, 1])
    clean = np.stack([ntt.multiply(mask, secret, basis) for mask in masks])
    noise = signed(ntt.subtract(share.share(array).data, clean, basis), deal)
    assert 0.97 < noise.std() * math.sqrt(3) / 2.0 ** (deal.flood_bits + 1) < 1.03
    assert len(np.unique(noise)) > 8000


def test_budget() -> None:
    deal = agreement(2, n_ciphertexts=4)
    mine = make_shares(deal)["north"]
    array = mine.public_key.encrypt(np.ones((3, 2)), magnitude=1)
    mine.share(array)
    assert mine.answered == 3
    with pytest.raises(BudgetError, match=r"'north' answered 3 of the 4 .* 3 more .* new joint key"):
        mine.share(array)
    assert mine.answered == 3
    mine.share(array[0])


def test_file_counts_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever the process ends, the file has counted every answer."""
    monkeypatch.setattr(key_files, "SCRYPT_LOG_N", 10)
    path, mine = tmp_path / "share", make_shares(agreement(2, n_ciphertexts=10))["north"]
    key = mine.joint
    three = key.public_key.encrypt(np.ones((3, 2)), magnitude=1)

    def counted() -> int:
        return threshold.KeyShare.load(path, "a passphrase", key).answered

    mine.share(three)  # in memory only: nothing to write ahead to
    mine.save(path, "a passphrase", reserve=4)
    assert counted() == 7
    mine.share(three)
    assert mine.answered <= counted()
    with pytest.raises(BudgetError, match="its file counts 7, 3 more"):
        mine.share(three)
    assert mine.answered == 6
    mine.save(path, "a passphrase")  # gives back what is left
    assert counted() == 6
    with pytest.raises(BudgetError, match=r"reserve is 5: .* answered 6 of 10"):
        mine.save(path, "a passphrase", reserve=5)
    with pytest.raises(ValueError, match="reserve is -1"):
        mine.save(path, "a passphrase", reserve=-1)
    assert counted() == 6
    with pytest.raises(OSError, match="nowhere"):
        mine.save(tmp_path / "nowhere" / "share", "a passphrase", reserve=4)
    with pytest.raises(BudgetError, match="its file counts 6"):  # not what could not be written
        mine.share(three)


# Files and reprs.


def test_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_files, "SCRYPT_LOG_N", 10)
    key, path = joint(), tmp_path / "share"
    mine = make_shares(agreement())["south"]
    array = key.encrypt([1.0, 2.0], packed=True)
    answer = mine.share(array)
    mine.save(path, "a passphrase")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    loaded = threshold.KeyShare.load(path, "a passphrase", key)
    assert (loaded.party, loaded.answered) == ("south", 1)
    with pytest.raises(BudgetError, match=r"its file counts 1, 1 more .* save it before with reserve=1"):
        loaded.share(array)
    loaded.save(path, "a passphrase", reserve=2)
    assert loaded.share(array).to_bytes() == answer.to_bytes()
    assert (loaded.answered, threshold.KeyShare.load(path, "a passphrase", key).answered) == (2, 3)
    with pytest.raises(WrongPassphrase):
        threshold.KeyShare.load(path, "another", key)
    with pytest.raises(ValueError, match="a share of another key"):
        threshold.KeyShare.load(path, "a passphrase", joint(2))
    with pytest.raises(TypeError, match="give the JointKey"):
        threshold.KeyShare.load(path, "a passphrase", key.public_key)  # type: ignore[arg-type]
    ckks.SecretKey(key.agreement.parameters, bytes(32)).save(path, "a passphrase")
    with pytest.raises(CrypsisError, match="holds a key of ckks, not of ckks-share"):
        threshold.KeyShare.load(path, "a passphrase", key)


def test_secrets_do_not_show() -> None:
    mine = shares()["south"]
    with pytest.raises(TypeError, match="cannot be pickled"):
        mine.__reduce__()
    assert seed("south").hex() not in repr(mine)
    with pytest.raises(AttributeError, match="immutable"):
        mine.party = "north"  # type: ignore[misc]

    copy = threshold.KeyShare(mine.joint, "south", seed("south"), voucher_key=bytes(range(32)))
    copy.vouch(mine.joint.encrypt([1.0], packed=True))
    held = [copy._s, copy._seed, copy._vouchers._key, copy._vouchers._points]
    assert all(array.any() for array in held)
    del copy
    assert not any(array.any() for array in held)


def test_joint_key_travels() -> None:
    key = joint()
    loaded = threshold.JointKey.from_bytes(key.to_bytes(), key.agreement)
    assert (loaded.id, loaded.fingerprint) == (key.id, key.fingerprint)
    array = loaded.encrypt([1.5], packed=True)
    assert np.abs(threshold.combine(key, array, answers(shares().values(), array)) - 1.5).max() < 2**-10
    assert "fingerprint" in repr(key)


def test_all_parties_make_the_same_key() -> None:
    parties = make_shares(agreement(), seeded=False)
    assert len({share.joint.id for share in parties.values()}) == 1
    assert len({share.joint.fingerprint for share in parties.values()}) == 1
    again = make_shares(agreement(), seeded=False)
    assert again["north"].joint.id != parties["north"].joint.id
    assert again["north"].joint.fingerprint != parties["north"].joint.fingerprint


def test_fixed_coins_fixed_key() -> None:
    """With the parties' seeds known, everything is a function of them."""
    first, second = make_shares(agreement()), make_shares(agreement())
    assert first["east"].joint.to_bytes() == second["east"].joint.to_bytes()
    array = first["east"].joint.encrypt([1.0], packed=True, coins=coins(1))
    assert first["east"].share(array).to_bytes() == second["east"].share(array).to_bytes()
    other = make_shares(agreement(session=b"another session."))
    assert other["east"].joint.id != first["east"].joint.id
    assert not np.array_equal(other["east"]._s, first["east"]._s)


def test_observer_checks_the_same() -> None:
    """A transcript without a secret ends with the same key: the relay's."""
    deal = agreement()
    rounds = run_rounds(makers(deal))
    relay = threshold.Transcript(deal)
    relay.seed_commitments(rounds[0])
    relay.seeds(rounds[1])
    relay.key_commitments(rounds[2])
    for party in reversed(deal.parties):
        relay.key_part(party, rounds[3][party])
    assert relay.joint_key().fingerprint == joint().fingerprint
    assert relay.joint_key().id == joint().id
