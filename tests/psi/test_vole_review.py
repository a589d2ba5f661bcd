# SPDX-License-Identifier: Apache-2.0
"""What a cryptographic review of VOLE-PSI asked for: attempts are counted, the names of jobs are nobody's choice, a
malicious receiver proves its results, and parties with different numbers of threads do not wait for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crypsis import partition
from crypsis.errors import ConfigError, DataError, ProtocolAbort
from crypsis.mpc.jobs.identity import Identity
from crypsis.mpc.jobs.workdir import WorkDir
from crypsis.mpc.psi import vole
from crypsis.mpc.psi.bins import MAX_ATTEMPTS, count_attempt
from crypsis.mpc.psi.job_name import check_digests, commit_nonce
from crypsis.mpc.psi.layout import PROOF_BYTES, Layout
from crypsis.mpc.psi.memory import Budget
from crypsis.mpc.psi.spilled import SpilledJob
from crypsis.mpc.psi.vole import KeyBins, intersect_digests, open_session
from crypsis.mpc.transport.agreement import recv_json, send_json

from .pair import both, options_for, recorded_pair, spawn

RNG = np.random.default_rng(6)
N = 600
KEYS = RNG.integers(0, 256, (N + N // 2, 16), np.uint8)
RECEIVER, SENDER = KEYS[:N], KEYS[N // 2 :]


@pytest.mark.parametrize("security", ["semi-honest", "malicious"])
@pytest.mark.parametrize("threads", [(1, 16), (16, 1), (3, 40)])
def test_parties_with_different_numbers_of_threads(security: Any, threads: tuple[int, int]) -> None:
    """Each with steps of its own, the wide party would wait for what the narrow one makes later."""
    layout = Layout(N, N, inner_keys=20, security=security)
    assert layout.inner > 20
    own, theirs = (
        future.result()
        for future in both(
            lambda c: intersect_digests(c, "receiver", RECEIVER, layout, broadcast=True, threads=threads[0]),
            lambda c: intersect_digests(c, "sender", SENDER, layout, broadcast=True, threads=threads[1]),
        )
    )
    assert len(own) == N // 2
    assert np.array_equal(RECEIVER[own], SENDER[theirs])


@pytest.mark.parametrize("width", [0, 257, 65535])
def test_a_width_out_of_range(width: int) -> None:
    def other(stream: int, raw: bytes) -> list[bytes]:
        return [raw[:64] + width.to_bytes(2, "little")] if len(raw) == 66 else [raw]

    layout = Layout(N, N)
    ends = recorded_pair(sender=other)
    futures = [
        spawn(lambda: intersect_digests(ends[0], "receiver", RECEIVER, layout, threads=1)),
        spawn(lambda: intersect_digests(ends[1], "sender", SENDER, layout, threads=1)),
    ]
    assert isinstance(futures[0].exception(60), ProtocolAbort)
    ends[0].abort("enough")
    assert futures[1].exception(60) is not None


def test_rows_chosen_beforehand_do_not_fill_a_bin() -> None:
    """Digests whose leading bytes somebody chose: without a key of the session all would fall in one bin."""
    receiver, sender = RECEIVER.copy(), SENDER.copy()
    receiver[:, :8] = sender[:, :8] = 0
    layout = Layout(N, N, inner_keys=50)
    own, theirs = (
        future.result()
        for future in both(
            lambda c: intersect_digests(c, "receiver", receiver, layout, broadcast=True, threads=1),
            lambda c: intersect_digests(c, "sender", sender, layout, broadcast=True, threads=1),
        )
    )
    assert len(own) == N // 2
    assert np.array_equal(receiver[own], sender[theirs])


def malicious_results(change: Any) -> tuple[Any, Any]:
    layout = Layout(N, N, inner_keys=200, security="malicious")

    def tamper(stream: int, raw: bytes) -> list[bytes]:
        if stream != vole.RESULT:
            return [raw]
        assert len(raw) == PROOF_BYTES * layout.sender_bound == layout.result_bytes
        return [change(raw)]

    channels = recorded_pair(receiver=tamper)

    def party(role: Any, keys: np.ndarray, channel: Any) -> Any:
        with channel:
            return intersect_digests(channel, role, keys, layout, broadcast=True, threads=1)

    futures = [
        spawn(lambda: party("receiver", RECEIVER, channels[0])),
        spawn(lambda: party("sender", SENDER, channels[1])),
    ]
    return futures[0].result(60), futures[1].result(60)


@pytest.mark.parametrize(
    "change", [lambda raw: b"\xff" * len(raw), lambda raw: bytes(len(raw)), lambda raw: raw[16:] + raw[:16]]
)
def test_a_malicious_receiver_cannot_claim_keys_that_it_has_not(change: Any) -> None:
    """Nor does it learn which tags are padding: a claim that is not proven changes nothing that it could see."""
    own, theirs = malicious_results(change)
    assert len(own) == N // 2
    assert len(theirs) == 0


def test_a_malicious_receiver_may_keep_a_match_to_itself() -> None:
    own, theirs = malicious_results(lambda raw: raw[: len(raw) // 2] + bytes(len(raw) - len(raw) // 2))
    common = {row.tobytes() for row in KEYS[N // 2 : N]}
    assert {SENDER[i].tobytes() for i in theirs} <= common
    assert 0 < len(theirs) < len(own)


def test_attempts_at_a_malicious_bin_come_to_an_end(tmp_path: Path) -> None:
    for _ in range(MAX_ATTEMPTS):
        count_attempt(str(tmp_path), 3)
    count_attempt(str(tmp_path), 4)
    with pytest.raises(DataError, match=f"bin 3 was exchanged {MAX_ATTEMPTS} times"):
        count_attempt(str(tmp_path), 3)


@pytest.mark.parametrize("role", ["receiver", "sender"])
def test_an_attempt_is_counted_right_before_the_first_message_about_the_keys(role: Any) -> None:
    """Of each outer bin; where the count refuses, nothing of the bin's keys goes out."""
    layout = Layout(2 * N, 2 * N, n_outer=2, inner_keys=50, security="malicious")
    ends = dict(zip(("receiver", "sender"), recorded_pair(), strict=True))
    stream = vole.TABLE if role == "receiver" else vole.TAGS
    n_messages: dict[int, int] = {}

    def count(outer: int) -> None:
        n_messages[outer] = len(ends[role].sent[stream])
        if outer == 1:
            raise DataError("enough")

    def party(one: Any, keys: np.ndarray) -> None:
        session = open_session(ends[one], one, layout, threads=1)
        grouped, _, starts = partition.by_bin(keys, layout.inner)
        bins = [(outer, KeyBins(grouped, starts)) for outer in range(2)]
        list(session.run(bins, before_keys=count if one == role else None))

    futures = [spawn(lambda: party("receiver", RECEIVER)), spawn(lambda: party("sender", SENDER))]
    for future in futures:
        assert future.exception(60) is not None
    heads = 1 if role == "receiver" else 0  # a seed and nonces for each outer bin
    assert n_messages == {0: 1 + heads, 1: 1 + 2 * heads + layout.inner}
    assert len(ends[role].sent[stream]) == n_messages[1]


