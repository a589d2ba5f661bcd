# SPDX-License-Identifier: Apache-2.0
"""Peers that disagree, are of another version, send garbage or cheat: the job ends on both sides, with the reason."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crypsis.errors import ChannelError, ConfigError, CrypsisError, InvalidPoint, ProtocolAbort
from crypsis.mpc.data import KeySpec, TableSource, digest_keys
from crypsis.mpc.psi import intersect
from crypsis.mpc.psi.agree import agree
from crypsis.mpc.psi.ecdh import POINTS, RESULT, TAGS
from crypsis.mpc.psi.job import COUNTS
from crypsis.mpc.psi.matching import tag_bytes
from crypsis.mpc.psi.options import PROTOCOL_VERSION
from crypsis.mpc.transport import Channel
from crypsis.mpc.transport.agreement import CONTROL, public_digest, recv_json, send_json

from .pair import both, errors_of, options_for

P = 2**255 - 19
LOW_ORDER = {
    "zero": 0,
    "one": 1,
    "minus_one": P - 1,
    "order_8_a": 325606250916557431795983626356110631294008115727848805560023387167927233504,
    "order_8_b": 39382357235489614581723060781553021112529911719440698176882885853963445705823,
}
NOT_CANONICAL = {"p": P, "p_plus_1": P + 1, "largest": 2**255 - 1, "high_bit": 2**255 + 9}


def party(role: str, keys: list[str], **options: Any) -> Callable[[Channel], Any]:
    return lambda channel: intersect(pa.table({"id": keys}), "id", channel, role=role, threads=1, **options)


def receiver(n: int = 20, **options: Any) -> Callable[[Channel], Any]:
    return party("receiver", [f"k{i}" for i in range(n)], **options)


def sender(n: int = 20, **options: Any) -> Callable[[Channel], Any]:
    return party("sender", [f"k{i}" for i in range(n)], **options)


def honest_error(role: str, cheating: Callable[[Channel], Any], **options: Any) -> BaseException:
    """What an honest party of `role` ends with; the cheating one ends too, in whatever way."""
    is_receiver = role == "receiver"
    futures = both(receiver(**options), cheating) if is_receiver else both(cheating, sender(**options))[::-1]
    assert all(future.done() for future in futures)
    error = futures[0].exception()
    assert error is not None
    assert "\n" not in str(error)
    return error


def cheat(role: str, n: int, act: Callable[[Channel, int], None], **options: Any) -> Callable[[Channel], Any]:
    """Agrees as it should with n keys announced, then does `act(channel, number of the peer's keys)` and waits."""

    def run(channel: Channel) -> None:
        n_peer = agree(channel, options_for(role, **options), n)
        act(channel, n_peer)
        channel.recv(7)  # nothing comes there: until the honest party ends the job

    return run


def points(*values: int) -> bytes:
    return b"".join(value.to_bytes(32, "little") for value in values)


def good_points(n: int) -> bytes:
    from crypsis import curve25519

    return curve25519.scalar_mult(
        curve25519.random_scalar(),
        curve25519.map_to_curve(np.frombuffer(os.urandom(32 * n), np.uint8).reshape(n, 32)),
    ).tobytes()


# ---- the agreement -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "here", "there"),
    [
        ("join", {"join": "left"}, {"join": "full"}),
        ("left", {"left": "receiver"}, {"left": "sender"}),
        ("broadcast", {"broadcast": True, "align": False}, {"broadcast": False}),
        ("align", {"broadcast": True, "align": True}, {"broadcast": True, "align": False}),
        ("hash", {"hash": "sha256"}, {"hash": "blake3"}),
        ("job", {"job": "may"}, {"job": "june"}),
    ],
)
def test_a_mismatch_names_the_field_on_both_sides(
    field: str, here: dict[str, Any], there: dict[str, Any]
) -> None:
    errors = errors_of(both(receiver(**here), sender(**there)))
    for error in errors:
        assert isinstance(error, ConfigError)
        assert f"disagree on '{field}'" in str(error)
        assert str(error).endswith("give both the same value")
        assert "\n" not in str(error)
    assert repr(here[field]) in str(errors[0])
    assert repr(here[field]) in str(errors[1])


def test_key_types_must_agree() -> None:
    from crypsis.mpc.data import KeySpec

    errors = errors_of(
        both(
            lambda c: intersect(pa.table({"id": [1]}), KeySpec("id", "int"), c, role="receiver"),
            lambda c: intersect(pa.table({"id": [1]}), KeySpec("id"), c, role="sender"),
        )
    )
    for error in errors:
        assert isinstance(error, ConfigError)
        assert "disagree on 'keys'" in str(error)
        assert str(error).endswith("with the same types, in the same order")


@pytest.mark.parametrize("role", ["receiver", "sender"])
def test_both_parties_in_one_role(role: str) -> None:
    for error in errors_of(both(party(role, ["a"]), party(role, ["b"]))):
        assert isinstance(error, ConfigError)
        assert role in str(error)


def test_a_peer_of_another_protocol_version() -> None:
    def other_version(channel: Channel) -> None:
        public = options_for("sender").public() | {"version": PROTOCOL_VERSION + 1}
        send_json(
            channel,
            {
                "type": "config",
                "role": "sender",
                "public": public,
                "digest": public_digest(public),
                "n_unique": 1,
            },
        )
        recv_json(channel, "config")
        send_json(channel, {"type": "refused"})
        recv_json(channel, "refused")

    error = honest_error("receiver", other_version)
    assert isinstance(error, ConfigError)
    assert "'version'" in str(error)
    assert str(error).endswith("install the same release of crypsis at both parties")


GARBAGE = {
    "no_json": b"\xff\xfe\x00garbage",
    "empty": b"",
    "a_list": b"[1, 2]",
    "deep": b"[" * 60_000,
    "another_type": b'{"type": "hello"}',
    "too_long": b" " * (1 << 17),
    "no_public": b'{"type": "config", "public": 3}',
    "a_wrong_digest": json.dumps({"type": "config", "public": {"a": 1}, "digest": "00"}).encode(),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_a_garbage_control_message(what: str) -> None:
    error = honest_error("receiver", lambda channel: (channel.send(CONTROL, GARBAGE[what]), channel.recv(7)))
    assert isinstance(error, ProtocolAbort)
    assert "peer" in str(error)


@pytest.mark.parametrize("n_unique", [-1, 1.5, True, "7", None, 1 << 50])
def test_a_count_that_is_none(n_unique: Any) -> None:
    def lie(channel: Channel) -> None:
        public = options_for("sender").public()
        send_json(
            channel,
            {
                "type": "config",
                "role": "sender",
                "public": public,
                "digest": public_digest(public),
                "n_unique": n_unique,
            },
        )
        channel.recv(7)

    error = honest_error("receiver", lie)
    assert isinstance(error, ProtocolAbort)
    assert "n_unique" in str(error)


# ---- points and tags ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [*LOW_ORDER.values(), *NOT_CANONICAL.values()], ids=[*LOW_ORDER, *NOT_CANONICAL]
)
@pytest.mark.parametrize("role", ["receiver", "sender"])
def test_bad_points_from_either_party(value: int, role: str) -> None:
    def act(channel: Channel, _: int) -> None:
        channel.send(POINTS, good_points(9) + points(value))

    error = honest_error("sender" if role == "receiver" else "receiver", cheat(role, 10, act))
    assert isinstance(error, InvalidPoint)
    assert "bad point" in str(error)


SIZES = {"no_multiple": 33, "empty": 0, "one_too_many": 11 * 32, "much": 1 << 20}


@pytest.mark.parametrize("size", SIZES.values(), ids=list(SIZES))
def test_batches_of_a_wrong_size(size: int) -> None:
    def act(channel: Channel, _: int) -> None:
        channel.send(POINTS, bytes(size))

    error = honest_error("receiver", cheat("sender", 10, act))
    assert isinstance(error, ProtocolAbort)
    assert f"sent {size} bytes" in str(error)


def test_tags_of_a_wrong_size() -> None:
    def act(channel: Channel, n_peer: int) -> None:
        channel.send(TAGS, bytes(tag_bytes(n_peer, 10) * n_peer + 1))

    assert isinstance(honest_error("receiver", cheat("sender", 10, act)), ProtocolAbort)


def test_the_same_tag_for_two_items() -> None:
    def act(channel: Channel, n_peer: int) -> None:
        channel.send(POINTS, good_points(10))
        channel.send(TAGS, bytes(tag_bytes(n_peer, 10) * n_peer))

    error = honest_error("receiver", cheat("sender", 10, act))
    assert isinstance(error, ProtocolAbort)
    assert "same item twice" in str(error)


def test_the_same_point_for_two_items() -> None:
    def act(channel: Channel, n_peer: int) -> None:
        channel.send(POINTS, good_points(1) * 10)
        channel.send(TAGS, os.urandom(tag_bytes(n_peer, 10) * n_peer))

    error = honest_error("receiver", cheat("sender", 10, act))
    assert isinstance(error, ProtocolAbort)
    assert "same item twice" in str(error)


# ---- the result and the row counts -------------------------------------------------------------------------


def after_exchange(act: Callable[[Channel], None], n: int = 10) -> Callable[[Channel], Any]:
    """A receiver that follows the protocol up to its result."""

    def run(channel: Channel, _n_peer: int) -> None:
        channel.send(POINTS, good_points(n))
        act(channel)

    return cheat("receiver", n, run, broadcast=True)


POSITIONS = {
    "descending": [3, 2],
    "twice": [3, 3],
    "outside": [3, 20],
}


@pytest.mark.parametrize("positions", POSITIONS.values(), ids=list(POSITIONS))
def test_positions_that_are_none(positions: list[int]) -> None:
    def act(channel: Channel) -> None:
        channel.send(RESULT, len(positions).to_bytes(8, "little"))
        channel.send(RESULT, np.array(positions, "<u4").tobytes())

    error = honest_error("sender", after_exchange(act), broadcast=True)
    assert isinstance(error, ProtocolAbort)
    assert "positions" in str(error)


@pytest.mark.parametrize("head", [b"\x01", (11).to_bytes(8, "little"), b"\xff" * 8, b""])
def test_a_result_larger_than_the_sets(head: bytes) -> None:
    error = honest_error("sender", after_exchange(lambda channel: channel.send(RESULT, head)), broadcast=True)
    assert isinstance(error, ProtocolAbort)
    assert "larger than the sets" in str(error)


@pytest.mark.parametrize(("counts", "named"), [([1, 0], "row count of 0"), ([1], "bytes of row counts")])
def test_row_counts_that_are_none(counts: list[int], named: str) -> None:
    def act(channel: Channel) -> None:
        channel.send(RESULT, (2).to_bytes(8, "little"))
        channel.send(RESULT, np.array([0, 1], "<u4").tobytes())
        send_json(channel, {"type": "counts", "unmatched_rows": 0})
        channel.send(COUNTS, np.array(counts, "<u4").tobytes())

    error = honest_error("sender", after_exchange(act), broadcast=True)
    assert isinstance(error, ProtocolAbort)
    assert named in str(error)


# ---- a peer that goes away ---------------------------------------------------------------------------------


def test_a_peer_that_ends_the_job_in_the_middle() -> None:
    def leave(channel: Channel, _: int) -> None:
        channel.abort("going home")

    error = honest_error("receiver", cheat("sender", 10, leave))
    assert isinstance(error, CrypsisError)
    assert "going home" in str(error)


def test_an_interrupt_tells_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    from crypsis.mpc.psi import ecdh

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    def interrupted_receiver(channel: Channel) -> Any:
        # Only this party's wait is interrupted, as Ctrl-C in its process would.
        exchange = ecdh.EcdhPsi(channel, options_for("receiver"), agree(channel, options_for("receiver"), 5))
        monkeypatch.setattr(ecdh, "wait", interrupted)
        return exchange.run(digest_keys(TableSource(pa.table({"id": list("abcde")})), [KeySpec("id")]))

    def slow_sender(channel: Channel) -> None:
        agree(channel, options_for("sender"), 5)
        channel.recv(7)

    own, peer = errors_of(both(interrupted_receiver, slow_sender))
    assert isinstance(own, KeyboardInterrupt)
    assert isinstance(peer, (ProtocolAbort, ChannelError))
    assert "interrupted" in str(peer)


@pytest.mark.parametrize(
    "change",
    [{"broadcast": 0}, {"version": float(PROTOCOL_VERSION)}, {"align": 0.0}, {"extra": None}],
    ids=["number for bool", "float for number", "float for bool", "a null field"],
)
def test_a_configuration_that_only_python_takes_for_equal_is_refused(change: dict[str, Any]) -> None:
    def send(channel: Channel) -> None:
        public = options_for("sender").public() | change
        message = {"type": "config", "role": "sender", "public": public, "digest": public_digest(public)}
        send_json(channel, message | {"n_unique": 5})
        channel.recv(7)

    own, _ = errors_of(both(lambda channel: agree(channel, options_for("receiver"), 5), send))
    assert isinstance(own, ProtocolAbort)
    assert "not written as this version does" in str(own)


@pytest.mark.parametrize(
    "field", [{"role": None}, {"role": "judge"}, {"n_unique": 1 << 32}, {"n_unique": -1}]
)
def test_an_impossible_announcement_is_refused(field: dict[str, Any]) -> None:
    def send(channel: Channel) -> None:
        public = options_for("sender").public()
        message = {"type": "config", "role": "sender", "public": public, "digest": public_digest(public)}
        send_json(channel, message | {"n_unique": 5} | field)
        channel.recv(7)

    own, _ = errors_of(both(lambda channel: agree(channel, options_for("receiver"), 5), send))
    assert isinstance(own, ProtocolAbort)
    assert next(iter(field)) in str(own)


def test_more_keys_than_memory_is_a_clear_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from crypsis.mpc.psi import ecdh

    def full(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(ecdh, "TagSet", full)

    def receive(channel: Channel) -> Any:
        keys = digest_keys(TableSource(pa.table({"id": ["a"]})), [KeySpec("id")])
        return ecdh.EcdhPsi(channel, options_for("receiver"), (1 << 32) - 1).run(keys)

    own, _ = errors_of(both(receive, lambda channel: channel.recv(7)))
    assert isinstance(own, ProtocolAbort)
    assert "announced 4294967295 keys" in str(own)
