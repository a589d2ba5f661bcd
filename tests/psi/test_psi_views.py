# SPDX-License-Identifier: Apache-2.0
"""What each party sends: exact bytes and messages, nothing recognisable, and nothing beyond what the protocol leaks."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crypsis.mpc.data import KeySpec, TableSource, digest_keys
from crypsis.mpc.psi.ecdh import LEAKS, POINTS, RESULT, TAGS, hash_to_points, secret_permutation
from crypsis.mpc.psi.job import COUNTS, job_salt
from crypsis.mpc.psi.matching import tag_bytes
from crypsis.mpc.transport import agreement

from .pair import Ran, options_for, psi_pair

N_RECEIVER, N_SENDER, N_COMMON = 700, 300, 120


def keys(first: int, n: int) -> pa.Table:
    return pa.table({"id": [f"id-{i}" for i in range(first, first + n)]})


def run(**options: Any) -> tuple[Ran, Ran]:
    return psi_pair(keys(0, N_RECEIVER), keys(N_RECEIVER - N_COMMON, N_SENDER), batch_size=128, **options)


def n_bytes(party: Ran, stream: int) -> int:
    return sum(len(message) for message in party.channel.sent.get(stream, []))


def rows_sent(party: Ran, stream: int, width: int) -> list[bytes]:
    joined = b"".join(party.channel.sent[stream])
    return [joined[i : i + width] for i in range(0, len(joined), width)]


def test_bytes_and_messages_without_broadcast() -> None:
    receiver, sender = run()
    width = tag_bytes(N_RECEIVER, N_SENDER)
    assert set(receiver.channel.sent) == {agreement.CONTROL, POINTS}
    assert set(sender.channel.sent) == {agreement.CONTROL, POINTS, TAGS}
    assert n_bytes(receiver, POINTS) == 32 * N_RECEIVER
    assert n_bytes(sender, POINTS) == 32 * N_SENDER
    assert n_bytes(sender, TAGS) == width * N_RECEIVER
    assert len(receiver.channel.sent[POINTS]) == -(-N_RECEIVER // 128)
    assert len(sender.channel.sent[TAGS]) == -(-N_RECEIVER // 128)
    for party in (receiver, sender):
        assert len(party.channel.sent[agreement.CONTROL]) == 1
        assert party.channel.stats.payload_bytes_sent == sum(n_bytes(party, s) for s in party.channel.sent)
        assert party.channel.stats.messages_sent == sum(len(m) for m in party.channel.sent.values())
    assert receiver.channel.stats.payload_bytes_received == sender.channel.stats.payload_bytes_sent


def test_bytes_with_broadcast_and_alignment() -> None:
    receiver, sender = run(broadcast=True)
    assert n_bytes(receiver, RESULT) == 8 + 4 * N_COMMON
    assert n_bytes(receiver, COUNTS) == n_bytes(sender, COUNTS) == 4 * N_COMMON
    assert [json.loads(m)["type"] for m in receiver.channel.sent[agreement.CONTROL]] == ["config", "counts"]


def test_without_alignment_no_row_counts_are_sent() -> None:
    receiver, sender = run(broadcast=True, align=False)
    assert COUNTS not in receiver.channel.sent
    assert COUNTS not in sender.channel.sent


def test_the_sender_without_broadcast_learns_nothing() -> None:
    _, sender = run()
    assert sender.result.table is None
    assert sender.result.outcome.rows is None
    assert sender.result.outcome.n_matched is None
    assert sender.result.outcome.n_peer_unique == N_RECEIVER


def test_the_control_message_holds_public_fields_only() -> None:
    receiver, _ = run(job="monthly")
    message = json.loads(receiver.channel.sent[agreement.CONTROL][0])
    assert set(message) == {"type", "role", "public", "digest", "n_unique"}
    assert message["public"]["key_types"] == ["string"]
    assert "id" not in message["public"]


def test_points_are_masked_shuffled_and_fresh() -> None:
    first, _ = run()
    second, _ = run()
    options = options_for("receiver")
    digests = digest_keys(
        TableSource(keys(0, N_RECEIVER)), [KeySpec("id")], salt=job_salt(options), threads=1
    ).digests
    plain = {bytes(p) for p in hash_to_points(digests, options)}
    points = rows_sent(first, POINTS, 32)
    assert len(set(points)) == N_RECEIVER
    assert not plain & set(points)
    assert not {bytes(d) for d in digests} & {p[:16] for p in points}
    # A fresh scalar every time: not one point of the first run shows up in the second.
    assert not set(points) & set(rows_sent(second, POINTS, 32))


def test_items_travel_in_a_secret_order(monkeypatch: pytest.MonkeyPatch) -> None:
    from crypsis import curve25519
    from crypsis.mpc.psi import ecdh

    scalars: list[Any] = []
    original = curve25519.random_scalar

    def keep() -> Any:
        scalar = original()
        scalars.append(scalar.copy())
        return scalar

    monkeypatch.setattr(ecdh.curve25519, "random_scalar", keep)
    receiver, _ = run()
    options = options_for("receiver")
    digests = digest_keys(TableSource(keys(0, N_RECEIVER)), [KeySpec("id")], threads=1).digests
    sent = rows_sent(receiver, POINTS, 32)
    in_order = [
        [bytes(p) for p in curve25519.scalar_mult(scalar, hash_to_points(digests, options))]
        for scalar in scalars
    ]
    masked = next(points for points in in_order if set(points) == set(sent))
    assert masked != sent
    assert sum(a == b for a, b in zip(masked, sent, strict=True)) < 20  # about one in a random order


def test_the_order_is_a_permutation_and_differs() -> None:
    one, other = secret_permutation(1000), secret_permutation(1000)
    assert sorted(one.tolist()) == list(range(1000))
    assert not np.array_equal(one, other)
    assert len(secret_permutation(0)) == 0


def test_duplicates_do_not_show_in_what_is_sent() -> None:
    receiver, _ = psi_pair(pa.table({"id": ["a"] * 50 + ["b"]}), pa.table({"id": ["a"]}))
    assert n_bytes(receiver, POINTS) == 2 * 32


def test_different_jobs_have_different_digests() -> None:
    source = TableSource(keys(0, 3))
    digests = {
        bytes(digest_keys(source, [KeySpec("id")], salt=job_salt(options_for("sender", job=job))).digests[0])
        for job in ("", "a", "b")
    }
    assert len(digests) == 3


def test_scalars_are_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    from crypsis import curve25519
    from crypsis.mpc.psi import ecdh

    made: list[Any] = []
    original = curve25519.random_scalar

    def keep() -> Any:
        made.append(original())
        return made[-1]

    monkeypatch.setattr(ecdh.curve25519, "random_scalar", keep)
    run()
    assert len(made) == 2
    assert not any(scalar.any() for scalar in made)


def test_what_leaks_is_said() -> None:
    assert any("number of distinct keys" in leak for leak in LEAKS)
