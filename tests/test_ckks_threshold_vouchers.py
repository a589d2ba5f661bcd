# SPDX-License-Identifier: Apache-2.0
"""Vouchers of threshold CKKS: a party answers the sum of what all vouched for, and no other ciphertexts."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crypsis import ckks, ntt
from crypsis._ckks.threshold import vouchers as module
from crypsis._ckks.threshold.key_share import secret_polynomial
from crypsis.ckks import threshold
from crypsis.errors import BudgetError, InvalidCiphertext, ProtocolAbort
from threshold_cases import agreement, finish, joint, make_shares, makers, run_rounds, seed, shares

CONTEXT = b"run 1, block 0"
ROWS = 2


class Round:
    """Summands and vouchers of all parties for one sum, and what an honest aggregator makes of them."""

    def __init__(self, context: bytes = CONTEXT, n_parties: int = 3, offset: float = 0.0) -> None:
        self.shares = shares(n_parties)
        self.joint, self.deal = joint(n_parties), joint(n_parties).agreement
        values = np.arange(ROWS * 1024) / (ROWS * 1024) + offset
        self.arrays = {p: self.joint.encrypt(values, packed=True) for p in self.shares}
        self.vouchers = {p: self.shares[p].vouch(array, context) for p, array in self.arrays.items()}

    @property
    def total(self) -> ckks.CkksArray:
        first, *others = self.arrays.values()
        return sum(others, first)

    @property
    def proof(self) -> bytes:
        return threshold.add_vouchers(self.deal, self.vouchers)


def changed(array: ckks.CkksArray, row: int, half: int, limb: int, k: int, by: int = 1) -> ckks.CkksArray:
    data = array.data.copy()
    q = array.parameters.moduli.primes[limb]
    data[row, half, limb, k] = (int(data[row, half, limb, k]) + by) % q
    return array.replaced(data)


def made_up(array: ckks.CkksArray) -> ckks.CkksArray:
    """(0, q / 3) in every row."""
    basis = array.parameters.moduli
    third = array.parameters.chain.moduli.primes
    product = 1
    for q in third:
        product *= q
    data = np.zeros_like(array.data)
    for i, q in enumerate(basis.primes):
        data[:, 1, i] = (product // 3) % q  # a constant polynomial is the same in the NTT domain
    return array.replaced(data)


@pytest.mark.parametrize("n_parties", [2, 3, 5])
def test_honest_sum(n_parties: int) -> None:
    it = Round(n_parties=n_parties)
    given = [share.answer(it.total, it.proof, CONTEXT) for share in it.shares.values()]
    found = threshold.combine(it.joint, it.total, given)
    assert np.abs(found - n_parties * np.arange(ROWS * 1024) / (ROWS * 1024)).max() < it.deal.error


def test_sizes() -> None:
    """What the documentation says: 64 bytes a summand, 48 and 16 a party with the sum."""
    it, deal = (
        Round(),
        threshold.Agreement(ckks.JOINT, ["a", "b", "c"], session=bytes(16), n_summands=3, n_ciphertexts=9),
    )
    assert threshold.voucher_bytes(deal) == 64
    assert threshold.proof_bytes(deal) == 48 + 3 * 16
    assert threshold.sealed_bytes(deal) == 2 * 48
    assert threshold.residue_bytes(deal, 2) == 2 * 8192 * 15
    assert {len(v) for v in it.vouchers.values()} == {threshold.voucher_bytes(it.deal)}
    assert len(it.proof) == threshold.proof_bytes(it.deal)


def test_soundness_of_every_preset() -> None:
    """(2 / q)^R is below 2^-64."""
    for literal in (ckks.JOINT, ckks.SHARED):
        parameters = ckks.Parameters.of(literal)
        deal = threshold.Agreement(parameters, ["a", "b"], session=bytes(16), n_summands=2, n_ciphertexts=1)
        worst = min(parameters.basis(deal.level).primes)
        assert (2 / worst) ** module.repetitions(deal) < 2.0**-64


ATTACKS: dict[str, Callable[[Round], tuple[ckks.CkksArray, bytes]]] = {
    "makes up": lambda it: (made_up(it.total), it.proof),
    "adds something made up": lambda it: (it.total + made_up(it.total), it.proof),
    "one summand": lambda it: (it.arrays["south"], it.proof),
    "drops one": lambda it: (it.arrays["north"] + it.arrays["south"], it.proof),
    "doubles one": lambda it: (it.total + it.arrays["north"], it.proof),
    "doubles all": lambda it: (it.total + it.total, it.proof),
    "swaps rows": lambda it: (it.total.replaced(it.total.data[::-1].copy()), it.proof),
    "exchanges one for another": lambda it: (it.total - it.arrays["north"] + it.arrays["south"], it.proof),
    "adds a public encryption": lambda it: (it.total + it.joint.encrypt(np.zeros(ROWS * 1024), packed=True), it.proof),
    "own summand twice": lambda it: (it.arrays["south"] * 2, it.proof),
    "changes a bit of the tag": lambda it: (it.total, it.proof[:-8] + bytes([it.proof[-8] ^ 1]) + it.proof[-7:]),
    "changes another's nonce": lambda it: (it.total, bytes([it.proof[0] ^ 1]) + it.proof[1:]),
    "changes the first residue": lambda it: (changed(it.total, 0, 1, 0, 0), it.proof),
    "changes the last residue": lambda it: (changed(it.total, -1, 1, -1, -1), it.proof),
    "one voucher left out": lambda it: (
        it.arrays["north"] + it.arrays["south"],
        threshold.add_vouchers(it.deal, {**it.vouchers, "east": bytes(16) + bytes(len(it.vouchers["east"]) - 16)}),
    ),
    "one voucher twice": lambda it: (
        it.total - it.arrays["east"] + it.arrays["north"],
        threshold.add_vouchers(it.deal, {**it.vouchers, "east": it.vouchers["north"]}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_attack(attack: str) -> None:
    """No answer, no count, and the voucher is used up: the right sum is not answered afterwards either."""
    it = Round()
    share = it.shares["south"]
    before = share.answered
    array, proof = ATTACKS[attack](it)
    with pytest.raises(ProtocolAbort, match="not the sum of what all 3 parties vouched for"):
        share.answer(array, proof, CONTEXT)
    with pytest.raises(
        ProtocolAbort, match="does not have the last voucher that 'south' gave for this block"
    ):
        share.answer(it.total, it.proof, CONTEXT)
    assert share.answered == before


def test_every_residue_counts() -> None:
    """A change of one number, in any row, modulus and place, changes every repetition of the hash; differences that
    cancel in a plain sum do too."""
    held, total = shares()["south"]._vouchers, Round().total
    mask = np.ascontiguousarray(total.data[:, 1])
    expected = held._hash(mask)
    random = np.random.default_rng(1)
    for _ in range(40):
        row, limb, k = random.integers(0, [ROWS, 3, 1024])
        other = changed(total, row, 1, limb, k, int(random.integers(1, 1 << 39)))
        other = changed(other, (row + 1) % ROWS, 1, limb, k, -1)
        found = held._hash(np.ascontiguousarray(other.data[:, 1]))
        for r in range(len(found)):
            assert [i for i in range(3) if found[r][i] != expected[r][i]] == [limb]


def test_hash_by_its_definition() -> None:
    """h = sum w_r v_k c[r, k], by Python's integers; linear."""
    it = Round()
    held, primes = shares()["south"]._vouchers, it.deal.parameters.moduli.primes
    a, b = (np.ascontiguousarray(it.arrays[p].data[:, 1]) for p in ("north", "south"))
    points = held._points
    assert points is not None
    stream = module.hashlib.shake_256(held._derived(b"rows")).digest(16 * 2 * 3 * ROWS)
    for r in range(2):
        for i, q in enumerate(primes):
            weights = [
                int.from_bytes(stream[16 * (row * 6 + 3 * r + i) :][:16], "little") % q for row in range(ROWS)
            ]
            due = sum(
                w * int(v) * int(c)
                for w, row in zip(weights, a[:, i], strict=True)
                for v, c in zip(points[r, i], row, strict=True)
            )
            assert held._hash(a)[r][i] == due % q
    both = ntt.add(a, b, it.deal.parameters.moduli)
    assert held._hash(both) == module._plus(held._hash(a), held._hash(b), primes)


