# SPDX-License-Identifier: Apache-2.0
"""Threshold CKKS over channels: results, counted bytes and rounds, what each side sees, and who is named on failure."""

from __future__ import annotations

import json
import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crypsis._homomorphic import key_files
from crypsis.ckks import threshold
from crypsis.errors import BudgetError, ChannelError, CrypsisError, ProtocolAbort
from crypsis.mpc.sharing import threshold_ckks, threshold_frames
from crypsis.mpc.transport import Channel, ChannelOptions, memory_pair
from threshold_cases import agreement, joint, make_shares, shares

WAIT_S = 300
MIDDLE = "aggregator"


class Recording:
    """A channel that keeps what went through it; change(number, message) may change what is sent."""

    def __init__(self, channel: Channel, change: Callable[[int, bytearray], Any] | None = None) -> None:
        self._channel, self._change = channel, change
        self.sent: list[bytes] = []
        self.received: list[bytes] = []

    def send(self, stream: int, payload: Any) -> None:
        message = bytearray(payload)
        if self._change is not None:
            message = self._change(len(self.sent), message)
        self.sent.append(bytes(message))
        self._channel.send(stream, message)

    def recv(self, stream: int) -> memoryview:
        message = self._channel.recv(stream)
        self.received.append(bytes(message))
        return message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


def run(
    names: tuple[str, ...],
    middle: Callable[[dict[str, Any]], Any],
    party: Callable[[str, Any], Any],
    changes: dict[str, Callable[[int, bytearray], Any]] | None = None,
    from_middle: dict[str, Callable[[int, bytearray], Any]] | None = None,
) -> tuple[dict[str, Any], dict[str, Recording], dict[str, Recording]]:
    """(results or errors by party, the middle's ends of the channels, the parties' ends)."""
    options = ChannelOptions(patience_s=60)
    pairs = {name: memory_pair(MIDDLE, name, options=options) for name in names}
    near = {name: Recording(pair[0], (from_middle or {}).get(name)) for name, pair in pairs.items()}
    far = {name: Recording(pair[1], (changes or {}).get(name)) for name, pair in pairs.items()}
    results: dict[str, Any] = {}

    def work(name: str, function: Callable[[], Any], ends: list[Recording]) -> None:
        try:
            results[name] = function()
            for end in ends:
                end.close()
        except BaseException as error:
            results[name] = error
            for end in ends:
                end.abort("it failed elsewhere")

    threads = [
        threading.Thread(target=work, args=(MIDDLE, lambda: middle(near), list(near.values())), daemon=True)
    ]
    for name in names:
        threads.append(
            threading.Thread(
                target=work, args=(name, lambda n=name: party(n, far[n]), [far[name]]), daemon=True
            )
        )
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive(), "a party hangs"
    return results, near, far


def good(results: dict[str, Any]) -> dict[str, Any]:
    for result in results.values():
        if isinstance(result, BaseException):
            raise result
    return results


def generate(
    deal: threshold.Agreement, **changes: Any
) -> tuple[dict[str, Any], dict[str, Recording], dict[str, Recording]]:
    return run(
        deal.parties,
        lambda channels: threshold_ckks.make_key(channels, deal),
        lambda name, channel: threshold_ckks.join_key(channel, deal, name),
        **changes,
    )


def add_up(
    values: dict[str, Any], *, reveal: bool = True, n_values: int | None = None, **changes: Any
) -> tuple[dict[str, Any], dict[str, Recording], dict[str, Recording]]:
    n_parties = len(values)
    count = len(next(iter(values.values()))) if n_values is None else n_values
    return run(
        tuple(values),
        lambda channels: threshold_ckks.aggregate(channels, joint(n_parties), count, run=1, reveal=reveal),
        lambda name, channel: threshold_ckks.contribute(
            channel, shares(n_parties)[name], values[name], run=1, reveal=reveal
        ),
        **changes,
    )


def numbers(n_parties: int, n_values: int) -> dict[str, Any]:
    random = np.random.default_rng(n_values)
    return {name: random.uniform(-4, 4, n_values) for name in joint(n_parties).agreement.parties}


def check_traffic(end: Recording, traffic: threshold_frames.Traffic) -> None:
    assert sum(map(len, end.sent)) == traffic.bytes_sent
    assert sum(map(len, end.received)) == traffic.bytes_received
    assert (len(end.sent), len(end.received)) == (traffic.messages_sent, traffic.messages_received)
    stats = end.stats
    assert (stats.payload_bytes_sent, stats.payload_bytes_received) == (
        traffic.bytes_sent,
        traffic.bytes_received,
    )


