# SPDX-License-Identifier: Apache-2.0
"""SoftSpokenOT against peers that lie: each lie ends the session before a row of its chunk comes out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from crypsis import vole
from crypsis.errors import ChannelError, CrypsisError, ProtocolAbort
from crypsis.mpc.ot import softspoken
from crypsis.mpc.ot.correlation import MALICIOUS, SEMI_HONEST, DeadSource
from crypsis.mpc.ot.softspoken import SoftSpokenReceiver, SoftSpokenSender

from .parties import Tampering, good, run, unpack

SETUP, CHUNK = 1, 2  # numbers of the receiver's messages; 0 is the base OTs'
N_ITEMS = 500
N_ROWS = 31
ROW_BYTES = 16 * 5  # four blocks and the mask
SUMS = 32 + 128 * 2 * 16


def flip(number: int, at: int, bit: int = 0) -> Callable[[int, bytearray], bytearray]:
    def change(n: int, message: bytearray) -> bytearray:
        if n == number:
            message[at] ^= 1 << bit
        return message

    return change


class Liar(SoftSpokenReceiver):
    """Changes its corrections before it makes the check's challenge and hashes: the best that a cheat can do."""

    lie: Callable[[np.ndarray], None]

    def _challenge(
        self, number: int, first: int, n_blocks: int, chosen: bool, corrections: np.ndarray
    ) -> bytes:
        self.lie(corrections)
        return super()._challenge(number, first, n_blocks, chosen, corrections)


def lying(lie: Callable[[np.ndarray], None]) -> type[Liar]:
    return type("LyingReceiver", (Liar,), {"lie": staticmethod(lie)})