def test_old_summands() -> None:
    """Of an earlier run of the same number: its party does not answer, so that the sum stays a secret."""
    old, now = Round(), Round(offset=1.0)
    mixed = {**now.arrays, "east": old.arrays["east"]}
    proof = threshold.add_vouchers(now.deal, {**now.vouchers, "east": old.vouchers["east"]})
    total = mixed["north"] + mixed["south"] + mixed["east"]
    now.shares["north"].answer(total, proof, CONTEXT)  # a sum of honest summands
    with pytest.raises(ProtocolAbort, match="not have the last voucher that 'east' gave"):
        now.shares["east"].answer(total, proof, CONTEXT)
    # The whole old sum, which nobody answered then.
    with pytest.raises(ProtocolAbort, match="not have the last voucher that 'south' gave"):
        now.shares["south"].answer(old.total, old.proof, CONTEXT)


def test_runs_beside_each_other() -> None:
    """Vouchers of different contexts do not replace each other."""
    one, two = Round(b"one"), Round(b"two")
    for it, context in ((one, b"one"), (two, b"two")):
        given = [share.answer(it.total, it.proof, context) for share in it.shares.values()]
        assert np.isfinite(threshold.combine(it.joint, it.total, given)).all()


@pytest.mark.parametrize("other", [b"run 1, block 1", b"", CONTEXT + b"\0"])
def test_other_contexts(other: bytes) -> None:
    it = Round()
    with pytest.raises(ProtocolAbort, match="not have the last voucher that 'south' gave"):
        it.shares["south"].answer(it.total, it.proof, other)
    # One party alone vouched for another context: the sum of the masks does not fit.
    it = Round()
    it.vouchers["north"] = it.shares["north"].vouch(it.arrays["north"], other)
    with pytest.raises(ProtocolAbort, match="not the sum of what all"):
        it.shares["south"].answer(it.total, it.proof, CONTEXT)