@pytest.mark.parametrize("n_parties", [2, 5])
def test_key(n_parties: int) -> None:
    deal = agreement(n_parties)
    results, _, far = generate(deal)
    good(results)
    made = results[MIDDLE]
    for name in deal.parties:
        assert (results[name].joint.id, results[name].joint.fingerprint) == (made.id, made.fingerprint)
        traffic = threshold_frames.key_traffic(deal)
        if name == deal.parties[0]:
            traffic = replace(traffic, bytes_sent=traffic.bytes_sent + threshold.sealed_bytes(deal))
        check_traffic(far[name], traffic)
        assert far[name].stats.rounds == 4
    array = made.encrypt(np.arange(-3.0, 3.0), packed=True)
    found = threshold.combine(made, array, [results[name].share(array) for name in deal.parties])
    assert np.abs(found - np.arange(-3.0, 3.0)).max() < deal.error


@pytest.mark.parametrize("n_parties", [2, 3])
@pytest.mark.parametrize("n_values", [1, 1024, 3000])
@pytest.mark.parametrize("reveal", [True, False])
def test_sum(n_parties: int, n_values: int, reveal: bool) -> None:
    values = numbers(n_parties, n_values)
    results, _, far = add_up(values, reveal=reveal)
    good(results)
    deal = joint(n_parties).agreement
    expected = sum(values.values())
    assert np.abs(results[MIDDLE] - expected).max() < deal.error
    for name in values:
        if reveal:
            assert np.array_equal(results[name], results[MIDDLE])
        else:
            assert results[name] is None
        check_traffic(far[name], threshold_frames.sum_traffic(deal, n_values, reveal=reveal))


def test_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks, the last one short: two rounds each."""
    monkeypatch.setattr(threshold_frames, "BLOCK_BYTES", 1 << 16)
    values = numbers(2, 7000)
    results, _, far = add_up(values)
    good(results)
    deal = joint(2).agreement
    assert np.abs(results[MIDDLE] - sum(values.values())).max() < deal.error
    for name in values:
        check_traffic(far[name], threshold_frames.sum_traffic(deal, 7000))
        assert len(far[name].sent) == 2 * 4


def test_one_key_many_sums() -> None:
    deal = agreement(2, session=b"many sums of one key")
    results, _, _ = generate(deal)
    good(results)
    for number in range(3):
        found, _, _ = run(
            deal.parties,
            lambda channels, number=number: threshold_ckks.aggregate(
                channels, results[MIDDLE], 5, run=number
            ),
            lambda name, channel, number=number: threshold_ckks.contribute(
                channel, results[name], np.full(5, number + 1.0), run=number
            ),
        )
        assert np.abs(good(found)[MIDDLE] - 2 * (number + 1)).max() < deal.error
    assert results["north"].answered == 3


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the numbers take no more but for the numbers themselves."""
    monkeypatch.setattr(threshold_frames, "BLOCK_BYTES", 1 << 17)
    peaks = []
    for n_values in (16_384, 65_536):
        tracemalloc.start()
        try:
            options = ChannelOptions(patience_s=60, window_bytes=1 << 17, chunk_bytes=1 << 16)
            values = numbers(2, n_values)
            pairs = {name: memory_pair(MIDDLE, name, options=options) for name in values}
            threads = [
                threading.Thread(
                    target=threshold_ckks.contribute,
                    args=(pairs[name][1], shares(2)[name], values[name]),
                    kwargs={"run": 1, "reveal": False},
                )
                for name in values
            ]
            for thread in threads:
                thread.start()
            threshold_ckks.aggregate(
                {n: p[0] for n, p in pairs.items()}, joint(2), n_values, run=1, reveal=False
            )
            for thread in threads:
                thread.join(WAIT_S)
            peaks.append(tracemalloc.get_traced_memory()[1] - 3 * 8 * n_values)
        finally:
            tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_views() -> None:
    """What each side sees has none of the others' numbers: equal numbers give different, uniform-looking bytes."""
    values = {name: np.full(3000, 2.0) for name in joint().agreement.parties}
    results, near, far = add_up(values)
    good(results)
    seen = [far[name].sent[i] for name in values for i in (0, 1)]
    body = [np.frombuffer(message[200:], np.uint8) for message in seen]
    assert len({message[-1000:] for message in seen}) == len(seen)
    for sample in body:
        counts = np.bincount(sample, minlength=256)
        expected = sample.size / 256
        assert ((counts - expected) ** 2 / expected).sum() < 400  # 255 degrees of freedom, 6 deviations
    # A party sees the sum's ciphertext and the result only; the aggregator what was sent to it.
    for name in values:
        assert len(far[name].received) == 2
        assert near[name].received == far[name].sent
    first = [far[name].received for name in values]
    assert first[0] == first[1] == first[2]


