# SPDX-License-Identifier: Apache-2.0
"""Sums and federated averaging over channels: drop-outs, late clients, resumption, and sums by threshold CKKS."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from crypsis import ckks
from crypsis.errors import ChannelError, ConfigError, ProtocolAbort
from crypsis.mpc.learning.horizontal import averaging, runner, sums
from crypsis.mpc.learning.horizontal.masks import MaskClient, Plan
from crypsis.mpc.transport import Channel, ChannelOptions, memory_pair

WAIT_S = 300
OPTIONS = ChannelOptions(patience_s=60, max_message_bytes=1 << 16)


def plan_of(n: int = 5, n_values: int = 50_000, **options: Any) -> Plan:
    names = tuple(f"c{i}" for i in range(n))
    return Plan(clients=names, n_values=n_values, session=b"the tests' session", magnitude=4.0, **options)


def pairs(names: Any, options: ChannelOptions = OPTIONS) -> tuple[dict[str, Channel], dict[str, Channel]]:
    both = {name: memory_pair("server", name, options=options) for name in names}
    return {name: pair[0] for name, pair in both.items()}, {name: pair[1] for name, pair in both.items()}


def together(jobs: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    results: dict[str, Any] = {}

    def work(name: str, job: Callable[[], Any]) -> None:
        try:
            results[name] = job()
        except BaseException as error:
            results[name] = error

    threads = [threading.Thread(target=work, args=item, daemon=True) for item in jobs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
        assert not thread.is_alive(), "a party hangs"
    return results


class Leaving:
    """A channel that ends when it is to send its `at`-th message, or stays silent from there."""

    def __init__(self, channel: Channel, at: int, silent: threading.Event | None = None) -> None:
        self._channel, self._at, self._silent, self._count = channel, at, silent, 0

    def send(self, stream: int, payload: Any) -> None:
        if self._count == self._at:
            if self._silent is not None:
                self._silent.wait(WAIT_S)
            self._channel.abort("it leaves")
            raise ChannelError("it has left")
        self._count += 1
        self._channel.send(stream, payload)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)


def values(name: str, n_values: int) -> np.ndarray:
    return np.random.default_rng(int(name[1:])).uniform(-4, 4, n_values)


def test_sum_with_drop_outs_and_a_late_client(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(6, threshold=4)
    near, far = pairs(plan.clients)
    late = threading.Event()
    far["c1"] = Leaving(far["c1"], 4)  # a frame is two messages: before its masked input
    far["c4"] = Leaving(far["c4"], 0, late)
    jobs: dict[str, Any] = {
        name: lambda n=name: runner.sum_at_client(far[n], plan, values(n, plan.n_values))
        for name in plan.clients
    }

    def wait(running: dict[Any, str], deadline_s: float) -> Any:
        """The deadline is for c4 alone: the others, on a busy machine, get the time that they need."""
        futures.wait([future for future, name in running.items() if name != "c4"], WAIT_S)
        return futures.wait(running, deadline_s)

    monkeypatch.setattr(runner, "wait", wait)

    def server() -> Any:
        try:
            return runner.sum_at_server(near, plan, deadline_s=0.5)
        finally:
            late.set()

    results = together(jobs | {"server": server})
    result = results["server"]
    assert set(result.survivors) == {"c0", "c2", "c3", "c5"}
    assert set(result.dropped) == {"c1", "c4"}
    assert "0.5 s" in result.dropped["c4"]
    want = sum(values(name, plan.n_values) for name in result.survivors)
    np.testing.assert_allclose(result.values, want, rtol=0, atol=4 * plan.rounding)
    assert results["c0"] is None
    assert isinstance(results["c1"], ChannelError)


def test_too_few_are_told() -> None:
    plan = plan_of(5, 10)
    near, far = pairs(plan.clients)
    far["c0"], far["c1"] = Leaving(far["c0"], 2), Leaving(far["c1"], 2)
    jobs: dict[str, Any] = {
        name: lambda n=name: runner.sum_at_client(far[n], plan, np.ones(10)) for name in plan.clients
    }
    results = together(jobs | {"server": lambda: runner.sum_at_server(near, plan, deadline_s=60)})
    assert "3 of 5 clients" in str(results["server"])
    assert isinstance(results["c3"], runner.SumLost)


def test_plans_differ() -> None:
    near, far = pairs(plan_of(3, 10).clients)
    jobs: dict[str, Any] = {
        name: lambda n=name: runner.sum_at_client(far[n], plan_of(3, 10, max_weight=3), np.ones(10))
        for name in far
    }
    results = together(jobs | {"server": lambda: runner.sum_at_server(near, plan_of(3, 10), deadline_s=60)})
    assert "plans differ" in str(results["c0"])
    assert isinstance(results["server"], ProtocolAbort)


def test_server_dies_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(4, 1000)
    clients = {name: MaskClient(plan, name) for name in plan.clients}
    state = tmp_path / "sum.state"
    saved = []

    def sum_once(die: bool) -> dict[str, Any]:
        near, far = pairs(plan.clients)

        def server() -> Any:
            try:
                return runner.sum_at_server(near, plan, state=state, deadline_s=60)
            except BaseException:
                for channel in near.values():
                    channel.abort("the server died")
                raise

        def save(*args: Any) -> None:
            real(*args)
            saved.append(1)
            if die and len(saved) == 3:
                raise RuntimeError("died")

        monkeypatch.setattr(runner, "_save", save)
        jobs: dict[str, Any] = {
            name: lambda n=name: runner.sum_at_client(far[n], plan, values(n, 1000), client=clients[n])
            for name in plan.clients
        }
        return together(jobs | {"server": server})

    real = runner._save
    first = sum_once(die=True)
    assert isinstance(first["server"], RuntimeError)
    assert isinstance(first["c0"], (ChannelError, ProtocolAbort))
    assert state.stat().st_mode & 0o777 == 0o600
    second = sum_once(die=False)
    want = sum(values(name, 1000) for name in plan.clients)
    np.testing.assert_allclose(second["server"].values, want, rtol=0, atol=4 * plan.rounding)
    assert not state.exists()


def test_federated_average_equals_plain() -> None:
    names = [f"c{i}" for i in range(5)]
    random = np.random.default_rng(3)
    truth = random.normal(size=4)
    data = {name: random.normal(size=(20 + 5 * i, 4)) for i, name in enumerate(names)}

    def train(name: str) -> averaging.Train:
        def step(parameters: averaging.Parameters, _: int) -> tuple[list[np.ndarray], int]:
            rows, (weights, bias) = data[name], parameters
            error = rows @ weights + bias[0] - rows @ truth - 0.5
            return [weights - 0.2 * rows.T @ error / len(rows), bias - 0.2 * error.mean()], len(rows)

        return step

    near, far = pairs(names)
    far["c2"] = Leaving(far["c2"], 8 * 2 + 4)  # in the third round, before its masked input
    loop = averaging.FederatedAverage(magnitude=8.0, max_weight=64, ring_bits=64, deadline_s=60, threshold=3)
    jobs: dict[str, Any] = {name: lambda n=name: averaging.join(far[n], train(n)) for name in names}
    start = [np.zeros(4), np.zeros(1)]
    results = together(jobs | {"server": lambda: loop.run(near, start, rounds=6)})
    plain = [np.zeros(4), np.zeros(1)]
    for entry in loop.history:
        trained = [train(name)(plain, 0) for name in entry["survivors"]]
        total = sum(weight for _, weight in trained)
        plain = [sum(weight * arrays[i] for arrays, weight in trained) / total for i in range(2)]
    assert [len(entry["survivors"]) for entry in loop.history] == [5, 5, 4, 4, 4, 4]
    for got, want in zip(results["server"], plain, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-11)
    np.testing.assert_array_equal(results["c0"][0], results["server"][0])


def test_client_refuses_small_crowds() -> None:
    near, far = pairs(["c0", "c1", "c2"])
    loop = averaging.FederatedAverage(magnitude=1.0, max_weight=1, deadline_s=60)
    jobs: dict[str, Any] = {
        name: lambda n=name: averaging.join(far[n], lambda p, _: (p, 1), least_clients=4) for name in far
    }
    results = together(jobs | {"server": lambda: loop.run(near, [np.zeros(3)], rounds=1)})
    assert "at least 4" in str(results["c0"])
    assert isinstance(results["server"], ProtocolAbort)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda head: head.pop("plan"), "plan"),
        (lambda head: head.update(plan=[1]), "plan"),
        (lambda head: head.update(round="1"), "round has no number"),
        (lambda head: head.update(shapes=[]), "do not fit"),
        (lambda head: head.update(shapes=[[1 << 32, 1 << 32]]), "do not fit"),
        (lambda head: head.update(shapes=[[-1, -3]]), "do not fit"),
        (lambda head: head.update(shapes=3), "cannot be read"),
    ],
)
@pytest.mark.parametrize("values", [3, 0])
def test_client_refuses_malformed_rounds(change: Any, text: str, values: int) -> None:
    near, far = pairs(["c0"])
    plan = plan_of(3, 3)
    head = {"round": 1, "plan": plan.to_json(), "shapes": [[values]]}
    change(head)
    message = averaging._pack(head, np.zeros(values))
    jobs: dict[str, Any] = {
        "c0": lambda: averaging.join(far["c0"], lambda p, _: (p, 1)),
        "server": lambda: runner.send_frame(near["c0"], 0, runner.TRAIN, message),
    }
    found = together(jobs)["c0"]
    assert isinstance(found, (ProtocolAbort, ConfigError))
    assert text in str(found) or (not values and "do not fit" in str(found))


def test_diverged_update() -> None:
    with pytest.raises(ValueError, match="diverged"):
        averaging.update_of([np.zeros(2)], [np.array([1, np.nan])])


class Meeting:
    """Channels of the attempts of a CKKS sum; `absent` clients do not come to attempts from theirs on."""

    def __init__(self, names: tuple[str, ...], absent: dict[str, int]) -> None:
        options = ChannelOptions(patience_s=60)
        self.made = [pairs([n for n in names if absent.get(n, 9) > attempt], options) for attempt in range(3)]


def test_ckks_sum_repeats_without_who_dropped_out() -> None:
    names = ("c0", "c1", "c2", "c3")
    literal = ckks.Literal(10, (40, 40, 40), (), 100)
    parameters = ckks.Parameters.of(literal, insecure_allow_weak=True)
    job = sums.Job(n_values=1500, magnitude=4.0, max_weight=5, parameters=parameters)
    meeting = Meeting(names, {"c2": 1})
    leaving = Leaving(meeting.made[0][1]["c2"], 5)  # key generation, its summand; then it is gone

    def client(name: str) -> Any:
        def channel(attempt: int) -> Any:
            if name == "c2":
                if attempt:
                    raise ChannelError("gone")
                return leaving
            return meeting.made[attempt][1][name]

        return sums.sum_at_client(channel, job, values(name, 1500), 1 + int(name[1:]), name=name)

    jobs: dict[str, Any] = {name: lambda n=name: client(n) for name in names}
    results = together(
        jobs | {"server": lambda: sums.sum_at_server(lambda attempt, _: meeting.made[attempt][0], job, names)}
    )
    result = results["server"]
    assert result.survivors == ("c0", "c1", "c3") == results["c0"]
    assert result.weight == 1 + 2 + 4
    want = sum((1 + int(name[1:])) * values(name, 1500) for name in result.survivors)
    assert np.abs(result.values - want).max() < job.error(3)
    assert isinstance(results["c2"], ProtocolAbort)


@pytest.mark.parametrize("wrong", ["", "key", "signature", "stranger", "weight"])
def test_ckks_clients_compare_the_key(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("c0", "c1", "c2")
    keys = {name: Ed25519PrivateKey.generate() for name in names}
    known = {name: key.public_key().public_bytes_raw() for name, key in keys.items()}
    parameters = ckks.Parameters.of(ckks.Literal(10, (40, 40, 40), (), 100), insecure_allow_weak=True)
    job = sums.Job(n_values=5, magnitude=4.0, parameters=parameters, identities=known)
    meeting = Meeting(names, {})
    compare, encode, relayed = sums._compare, sums.Job.encode, []

    def compare_other(channel: Any, job: Any, clients: Any, fingerprint: bytes, *rest: Any) -> None:
        """What c1 has is another key, as where the server relays other parts to it."""
        if wrong == "key" and channel.party == "c1":
            fingerprint = fingerprint[::-1]
        compare(channel, job, clients, fingerprint, *rest)
        relayed.append(channel.party)

    def encode_other(job: Any, values: Any, weight: int = 1, **options: Any) -> Any:
        found = encode(job, values, weight, **options)
        if wrong == "weight" and values[0] == 1.0:
            found[-1] = -1.0
        return found

    monkeypatch.setattr(sums, "_compare", compare_other)
    monkeypatch.setattr(sums.Job, "encode", encode_other)

    def client(name: str) -> Any:
        own, mine = job, keys[name]
        if wrong == "stranger" and name == "c0":
            own = sums.Job(n_values=5, magnitude=4.0, parameters=parameters, identities={"c0": known["c0"]})
        if wrong == "signature" and name == "c1":
            mine = Ed25519PrivateKey.generate()
        return sums.sum_at_client(
            lambda attempt: meeting.made[attempt][1][name],
            own,
            np.full(5, float(name[1:])),
            name=name,
            attempts=1,
            identity=mine,
        )

    jobs: dict[str, Any] = {name: lambda n=name: client(n) for name in names}
    found = together(
        jobs | {"server": lambda: sums.sum_at_server(lambda a, _: meeting.made[a][0], job, names, attempts=1)}
    )
    if wrong == "weight":
        assert "sum of the weights of 3 clients is 1" in str(found["server"])
    elif wrong:
        assert isinstance(found["server"], ProtocolAbort)
        assert isinstance(found["c0"], ProtocolAbort)
        text = {
            "key": "'c1' did not sign",
            "signature": "'c1' did not sign",
            "stranger": "without an identity",
        }
        assert text[wrong] in str(found["c0"])
        assert "c0" not in relayed
    else:
        assert found["c0"] == names
        np.testing.assert_allclose(found["server"].values, 3.0, atol=job.error(3))
    with pytest.raises(ConfigError, match="go together"):
        sums.sum_at_client(lambda attempt: meeting.made[0][1]["c0"], job, np.zeros(5), name="c0")


def test_ckks_job_refuses() -> None:
    job = sums.Job(n_values=3, magnitude=1.0)
    for bad in ([1.0, 2.0], [0.0, np.nan, 0.0], [0.0, 0.0, 1.5]):
        with pytest.raises(ValueError, match="values"):
            job.encode(bad)
    with pytest.raises(ConfigError, match="least_clients"):
        sums.Job(n_values=3, magnitude=1.0, least_clients=2)
    with pytest.raises(ConfigError, match="identity of 'c0'"):
        sums.Job(n_values=3, magnitude=1.0, identities={"c0": b"short"})
