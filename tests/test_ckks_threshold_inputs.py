# SPDX-License-Identifier: Apache-2.0
"""Threshold CKKS with parties, messages and arguments that are not in order: who is at fault is named."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckks_cases import TINY, WIDE, parameters, public_key
from crypsis import ckks
from crypsis._ckks import serial
from crypsis._ckks.threshold import messages
from crypsis.ckks import threshold
from crypsis.errors import (
    CorruptData,
    CrypsisError,
    InvalidCiphertext,
    LevelError,
    PrecisionError,
    ProtocolAbort,
    ScaleError,
)
from threshold_cases import NAMES, SMALL, agreement, answers, joint, makers, run_rounds, shares


def sealed(data: bytes | bytearray) -> bytes:
    """With a right checksum, as whoever changes a message on purpose makes it."""
    return bytes(data[:-4]) + struct.pack("<I", zlib.crc32(data[:-4]))


def flipped(message: bytes, at: int) -> bytes:
    changed = bytearray(message)
    changed[at] ^= 1
    return sealed(changed)


# Agreements.


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"parties": ["a"]}, ValueError, "parties are 1: give 2 to 1024"),
        ({"parties": ["a", "b", "a"]}, ValueError, "'a' is there twice"),
        ({"parties": "ab"}, TypeError, "parties is"),
        ({"parties": ["a", 3]}, TypeError, "give names"),
        ({"parties": ["a", ""]}, ValueError, "not usable"),
        ({"parties": ["a", "b" * 64]}, ValueError, "not usable"),
        ({"session": b"short"}, ValueError, "session has 5 bytes"),
        ({"session": "a session of strings"}, TypeError, "session is"),
        ({"n_summands": 0}, ValueError, "n_summands is 0"),
        ({"n_summands": True}, TypeError, "n_summands is"),
        ({"n_ciphertexts": 0}, ValueError, "n_ciphertexts is 0"),
        ({"magnitude": 0.0}, ValueError, "magnitude is 0"),
        ({"magnitude": float("nan")}, ValueError, "magnitude is nan"),
        ({"magnitude": 1e6}, ValueError, "scale the numbers down, or take a larger modulus"),
        ({"magnitude": 1e-9}, PrecisionError, "crypsis.ckks.JOINT, or agree on fewer summands"),
        ({"parameters": ckks.AGGREGATE}, PrecisionError, "take parameters with a larger log_scale"),
        ({"parameters": ckks.SHALLOW}, PrecisionError, "noise of .* bits"),
        ({"n_summands": 1 << 30, "magnitude": 1e-6}, PrecisionError, "fewer summands"),
        ({"parameters": SMALL}, ValueError, "128-bit secure"),
    ],
)
def test_agreement(change: dict[str, Any], error: type[Exception], match: str) -> None:
    known: dict[str, Any] = {
        "parameters": ckks.JOINT,
        "parties": ["a", "b"],
        "session": bytes(16),
        "n_summands": 2,
        "n_ciphertexts": 1 << 10,
        **change,
    }
    literal, parties = known.pop("parameters"), known.pop("parties")
    with pytest.raises(error, match=match):
        threshold.Agreement(literal, parties, **known)


def test_preset_has_room() -> None:
    """JOINT is 128-bit secure, and serves a hundred parties and a million ciphertexts."""
    deal = threshold.Agreement(
        ckks.JOINT,
        [f"party-{i}" for i in range(100)],
        session=bytes(16),
        n_summands=100,
        n_ciphertexts=1 << 20,
        magnitude=16.0,
    )
    assert not deal.parameters.insecure
    assert deal.error < 2**-12
    few = threshold.Agreement(ckks.JOINT, ["a", "b"], session=bytes(16), n_summands=2, n_ciphertexts=1 << 12)
    assert few.error < 2**-23
    assert few != deal
    assert len({deal, few}) == 2
    assert "100 parties" in repr(deal)


def test_digest_is_of_everything() -> None:
    same = agreement()
    assert same == agreement()
    others = [
        agreement(2),
        agreement(n_summands=9),
        agreement(n_ciphertexts=1 << 15),
        agreement(magnitude=3.0),
        agreement(session=b"the tests' sessiom"),
        agreement(literal=ckks.JOINT),
    ]
    assert len({same.digest, *(other.digest for other in others)}) == 7


# Key generation.


def after(n_rounds: int) -> tuple[dict[str, threshold.KeyMaker], list[dict[str, bytes]]]:
    parties = makers(agreement())
    return parties, run_rounds(parties, n_rounds)


def test_changed_seed() -> None:
    """A party that chooses its seed after seeing the others'."""
    parties, rounds = after(2)
    wrong = {**rounds[1], "south": flipped(rounds[1]["south"], 50)}
    with pytest.raises(ProtocolAbort, match="seed of party 'south' is not what it committed to"):
        parties["north"].key_commitment(wrong)