def test_key_views() -> None:
    """Commitments come before anything that they bind; all parties see the same."""
    deal = agreement(3)
    results, _, far = generate(deal)
    good(results)
    views = [far[name].received for name in deal.parties]
    assert views[0] == views[1] == views[2]
    assert [len(message) for message in views[0]] == [3 * 78] * 3 + [
        78 + 15 * 1024 + 2 * 48,
        78 + 15 * 1024,
        78 + 15 * 1024,
    ]
    for name in deal.parties:
        seed = far[name].sent[1][42:74]
        assert not any(seed in message for message in far[name].sent[:1] + views[0][:1])


def test_report() -> None:
    key = joint()
    found = threshold_ckks.report(key, 1024)
    assert json.loads(json.dumps(found)) == found
    assert found["parties"] == ["north", "south", "east"]
    assert found["bytes_a_value"]["sent"] == pytest.approx(45, rel=0.05)
    assert found["security"]["statistical_bits"] == 40
    assert "all parties" in found["security"]["leaks"]
    assert "all parties" not in threshold_ckks.report(key, 1024, reveal=False)["security"]["leaks"]


# Failures.


def failed(results: dict[str, Any], match: str) -> None:
    """The aggregator says why; nobody has a result."""
    assert all(isinstance(result, CrypsisError) for result in results.values()), results
    with pytest.raises(CrypsisError, match=match):
        raise results[MIDDLE]


def changing(number: int, at: int) -> Callable[[int, bytearray], Any]:
    def change(i: int, message: bytearray) -> bytearray:
        if i == number:
            message[at] ^= 1
        return message

    return change


def cutting(number: int) -> Callable[[int, bytearray], Any]:
    return lambda i, message: message[:-1] if i == number else message


@pytest.mark.parametrize("number", range(4))
def test_key_with_damaged_message(number: int) -> None:
    results, _, _ = generate(agreement(3), changes={"south": changing(number, 50)})
    failed(results, "of party 'south' is damaged|of party 'south' is not what it committed to")
    results, _, _ = generate(agreement(3), changes={"south": cutting(number)})
    failed(results, "party 'south' sent a .* bytes where")


def test_key_with_rogue_part() -> None:
    """South's part of another run of its own: well formed, not what it committed to."""
    deal = agreement(3)
    other, _, far = generate(deal)
    good(other)
    parts = far["south"].sent

    def change(i: int, message: bytearray) -> Any:
        return parts[3] if i == 3 else message

    results, _, _ = generate(deal, changes={"south": change})
    failed(results, "the key part of party 'south' is not what it committed to")
    assert "south" in str(results["north"])


def test_relay_that_changes_messages() -> None:
    """The parties find it, not the aggregator."""
    for number in range(6):
        results, _, _ = generate(agreement(3), from_middle={"north": changing(number, 50)})
        assert isinstance(results["north"], ProtocolAbort), (number, results)
    results, _, _ = generate(agreement(3), from_middle={"north": cutting(0)})
    with pytest.raises(ProtocolAbort, match="sent 233 bytes of key generation where 234"):
        raise results["north"]


def test_disagreement() -> None:
    deal, other = agreement(3), agreement(3, n_summands=9)
    results, _, _ = run(
        deal.parties,
        lambda channels: threshold_ckks.make_key(channels, deal),
        lambda name, channel: threshold_ckks.join_key(channel, other if name == "east" else deal, name),
    )
    failed(results, "party 'east' has agreement .*give all parties the same parameters")


@pytest.mark.parametrize("when", ["at once", "after the commitment"])
def test_party_goes_away(when: str) -> None:
    deal = agreement(3)

    def party(name: str, channel: Any) -> Any:
        if name == "south":
            if when != "at once":
                channel.send(0, threshold.KeyMaker(deal, name).seed_commitment())
            channel.abort("out for lunch")
            raise ChannelError("out for lunch")
        return threshold_ckks.join_key(channel, deal, name)

    results, _, _ = run(deal.parties, lambda channels: threshold_ckks.make_key(channels, deal), party)
    failed(results, "'south'")
    assert "'south'" in str(results["north"])
    assert "'south'" in str(results["east"])