def test_answers_once() -> None:
    it = Round()
    share = it.shares["north"]
    share.answer(it.total, it.proof, CONTEXT)
    with pytest.raises(ProtocolAbort, match="or that was used"):
        share.answer(it.total, it.proof, CONTEXT)


def test_wrong_shapes() -> None:
    it = Round()
    share = it.shares["north"]
    with pytest.raises(ProtocolAbort, match="a proof of 3 bytes came where"):
        share.answer(it.total, b"abc", CONTEXT)
    one = it.joint.encrypt(np.ones(3), packed=True)
    with pytest.raises(ProtocolAbort, match="the last voucher"):  # of another shape
        share.answer(one, it.proof, CONTEXT)
    with pytest.raises(InvalidCiphertext, match="are of key"):
        share.vouch(joint(2).encrypt([1.0], packed=True))
    with pytest.raises(ProtocolAbort, match="'east' sent a voucher of 0 bytes where 64 were due"):
        threshold.add_vouchers(it.deal, {p: it.vouchers[p] for p in ("north", "south")})
    large = it.vouchers["east"][:16] + struct.pack("<6Q", *[1 << 60] * 6)
    with pytest.raises(ProtocolAbort, match="voucher of party 'east' is no residue"):
        threshold.add_vouchers(it.deal, {**it.vouchers, "east": large})


def test_budget_still_counts() -> None:
    few = make_shares(agreement(2, n_ciphertexts=1))
    key = few["north"].joint
    for number in range(2):
        arrays = {p: key.encrypt([1.0], packed=True) for p in few}
        given = {p: few[p].vouch(array) for p, array in arrays.items()}
        proof = threshold.add_vouchers(key.agreement, given)
        total = arrays["north"] + arrays["south"]
        if number == 0:
            few["north"].answer(total, proof)
        else:
            with pytest.raises(BudgetError, match="answered 1 of the 1"):
                few["north"].answer(total, proof)


def test_vouchers_say_nothing() -> None:
    """Two of the same summand have nothing in common; over many, each number is spread over its modulus."""
    it = Round()
    share, array = it.shares["north"], it.arrays["north"]
    words = np.array(
        [struct.unpack_from("<6Q", share.vouch(array, CONTEXT), 16) for _ in range(200)], np.float64
    )
    primes = np.array(it.deal.parameters.moduli.primes * 2, np.float64)
    assert len(np.unique(words)) == words.size
    assert (np.abs((words / primes).mean(axis=0) - 0.5) < 0.12).all()  # 6 standard deviations