@pytest.mark.parametrize(
    ("n_own", "n_peer", "n_outer"), [(10**9, 10**9, 477), ((1 << 32) - 1, (1 << 32) - 1, 2048), (0, 0, 1)]
)
def test_digests_that_are_long_enough(n_own: int, n_peer: int, n_outer: int) -> None:
    check_digests(n_own, n_peer, n_outer)


def test_digests_that_are_too_short() -> None:
    """12 bytes in a record: two of n in one of the outer bins collide with n^2 / 2 / n_outer / 2^96."""
    with pytest.raises(ConfigError, match="bin_rows"):
        check_digests(1 << 32, 1 << 32, 64)
    check_digests(1 << 28, 1 << 26, 1)
    with pytest.raises(ConfigError):
        check_digests(1 << 28, 1 << 28, 1)


def job(path: Path, role: Any) -> SpilledJob:
    return SpilledJob(
        directory=WorkDir.open(path),
        identity=Identity(public={}, own={}, input=()),
        options=options_for(role, protocol="vole"),
        bin_rows=1 << 20,
        budget=Budget(memory=1 << 30, gather=1 << 27),
        progress=None,
    )


def test_the_name_of_a_job_is_the_choice_of_nobody(tmp_path: Path) -> None:
    jobs = [job(tmp_path / role, role) for role in ("receiver", "sender")]
    for future in both(lambda c: jobs[0].meet(c, 10), lambda c: jobs[1].meet(c, 20)):
        future.result()
    names = [one.ledger.identity.job for one in jobs if one.ledger is not None]
    assert names[0] == names[1] != b""
    for one in jobs:
        one.close()
        one.directory.close()


@pytest.mark.parametrize("cheat", ["another", "echo", "none", "short"])
def test_a_nonce_that_was_not_committed_to(tmp_path: Path, cheat: str) -> None:
    one = job(tmp_path / "work", "receiver")

    def peer(channel: Any) -> None:
        theirs = recv_json(channel, "job")
        commitment = theirs["commitment"] if cheat == "echo" else commit_nonce("sender", "00" * 32)
        send_json(channel, {"type": "job", "job_id": "", "begun": False, "commitment": commitment, "rows": 1})
        nonce = recv_json(channel, "nonce")["nonce"]
        given = {"another": "11" * 32, "echo": nonce, "none": None, "short": "00"}[cheat]
        send_json(channel, {"type": "nonce", "nonce": given})

    futures = both(lambda c: one.meet(c, 10), peer)
    error = futures[0].exception()
    assert isinstance(error, ProtocolAbort)
    assert "nonce" in str(error)
    assert one.ledger is None
    one.directory.close()