def test_missing_channel() -> None:
    deal = agreement(3)
    one, _ = memory_pair(MIDDLE, "north")
    with pytest.raises(ValueError, match="none to party 'south': all 3"):
        threshold_ckks.make_key({"north": one}, deal)
    others = {name: memory_pair(MIDDLE, name)[0] for name in deal.parties}
    with pytest.raises(ValueError, match="one to 'nobody'"):
        threshold_ckks.make_key({**others, "nobody": one}, deal)
    with pytest.raises(ValueError, match="channel of party 'south' leads to 'north'"):
        threshold_ckks.make_key({**others, "south": one}, deal)
    with pytest.raises(TypeError, match="give a dict of party to Channel"):
        threshold_ckks.make_key([one], deal)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (changing(0, 0), "'south' sent something else where a summand was due"),
        (changing(0, 8), "run is 1 here and 0 at 'south'"),
        (changing(0, 40), "agreement is .* at 'south'"),
        (changing(0, 500), "summand of party 'south' is refused: .*checksum"),
        (cutting(0), "summand of party 'south' is refused: .* bytes of ciphertexts came"),
        (changing(1, 500), "share of party 'south' is damaged"),
        (cutting(1), "'south'"),
        (lambda i, message: message[:20] if i == 0 else message, "'south' sent 20 bytes where a summand"),
    ],
)
def test_sum_with_damaged_message(change: Any, match: str) -> None:
    results, _, _ = add_up(numbers(3, 2000), changes={"south": change})
    failed(results, match)


def test_different_lengths_and_options() -> None:
    values = numbers(3, 2000)
    values["south"] = values["south"][:-1]
    results, _, _ = add_up(values)
    failed(results, "n_values is 2000 here and 1999 at 'south'")
    results, _, _ = run(
        tuple(values),
        lambda channels: threshold_ckks.aggregate(channels, joint(), 5, run=1, reveal=False),
        lambda name, channel: threshold_ckks.contribute(channel, shares()[name], np.ones(5), run=1),
    )
    failed(results, "reveal is 0 here and 1 at 'north'")


def test_ciphertexts_of_another_key() -> None:
    deal = agreement(3)
    stranger = make_shares(deal, seeded=False)["south"]
    results, _, _ = run(
        deal.parties,
        lambda channels: threshold_ckks.aggregate(channels, joint(), 5, run=1),
        lambda name, channel: threshold_ckks.contribute(
            channel, stranger if name == "south" else shares()[name], np.ones(5), run=1
        ),
    )
    failed(results, "summand of party 'south' is refused: the ciphertexts are of key")


def test_wrong_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = memory_pair(MIDDLE, "north")
    share = shares()["north"]
    cases: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        ([1.0, np.nan], {}, ValueError, "finite numbers up to 4"),
        ([5.0], {}, ValueError, "values go up to 5"),
        ([], {}, ValueError, "at least one"),
        ([[1.0]], {}, ValueError, "one row of numbers"),
        (["a"], {}, TypeError, "real numbers"),
        ([1j], {}, TypeError, "real numbers"),
        ([1.0], {"run": -1}, ValueError, "run is -1"),
        ([1.0], {"reveal": 1}, TypeError, "reveal is int"),
    ]
    for values, options, error, match in cases:
        with pytest.raises(error, match=match):
            threshold_ckks.contribute(far, share, values, **{"run": 1, **options})
    with pytest.raises(ValueError, match="n_values is 0"):
        threshold_ckks.aggregate({}, joint(), 0, run=1)
    few = make_shares(agreement(3, n_summands=2))["north"]
    with pytest.raises(ValueError, match="n_summands 2 for 3 parties"):
        threshold_ckks.contribute(far, few, [1.0], run=1)
    spent = make_shares(agreement(2, n_ciphertexts=1))["north"]
    with pytest.raises(BudgetError, match="2 more were asked for"):
        threshold_ckks.contribute(far, spent, np.ones(2000), run=1)
    monkeypatch.setattr(key_files, "SCRYPT_LOG_N", 4)
    kept = make_shares(agreement(2))["north"]
    kept.save(tmp_path / "share", "a passphrase", reserve=1)
    with pytest.raises(BudgetError, match="its file counts 1, 2 more were asked for: save it before"):
        threshold_ckks.contribute(far, kept, np.ones(2000), run=1)
    assert near.stats.messages_received == far.stats.messages_sent == 0