def test_rogue_key() -> None:
    """A party that chooses its part after seeing the others', with a right nonce or a new one."""
    for at in (45, 200):
        parties, rounds = after(4)
        wrong = flipped(rounds[3]["south"], at)
        with pytest.raises(ProtocolAbort, match="key part of party 'south' is not what it committed to"):
            parties["north"].transcript.key_part("south", wrong)
    parties, rounds = after(4)
    assert len(rounds[3]["south"]) == 78 + 15 * 1024


def test_changed_commitment() -> None:
    parties, rounds = after(1)
    wrong = {**rounds[0], "south": flipped(rounds[0]["south"], 60)}
    seeds = {p: maker.seed(wrong if p == "north" else rounds[0]) for p, maker in parties.items()}
    with pytest.raises(ProtocolAbort, match="seed of party 'south' is not what it committed to"):
        parties["north"].key_commitment(seeds)


def test_own_message_changed() -> None:
    parties, rounds = after(1)
    wrong = {**rounds[0], "north": flipped(rounds[0]["north"], 60)}
    with pytest.raises(ProtocolAbort, match="of party 'north' came back changed"):
        parties["north"].seed(wrong)


def test_missing_party() -> None:
    parties, rounds = after(1)
    del rounds[0]["south"], rounds[0]["east"]
    with pytest.raises(ProtocolAbort, match=r"no seed commitment of parties 'south', 'east'.* all 3"):
        parties["north"].seed(rounds[0])
    parties, rounds = after(4)
    maker = parties["north"]
    maker.transcript.key_part("north", rounds[3]["north"])
    with pytest.raises(ProtocolAbort, match="no key part of parties 'south', 'east'"):
        maker.finish()
    with pytest.raises(ProtocolAbort, match="'north' sent its key part twice"):
        maker.transcript.key_part("north", rounds[3]["north"])


def test_extra_and_unknown_party() -> None:
    parties, rounds = after(1)
    with pytest.raises(ProtocolAbort, match="party 'nobody' came, not of the agreement"):
        parties["north"].seed({**rounds[0], "nobody": rounds[0]["south"]})
    with pytest.raises(ValueError, match=r"party is 'nobody'.*'north', 'south'"):
        threshold.KeyMaker(agreement(), "nobody")
    with pytest.raises(TypeError, match=r"give a crypsis\.ckks\.threshold\.Agreement"):
        threshold.Transcript(b"")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="seed has 3 bytes"):
        threshold.KeyMaker(agreement(), "north", seed=b"abc")


def test_wrong_agreement() -> None:
    parties, rounds = after(1)
    other = run_rounds(makers(agreement(n_summands=9)), 1)[0]
    with pytest.raises(
        ProtocolAbort, match=r"party 'south' has agreement .*give all parties the same parameters"
    ):
        parties["north"].seed({**rounds[0], "south": other["south"]})


def test_anothers_message() -> None:
    parties, rounds = after(1)
    with pytest.raises(ProtocolAbort, match="'south' sent the seed commitment of party number 2"):
        parties["north"].seed({**rounds[0], "south": rounds[0]["east"]})


@pytest.mark.parametrize(
    ("message", "match"),
    [
        (b"", "sent 0 bytes where a seed commitment was due"),
        (b"x" * 78, "something else where a seed commitment"),
        (bytes(1000), "something else"),
    ],
)
def test_malformed_message(message: bytes, match: str) -> None:
    parties, rounds = after(1)
    with pytest.raises(ProtocolAbort, match=match):
        parties["north"].seed({**rounds[0], "south": message})


def test_malformed_fields() -> None:
    parties, rounds = after(1)
    mine = rounds[0]["south"]
    cases = [
        (flipped(mine, 4), "version 3, this crypsis reads 2"),
        (flipped(mine, 6), "where a seed commitment was due"),
        (flipped(mine, 7), "where a seed commitment was due"),
        (mine[:-1], "77 bytes where 78|of 77 bytes where 78"),
        (mine + b"0", "of 79 bytes where 78"),
        (mine[:-1] + bytes([mine[-1] ^ 1]), "checksum"),
    ]
    for message, match in cases:
        with pytest.raises(ProtocolAbort, match=match):
            threshold.Transcript(agreement()).seed_commitments({**rounds[0], "south": message})
    assert parties