def test_what_it_stops() -> None:
    """What `share`, without vouchers, answers to (0, q / 3) is the share of the secret, coefficient by coefficient."""
    it = Round()
    deal, share = it.deal, it.shares["south"]
    basis, chain = deal.parameters.moduli, deal.parameters.chain
    forged = made_up(it.total)
    answer = share.share(forged).data[0]
    numbers = np.array([int(x) for x in _composed(ntt.inverse(answer.copy(), basis), chain, deal)])
    third = 1
    for q in basis.primes:
        third *= q
    third //= 3
    guessed = np.array([round(int(x) / third) for x in numbers])
    secret = ntt.inverse(secret_polynomial(deal, np.frombuffer(seed("south"), np.uint8)), basis)
    assert np.array_equal(guessed, np.array([int(x) for x in _composed(secret, chain, deal)]))


def test_party_that_helps_the_aggregator() -> None:
    """Documented: with the key for vouchers, which every party has, anything passes."""
    it = Round()
    forged = made_up(it.total)
    helper = it.shares["north"]._vouchers
    mask = np.ascontiguousarray(forged.data[:, 1])
    nonces = [it.proof[16 * i : 16 * (i + 1)] for i in range(3)]
    tag = helper._hash(mask)
    for i, nonce in enumerate(nonces):
        tag = module._plus(tag, helper._mask(i, nonce, CONTEXT), it.deal.parameters.moduli.primes)
    it.shares["south"].answer(forged, b"".join(nonces) + module._to_bytes(tag), CONTEXT)


def _composed(coefficients: Any, chain: Any, deal: threshold.Agreement) -> Any:
    from crypsis import rns

    return rns.compose_ints(coefficients, chain, deal.level)


# The key for vouchers.


def test_all_parties_have_one_key() -> None:
    mine, again = make_shares(agreement(5), seeded=False), make_shares(agreement(5), seeded=False)
    keys = {share._vouchers.to_bytes() for share in mine.values()}
    assert len(keys) == 1
    assert keys != {share._vouchers.to_bytes() for share in again.values()}


def test_aggregator_does_not_see_the_key() -> None:
    parties = makers(agreement())
    rounds = run_rounds(parties)
    made = finish(parties, rounds[-1])
    key = made["north"]._vouchers.to_bytes()
    assert not any(key in message for messages in rounds for message in messages.values())


def test_seeds_that_a_relay_exchanges() -> None:
    """A relay with an X25519 key of its own in the middle reads the key for vouchers: fingerprints tell."""
    deal = agreement()
    parties, relay = makers(deal, seeded=False), makers(deal, seeded=False)
    north, own = parties["north"], relay["east"]
    rest = {p: parties[p] for p in ("south", "east")}
    # North hears the relay in place of east; the others hear a north of the relay's.
    towards_north = {"north": north, "south": relay["south"], "east": own}
    made_north = finish(towards_north, run_rounds(towards_north)[-1])
    towards_rest = {"north": relay["north"], **rest}
    made_rest = finish(towards_rest, run_rounds(towards_rest)[-1])
    assert made_north["north"].joint.fingerprint != made_rest["east"].joint.fingerprint
    assert made_rest["south"].joint.fingerprint == made_rest["east"].joint.fingerprint


def test_sealed_for_another() -> None:
    """What the first party sealed is opened by whom it is for only; another key's does not open."""
    deal = agreement()
    parties = makers(deal, seeded=False)
    rounds = run_rounds(parties)
    for maker in parties.values():
        for party, part in rounds[-1].items():
            maker.transcript.key_part(party, part)
    transcript = parties["south"].transcript
    sealed = transcript.sealed
    transcript._sealed = sealed[48:] + sealed[:48]
    with pytest.raises(ProtocolAbort, match="'north' sealed for 'south' does not open"):
        parties["south"].finish()
    transcript._sealed = sealed
    parties["south"].finish()


def test_seed_of_low_order() -> None:
    """No public key of X25519: named, not agreed on with everybody."""
    deal = agreement()
    parties = makers(deal, seeded=False)
    parties["south"]._contribution = bytes(32)
    with pytest.raises(ProtocolAbort, match="seed of party 'south' is no public key"):
        run_rounds(parties)