def flip_row(row: int, position: int = 0) -> Callable[[np.ndarray], None]:
    def lie(corrections: np.ndarray) -> None:
        corrections[row * ROW_BYTES + position // 8] ^= 1 << position % 8

    return lie


def honest(n: int, message: bytearray) -> bytearray:
    return message


def against(
    change: Callable[[int, bytearray], Any],
    *,
    security: str = MALICIOUS,
    n_calls: int = 1,
    delta: bytes | None = None,
    party: type[SoftSpokenReceiver] = SoftSpokenReceiver,
) -> tuple[Any, Any, list[int]]:
    """(sender's end, receiver's end, items that the sender's iterations gave)."""
    given: list[int] = []

    def sender(channel: Any) -> Any:
        source = SoftSpokenSender(channel, session=b"c", security=security, delta=delta, threads=1)
        try:
            for _ in range(n_calls):
                for q in source.blocks(N_ITEMS):
                    given.append(len(q))
        except BaseException:
            assert not source.alive
            assert not source.delta.any()
            with pytest.raises(DeadSource):
                source.blocks(1)
            raise
        return True

    def receiver(channel: Any) -> Any:
        source = party(Tampering(channel, change), session=b"c", security=security, threads=1)
        for _ in range(n_calls):
            for _ in source.blocks(N_ITEMS):
                pass
        return True

    sent, received, *_ = run(sender, receiver)
    return sent, received, given


def test_the_harness_lets_honest_parties_through() -> None:
    sent, received, given = against(honest, n_calls=2)
    good(sent, received)
    assert given == [N_ITEMS, N_ITEMS]


# Of a row that one tree's correction differs in, the sender sees its part of Delta times the difference: it must not
# pass unless that part is zero. Delta without a zero part makes every flip visible.
ONES = b"\xff" * 16


@pytest.mark.parametrize("row", [0, 1, 15, 30])
@pytest.mark.parametrize("position", [0, 255, N_ITEMS - 1, 511, 639])
@pytest.mark.parametrize("knows_how", [False, True])
def test_a_flipped_correction_aborts(row: int, position: int, knows_how: bool) -> None:
    if knows_how:
        sent, _, given = against(honest, delta=ONES, party=lying(flip_row(row, position)))
    else:
        sent, _, given = against(flip(CHUNK, row * ROW_BYTES + position // 8, position % 8), delta=ONES)
    assert isinstance(sent, ProtocolAbort)
    assert "check of a chunk" in str(sent)
    assert given == []


@pytest.mark.parametrize("rows", [[3], [0, 1], list(range(15)), list(range(1, 31))])
def test_inconsistent_choices_between_trees_abort(rows: list[int]) -> None:
    def lie(corrections: np.ndarray) -> None:
        corrections.reshape(N_ROWS, ROW_BYTES)[rows] ^= 0xFF

    sent, _, given = against(honest, delta=ONES, party=lying(lie))
    assert isinstance(sent, ProtocolAbort)
    assert given == []


def test_selective_abort_is_what_the_module_says() -> None:
    """A row that differs in a tree where Delta's part is zero goes unnoticed: the receiver guessed those bits."""
    zero_part = bytes([0xFF, 0xFF, 0x0F]) + b"\xff" * 13  # part 5, bits 20 to 23
    sent, received, given = against(honest, delta=zero_part, party=lying(flip_row(4)))  # row 4 is tree 5's
    good(sent, received)
    assert given == [N_ITEMS]
    sent, *_ = against(honest, delta=zero_part, party=lying(flip_row(5)))
    assert isinstance(sent, ProtocolAbort)


@pytest.mark.parametrize("word", [0, 1, 64, 127, 128])
def test_a_wrong_hash_aborts(word: int) -> None:
    at = N_ROWS * ROW_BYTES + 16 * word
    sent, _, given = against(flip(CHUNK, at, 3), delta=ONES)
    assert isinstance(sent, ProtocolAbort)
    assert given == []


def test_the_second_chunk_is_checked_too() -> None:
    sent, _, given = against(flip(CHUNK + 1, 100), n_calls=3, delta=ONES)
    assert isinstance(sent, ProtocolAbort)
    assert given == [N_ITEMS]


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("level", [0, 1, 3])
def test_wrong_sums_of_a_tree_abort_if_they_are_used(side: int, level: int) -> None:
    """One side of a level is what the sender learns; a lie on the other one it cannot see, nor does it matter."""
    aborts = 0
    for delta in (ONES, bytes(16)):
        sent, received, given = against(flip(SETUP, 32 + (2 * level + side) * 16), delta=delta)
        if isinstance(sent, ProtocolAbort):
            assert "trees are not consistent" in str(sent)
            assert given == []
            aborts += 1
        else:
            good(sent, received)
    assert aborts == 1


@pytest.mark.parametrize("at", [SUMS, SUMS + 32 * 31, SUMS + 32 * 32, SUMS + 64 * 32 - 1])
def test_wrong_proofs_of_a_tree_abort(at: int) -> None:
    sent, _, given = against(flip(SETUP, at))
    assert isinstance(sent, ProtocolAbort)
    assert given == []


@pytest.mark.parametrize("security", [SEMI_HONEST, MALICIOUS])
@pytest.mark.parametrize("number", [SETUP, CHUNK])
@pytest.mark.parametrize("cut", [lambda m: m[:-1], lambda m: m + b"\0", lambda m: b"", lambda m: m * 2])
def test_wrong_lengths_abort(security: str, number: int, cut: Callable[[bytearray], bytes]) -> None:
    sent, _, given = against(lambda n, m: cut(m) if n == number else m, security=security)
    assert isinstance(sent, ProtocolAbort)
    assert "bytes instead of" in str(sent)
    assert given == []


def test_a_replayed_chunk_aborts() -> None:
    seen: dict[int, bytearray] = {}

    def change(n: int, message: bytearray) -> bytearray:
        seen[n] = message
        return seen[CHUNK] if n == CHUNK + 1 else message

    sent, _, given = against(change, n_calls=2, delta=ONES)
    assert isinstance(sent, ProtocolAbort)
    assert given == [N_ITEMS]


def test_a_chunk_of_another_session_aborts() -> None:
    seen: list[bytearray] = []

    def record(n: int, message: bytearray) -> bytearray:
        if n == CHUNK:
            seen.append(message)
        return message

    against(record)
    sent, *_ = against(lambda n, m: seen[0] if n == CHUNK else m, delta=ONES)
    assert isinstance(sent, ProtocolAbort)


@pytest.mark.parametrize("number", [0, SETUP, CHUNK, CHUNK + 1])
def test_a_peer_that_goes_away_between_phases(number: int) -> None:
    sent, received, given = against(lambda n, m: None if n == number else m, n_calls=2)
    assert isinstance(sent, ChannelError | ProtocolAbort)
    assert isinstance(received, ConnectionAbortedError)
    assert len(given) <= (number == CHUNK + 1)


def test_a_sender_that_cheats_gets_no_choices_right_and_harms_itself() -> None:
    """Its only messages are the base OTs': with other points its own rows are wrong, and the set-up's check says so."""

    def sender(channel: Any) -> Any:
        def swap(n: int, message: bytearray) -> bytearray:
            return message[32:64] + message[:32] + message[64:] if n == 0 else message

        source = SoftSpokenSender(Tampering(channel, swap), session=b"c")
        return list(source.blocks(10))

    sent, _, *_ = run(sender, lambda c: list(SoftSpokenReceiver(c, session=b"c").blocks(10)))
    assert isinstance(sent, CrypsisError)


def test_semi_honest_flips_only_the_rows_they_touch() -> None:
    """What the semi-honest form does not detect, as it says: the harness reaches the rows."""
    rows: list[np.ndarray] = []

    def sender(channel: Any) -> Any:
        source = SoftSpokenSender(channel, session=b"c", security=SEMI_HONEST, delta=ONES)
        rows.extend(q.copy() for q in source.blocks(N_ITEMS))
        return source.delta.copy()

    def receiver(channel: Any) -> Any:
        source = SoftSpokenReceiver(Tampering(channel, flip(CHUNK, 2)), session=b"c", security=SEMI_HONEST)
        return [(unpack(c, len(t)), t.copy()) for c, t in source.blocks(N_ITEMS)]

    delta, received, *_ = run(sender, receiver)
    good(delta, received)
    [(c, t)] = received
    wrong = (t != rows[0] ^ c[:, None] * delta).any(axis=1)
    assert np.flatnonzero(wrong).tolist() == [16]


def test_challenges_depend_on_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    source = object.__new__(SoftSpokenReceiver)
    source._threads = 1
    corrections = np.zeros(5000, np.uint8)
    for session in (bytes(32), b"1" * 32):
        source.session = session
        for number, first, n_blocks, chosen in (
            (0, 0, 1, False),
            (1, 0, 1, False),
            (0, 1, 1, False),
            (0, 0, 1, True),
        ):
            seen.add(source._challenge(number, first, n_blocks, chosen, corrections))
    source.session = bytes(32)
    for at in (0, 1023, 1024, 4096, 4999):
        changed = corrections.copy()
        changed[at] = 1
        seen.add(source._challenge(0, 0, 1, False, changed))
    source._bound = b"2" * 32
    seen.add(source._challenge(0, 0, 1, False, corrections))
    assert len(seen) == 8 + 5 + 1
    assert softspoken.CHUNK_BLOCKS == 512


def test_challenges_are_bound_to_the_leaves_of_both_parties() -> None:
    """Leaves that a receiver could choose after the challenge would let it search for hashes that meet."""
    proofs: list[bytes] = []

    def record(n: int, message: bytearray) -> bytearray:
        if n == SETUP:
            proofs.append(bytes(message[SUMS:]))
        return message

    ends = [
        run(
            lambda channel: SoftSpokenSender(channel, session=b"c")._bound,
            lambda channel: SoftSpokenReceiver(Tampering(channel, record), session=b"c")._bound,
        )
        for _ in range(2)
    ]
    for sent, received, *_ in ends:
        good(sent, received)
        assert sent == received
    assert [end[0] for end in ends] == [hashlib.sha256(proof).digest() for proof in proofs]
    assert ends[0][0] != ends[1][0]


@pytest.mark.parametrize("k", [1, 3, 5, 7, 8])
@pytest.mark.parametrize("tree", ["second", "last"])
def test_other_k_check_every_tree(k: int, tree: str) -> None:
    """Where k does not divide 128 the last tree is a smaller one."""
    n_rows = len(vole.tree_depths(k)) - 1
    row = 0 if tree == "second" else n_rows - 1

    def sender(channel: Any) -> Any:
        return list(SoftSpokenSender(channel, session=b"c", k=k, delta=ONES).blocks(N_ITEMS))

    def receiver(channel: Any) -> Any:
        return list(lying(flip_row(row, 77))(channel, session=b"c", k=k).blocks(N_ITEMS))

    sent, *_ = run(sender, receiver)
    assert isinstance(sent, ProtocolAbort)
    assert "check of a chunk" in str(sent)


@pytest.mark.parametrize("security", [SEMI_HONEST, MALICIOUS])
def test_what_the_trees_grow_from_is_wiped(security: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[np.ndarray] = []
    expand, field = vole.expand_trees, vole.SmallField

    def expand_kept(seeds: np.ndarray, *arguments: Any, **options: Any) -> Any:
        leaves, sums = expand(seeds, *arguments, **options)
        assert seeds.any()
        kept.extend((seeds, leaves))
        return leaves, sums

    def field_kept(k: int, leaves: np.ndarray, *arguments: Any) -> Any:
        kept.append(leaves)
        return field(k, leaves, *arguments)

    monkeypatch.setattr(vole, "expand_trees", expand_kept)
    monkeypatch.setattr(vole, "SmallField", field_kept)
    sent, received, *_ = run(
        lambda channel: bool(SoftSpokenSender(channel, session=b"c", security=security)),
        lambda channel: bool(SoftSpokenReceiver(channel, session=b"c", security=security)),
    )
    good(sent, received)
    assert len(kept) == 2 * 32 + 2
    assert not any(array.any() for array in kept)