def test_key_part_out_of_range() -> None:
    """A committed part with a number that is no residue."""
    from crypsis._ckks.threshold import messages
    from crypsis._ckks.threshold.transcript import commitment

    parties, rounds = after(3)
    maker = parties["north"]
    body = bytes(32) + b"\xff" * 15 * 1024
    committed = commitment(maker.agreement, messages.KEY_PART, "south", maker.transcript.common_seed, body)
    forged = messages.write(messages.KEY_COMMITMENT, 1, maker.agreement.digest, committed)
    maker.key_part({**rounds[2], "south": forged})
    part = messages.write(messages.KEY_PART, 1, maker.agreement.digest, body)
    with pytest.raises(ProtocolAbort, match="key part of party 'south' is no residue"):
        maker.transcript.key_part("south", part)


def test_order_of_rounds() -> None:
    parties, rounds = after(1)
    maker = parties["north"]
    with pytest.raises(ValueError, match="was not sent yet"):
        maker.key_commitment(rounds[0])
    with pytest.raises(ValueError, match="not known before all seeds are"):
        _ = maker.transcript.common_seed
    with pytest.raises(ValueError, match="call key_commitments"):
        maker.transcript.key_part("north", b"")
    maker.seed(rounds[0])
    with pytest.raises(ValueError, match="the rounds have an order"):
        maker.seed(rounds[0])
    with pytest.raises(ProtocolAbort, match="no key part of parties"):
        maker.finish()


# Decryption.


def test_arrays_that_are_not_answered() -> None:
    share, key = shares()["north"], joint()
    with pytest.raises(TypeError, match="give a CkksArray"):
        share.share(b"")  # type: ignore[arg-type]
    with pytest.raises(InvalidCiphertext, match="use ciphertexts of the joint key"):
        share.share(public_key(TINY).encrypt([1.0]))
    other = joint(2).encrypt([1.0], packed=True)
    with pytest.raises(InvalidCiphertext, match=r"ciphertexts are of key .* the shares of key"):
        share.share(other)
    with pytest.raises(InvalidCiphertext, match="ciphertexts are of key"):
        threshold.combine(key, other, [])
    array = key.public_key.encrypt(np.ones((2, 3)), magnitude=1)
    with pytest.raises(ScaleError, match="the agreement 2"):
        share.share(array.replaced(array.data, scale=2.0**99))
    with pytest.raises(InvalidCiphertext, match=r"shape \(2,\), \(3,\) is expected"):
        share.share(array, shape=(3,))
    with pytest.raises(InvalidCiphertext, match="0 ciphertexts of 2 polynomials"):
        share.share(array[:0])
    with pytest.raises(InvalidCiphertext, match="ciphertexts of 3 polynomials"):
        share.share(array.replaced(np.concatenate([array.data, array.data[:, :1]], axis=1)))
    before = share.answered
    with pytest.raises(CrypsisError):
        share.share(other)
    assert share.answered == before


def test_level() -> None:
    """Of parameters with levels (none has the room yet): only fresh ciphertexts are answered."""
    deal = threshold.Agreement.__new__(threshold.Agreement)
    object.__setattr__(deal, "parameters", parameters(TINY))
    array = public_key(TINY).encrypt([1.0], level=1)
    with pytest.raises(LevelError, match="have level 1, the agreement is on sums of fresh ones, of level 3"):
        deal.check(array, array.key_id)


def test_shares_of_another_array() -> None:
    key = joint()
    array = key.encrypt([1.0], packed=True)
    given = answers(shares().values(), array)
    with pytest.raises(ProtocolAbort, match=r"share of party 'north' is for ciphertexts .*same sum"):
        threshold.combine(key, array + array, given)
    with pytest.raises(ProtocolAbort, match="share of party 'north' is for ciphertexts"):
        threshold.combine(key, array + 1.0, given)
    others = answers(shares(2).values(), joint(2).encrypt([1.0], packed=True))
    with pytest.raises(ProtocolAbort, match="of another joint key"):
        threshold.combine(key, array, others)
    with pytest.raises(TypeError, match="give a DecryptionShare"):
        threshold.combine(key, array, [given[0].to_bytes()])  # type: ignore[list-item]


def test_digest_of_an_array() -> None:
    key = joint()
    array = key.public_key.encrypt(np.ones((2, 3)), magnitude=1)
    digest = threshold.ciphertext_digest(array)
    assert digest == threshold.ciphertext_digest(key.public_key.load(array.to_bytes()))
    others = [array[:1], array.reshape(1, 2), array.with_length(4), array + 0.5, -array]
    assert len({digest, *map(threshold.ciphertext_digest, others)}) == 6


def test_share_travels() -> None:
    key = joint()
    array = key.encrypt(np.ones(3000), packed=True)
    given = shares()["south"].share(array)
    buffer = given.to_bytes()
    assert len(buffer) == 82 + 3 * 15 * 1024
    loaded = threshold.DecryptionShare.from_bytes(buffer, key)
    assert (loaded.party, loaded.digest) == ("south", given.digest)
    assert np.array_equal(loaded.data, given.data)
    assert "'south', 3 ciphertexts" in repr(loaded)
    with pytest.raises(ProtocolAbort, match="party 'north' sent the decryption share of party number 1"):
        threshold.DecryptionShare.from_bytes(buffer, key, party="north")
    with pytest.raises(ProtocolAbort, match="party 'south' has agreement"):
        threshold.DecryptionShare.from_bytes(buffer, joint(2))
    cases = [
        (sealed(buffer[:74] + struct.pack("<I", 2) + buffer[78:]), "for 2 ciphertexts, which take"),
        (sealed(buffer[:74] + struct.pack("<I", 0) + buffer[78:]), "for 0 ciphertexts"),
        (sealed(buffer[:74] + struct.pack("<I", 2**32 - 1) + buffer[78:]), "ciphertexts, which take"),
        (sealed(buffer[:78] + b"\xff" * 100 + buffer[178:]), "'south' is no residue"),
        (buffer[:40], "40 bytes is from none of the parties"),
        (sealed(buffer[:8] + b"\xff\xff" + buffer[10:]), "from none of the parties"),
        (buffer[:-1], "checksum"),
    ]
    for wrong, match in cases:
        with pytest.raises(ProtocolAbort, match=match):
            threshold.DecryptionShare.from_bytes(wrong, key, party=None)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_change_of_a_share_is_noticed(data: st.DataObject) -> None:
    key = joint(2)
    array = key.encrypt([1.0], packed=True)
    given = answers(shares(2).values(), array)
    buffer = bytearray(given[0].to_bytes())
    at = data.draw(st.integers(0, len(buffer) - 1))
    buffer[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CrypsisError):
        threshold.combine(key, array, [threshold.DecryptionShare.from_bytes(buffer, key), given[1]])


def test_joint_key_buffers() -> None:
    key = joint()
    buffer = key.to_bytes()
    with pytest.raises(ProtocolAbort, match="has agreement"):
        threshold.JointKey.from_bytes(buffer, joint(2).agreement)
    with pytest.raises(ProtocolAbort, match="checksum"):
        threshold.JointKey.from_bytes(buffer[:-1], key.agreement)
    with pytest.raises(ProtocolAbort, match="truncated"):
        threshold.JointKey.from_bytes(sealed(buffer[:60] + bytes(4)), key.agreement)
    with pytest.raises(CorruptData):
        threshold.JointKey.from_bytes(flipped(buffer, 100), key.agreement)
    with pytest.raises(ValueError, match="the public key is of"):
        threshold.JointKey(key.agreement, public_key(WIDE), bytes(32))


def test_numbers_beyond_the_agreement() -> None:
    with pytest.raises(ValueError, match="beyond magnitude, 4"):
        joint().encrypt([4.5], packed=True)
    assert NAMES[0] == "north"


def test_a_fingerprint_belongs_to_its_key() -> None:
    """A key with another's transcript, which whoever passes it on can write, has another fingerprint."""
    honest = joint()
    agreement = honest.agreement
    other = ckks.SecretKey.generate(agreement.parameters).public_key()
    head = honest.to_bytes()[: messages.HEAD.size + messages.HASH_BYTES]
    forged = serial.sealed([head, other.to_bytes()])
    loaded = threshold.JointKey.from_bytes(forged, agreement)
    assert loaded.id == other.id
    assert loaded.fingerprint != honest.fingerprint
    assert threshold.JointKey.from_bytes(honest.to_bytes(), agreement).fingerprint == honest.fingerprint
