# SPDX-License-Identifier: Apache-2.0
"""Masked sums: exact under any drop-outs, what the server sees, and what each side refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from crypsis.errors import ConfigError, CorruptData, ProtocolAbort
from crypsis.mpc.learning.horizontal import graph, shamir
from crypsis.mpc.learning.horizontal import messages as m
from crypsis.mpc.learning.horizontal.masks import MaskClient, MaskServer, Plan

SESSION = b"the tests' session"


def make(n: int = 5, n_values: int = 20, **options: Any) -> Plan:
    options = {"magnitude": 4.0, "max_weight": 10, "session": SESSION} | options
    return Plan(clients=tuple(f"c{i}" for i in range(n)), n_values=n_values, **options)


def numbers(plan: Plan, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.uniform(-4, 4, plan.n_values) for name in plan.clients}


def parties(plan: Plan, keys: Any = None) -> tuple[dict[str, MaskClient], MaskServer]:
    keys = keys or {}
    return {c: MaskClient(plan, c, identity=keys.get(c)) for c in plan.clients}, MaskServer(plan)


def run(
    plan: Plan, gone: dict[str, int], keys: Any = None, stored: bool = False
) -> tuple[MaskServer, list[Any]]:
    """gone: the message (from 0) that a client does not send any more. stored: all states go through bytes."""
    clients, server = parties(plan, keys)
    values, seen = numbers(plan), []
    outbox: dict[str, bytes] = dict.fromkeys(plan.clients, b"")
    count = 0
    while server.round_name:
        for name, asked in outbox.items():
            if count >= gone.get(name, 99):
                continue
            vector = plan.encode(values[name], 1 + int(name[1:]) % 10) if clients[name].needs_input else None
            answer = clients[name].answer(asked, vector) if asked else clients[name].advertise()
            seen.append((name, server.round_name, answer))
            server.receive(name, answer)
            if stored and not clients[name].finished:
                data = clients[name].to_bytes()
                clients[name] = MaskClient.from_bytes(plan, data, identity=(keys or {}).get(name))
        outbox = server.advance()
        if stored and server.round_name != "answer for unmasking" and server.round_name:
            server = MaskServer.from_bytes(plan, server.to_bytes())
        count += 1
    return server, seen


def exact(plan: Plan, server: MaskServer) -> bool:
    values = numbers(plan)
    total = np.zeros(plan.n_words, plan.dtype)
    for name in server.survivors:
        total += plan.encode(values[name], 1 + int(name[1:]) % 10)
    return bool((total == server.words()).all())


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_exact_under_random_drop_outs(data: st.DataObject) -> None:
    n = data.draw(st.integers(3, 9))
    plan = make(n, data.draw(st.integers(1, 40)), ring_bits=data.draw(st.sampled_from([32, 64])))
    gone = data.draw(st.dictionaries(st.sampled_from(plan.clients), st.integers(0, 3)))
    if n - len(gone) < plan.need:
        with pytest.raises(ProtocolAbort, match="start again"):
            run(plan, gone)
        return
    server, _ = run(plan, gone, stored=data.draw(st.booleans()))
    assert set(server.survivors) == {c for c in plan.clients if gone.get(c, 9) > 2}
    assert exact(plan, server)
    values, weight = server.result()
    assert weight == sum(1 + int(c[1:]) % 10 for c in server.survivors)
    want = sum((1 + int(c[1:]) % 10) * numbers(plan)[c] for c in server.survivors)
    np.testing.assert_allclose(values, want, rtol=0, atol=n * plan.rounding + 1e-12)


def signed(n: int) -> tuple[Plan, dict[str, Ed25519PrivateKey]]:
    keys = {f"c{i}": Ed25519PrivateKey.generate() for i in range(n)}
    return make(n, identities={c: key.public_key().public_bytes_raw() for c, key in keys.items()}), keys


@pytest.mark.parametrize("at", range(5))
def test_consistency_round(at: int) -> None:
    plan, keys = signed(7)
    server, _ = run(plan, {"c3": at}, keys)
    assert exact(plan, server)
    assert ("c3" in server.survivors) == (at > 2)


def test_consistency_round_refuses_two_lists() -> None:
    plan, keys = signed(7)
    clients, server = parties(plan, keys)
    step(plan, clients, server, 3)
    ask = {c: m.write(plan, m.SURVIVORS, m.SERVER, indices(range(7))) for c in plan.clients}
    ask["c0"] = m.write(plan, m.SURVIVORS, m.SERVER, indices(range(6)))
    answers = {i: clients[c].answer(ask[c])[m.HEAD.size :] for i, c in enumerate(plan.clients)}
    given_to_c1 = m.write(plan, m.SIGNATURES, m.SERVER, m.listing(answers))
    with pytest.raises(ProtocolAbort, match="signature over the list of survivors of 'c0'"):
        clients["c1"].answer(given_to_c1)
    assert not clients["c1"].expects


def indices(of: Any) -> bytes:
    return b"".join(m.INDEX.pack(i) for i in of)


def step(plan: Plan, clients: Any, server: MaskServer, rounds: int) -> dict[str, bytes]:
    """Runs so many rounds without drop-outs; gives what the server sends next."""
    for name, client in clients.items():
        server.receive(name, client.advertise())
    outbox = server.advance()
    for _ in range(rounds - 1):
        for name, asked in outbox.items():
            vector = plan.encode(numbers(plan)[name]) if clients[name].needs_input else None
            server.receive(name, clients[name].answer(asked, vector))
        outbox = server.advance()
    return outbox


def test_sparse_graph() -> None:
    plan = make(40, degree=12, threshold=7)
    assert all(len(holders) == 13 and i in holders for i, holders in enumerate(plan.holders))
    assert all(i in plan.holders[j] for i in range(40) for j in plan.holders[i])
    server, _ = run(plan, {"c4": 2, "c9": 3, "c20": 1, "c31": 0})
    assert exact(plan, server)


def test_degree_of_the_graph() -> None:
    k, t = graph.degree(1000, corrupt=0.05, dropped=0.1)
    assert k % 2 == 0
    assert k / 2 < t <= k < 100
    with pytest.raises(ConfigError, match="leave degree out"):
        graph.degree(20, corrupt=0.4, dropped=0.4)


@pytest.mark.parametrize("n", [3, 8])
def test_view_of_the_server_is_uniform(n: int) -> None:
    """What one client sends as masked input: chi-square of its bytes, near that of random ones; nothing in clear."""
    plan = make(n, 40_000, threshold=n if n == 3 else None)
    _, seen = run(plan, {})
    values = numbers(plan)
    for name, where, message in seen:
        clear = plan.encode(values[name], 1 + int(name[1:]) % 10).tobytes()
        assert clear[:32] not in message
        assert values[name].tobytes()[:32] not in message
        if where == "masked input":
            body = np.frombuffer(message[m.HEAD.size :], np.uint8)
            counts = np.bincount(body, minlength=256)
            chi = ((counts - len(body) / 256) ** 2).sum() / (len(body) / 256)
            assert abs(chi - 255) < 7 * np.sqrt(2 * 255)
            both = np.corrcoef(np.frombuffer(body, "<i4")[:-1].astype(float), values[name])[0, 1]
            assert abs(both) < 7 / np.sqrt(plan.n_values)


def test_server_cannot_have_both_secrets() -> None:
    plan = make(5)
    clients, server = parties(plan)
    outbox = step(plan, clients, server, 3)
    reply = clients["c0"].answer(outbox["c0"])
    assert clients["c0"].answer(outbox["c0"]) == reply, "the same question has the same answer"
    other = m.write(plan, m.SURVIVORS, m.SERVER, indices(range(4)))
    with pytest.raises(ProtocolAbort, match="no more to say"):
        clients["c0"].answer(other)
    shown = m.entries(memoryview(reply)[m.HEAD.size :], 1 + shamir.SHARE_BYTES, "answer")
    assert all(share[0] == m.SELF_SEED for share in shown.values())


@pytest.mark.parametrize(
    ("survivors", "text"),
    [
        (range(3), "3 clients and 4 are needed"),
        ([1, 2, 3, 4], "leaves out 'c0'"),
        ([0, 1, 2, 3, 9], "client 9"),
        ([0, 1, 1, 2, 3], "twice or out of order"),
    ],
)
def test_client_refuses_lists(survivors: Any, text: str) -> None:
    plan = make(5)
    clients, server = parties(plan)
    step(plan, clients, server, 3)
    with pytest.raises(ProtocolAbort, match=text):
        clients["c0"].answer(m.write(plan, m.SURVIVORS, m.SERVER, indices(survivors)))
    with pytest.raises(ProtocolAbort, match="no more to say"):
        clients["c0"].answer(m.write(plan, m.SURVIVORS, m.SERVER, indices(range(5))))


@pytest.mark.parametrize("at", [-1, -20, -90])
def test_tampered_shares_on_the_way(at: int) -> None:
    plan = make(5)
    clients, server = parties(plan)
    box = bytearray(step(plan, clients, server, 2)["c0"])
    box[at] ^= 1
    with pytest.raises(ProtocolAbort):
        clients["c0"].answer(bytes(box), plan.encode(numbers(plan)["c0"]))


def test_wrong_share_for_unmasking() -> None:
    plan = make(5)
    clients, server = parties(plan)
    for name, asked in step(plan, clients, server, 3).items():
        answer = bytearray(clients[name].answer(asked))
        if name == "c1":
            answer[-1] ^= 1
        server.receive(name, bytes(answer))
    with pytest.raises(ProtocolAbort, match="'c4'"):
        server.advance()
    with pytest.raises(ProtocolAbort, match="not there before"):
        server.result()


def test_replays_and_duplicates() -> None:
    plan = make(5)
    clients, server = parties(plan)
    first = clients["c0"].advertise()
    server.receive("c0", first)
    with pytest.raises(ProtocolAbort, match="second message"):
        server.receive("c0", first)
    with pytest.raises(ProtocolAbort, match="another's name"):
        server.receive("c1", first)
    copied = m.write(plan, m.ADVERTISE, 1, first[m.HEAD.size :])
    with pytest.raises(ProtocolAbort, match="that another client has"):
        server.receive("c1", copied)
    other = MaskClient(make(5, session=b"another session!"), "c2").advertise()
    with pytest.raises(ProtocolAbort, match="another sum"):
        server.receive("c2", other)


def test_sum_of_weights_that_cannot_be() -> None:
    """A client whose vector is made up can make it 0, by which an average would be divided."""
    plan = make(4)
    clients, server = parties(plan)
    outbox = step(plan, clients, server, 2)
    for name, asked in outbox.items():
        vector = plan.encode(numbers(plan)[name], 1)
        if name == "c2":
            vector[-1:] -= np.array(4, plan.dtype)
        server.receive(name, clients[name].answer(asked, vector))
    for name, asked in server.advance().items():
        server.receive(name, clients[name].answer(asked))
    server.advance()
    with pytest.raises(ProtocolAbort, match="sum of the weights of 4 clients is 0"):
        server.result()


def test_a_state_taken_up_twice_seals_under_other_nonces() -> None:
    plan = make(4)
    clients, server = parties(plan)
    for name, client in clients.items():
        server.receive(name, client.advertise())
    stored, asked = clients["c0"].to_bytes(), server.advance()["c0"]
    sealed = [
        m.entries(
            memoryview(MaskClient.from_bytes(plan, stored).answer(asked))[m.HEAD.size + 32 :],
            m.SEALED_BYTES,
            "list",
        )
        for _ in range(2)
    ]
    for one, other in zip(sealed[0].values(), sealed[1].values(), strict=True):
        assert one[: m.NONCE_BYTES] != other[: m.NONCE_BYTES]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_changed_messages_are_refused_by_name_or_do_no_harm(data: st.DataObject) -> None:
    """Any change of any message: an error of ours, or a sum that is refused or exact."""
    keys = None
    if data.draw(st.booleans()):
        plan, keys = signed(4)
    else:
        plan = make(4)
    clients, server = parties(plan, keys)
    target = data.draw(st.integers(0, 8))
    outbox: dict[str, bytes] = dict.fromkeys(plan.clients, b"")
    count, harmed = 0, False

    def changed(message: bytes) -> bytes:
        raw = bytearray(message)
        kind = data.draw(st.sampled_from(["flip", "cut", "add", "head", "word"]))
        at = data.draw(st.integers(0, len(raw) - 1))
        if kind == "flip":
            raw[at] ^= 1 << data.draw(st.integers(0, 7))
        elif kind == "cut":
            del raw[at:]
        elif kind == "add":
            raw += data.draw(st.binary(min_size=1, max_size=90))
        elif kind == "head":
            raw[5] = data.draw(st.integers(0, 255))
        else:
            raw[at : at + 4] = data.draw(st.sampled_from([bytes(4), b"\xff" * 4, b"\1\0\0\0"]))
        return bytes(raw)

    try:
        while server.round_name:
            for name, asked in outbox.items():
                if count == target and name == "c1":
                    asked, harmed = (changed(asked) if asked else asked), True
                vector = plan.encode(numbers(plan)[name]) if clients[name].needs_input else None
                answer = clients[name].answer(asked, vector) if asked else clients[name].advertise()
                if count + 4 == target and name == "c1":
                    answer, harmed = changed(answer), server.round_name != "masked input"
                server.receive(name, answer)
            outbox = server.advance()
            count += 1
        server.result()
    except (ProtocolAbort, ConfigError):
        assert harmed or target >= 4


@pytest.mark.parametrize("cut", [0, 10, 46, 50, -1])
def test_wrong_lengths(cut: int) -> None:
    plan = make(5)
    clients, server = parties(plan)
    outbox = step(plan, clients, server, 2)
    masked = clients["c0"].answer(outbox["c0"], plan.encode(numbers(plan)["c0"]))
    with pytest.raises(ProtocolAbort, match="'c0' sent"):
        server.receive("c0", masked[:cut])
    server.receive("c0", masked)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 4.001, -5])
def test_numbers_out_of_range(value: float) -> None:
    values = np.zeros(20)
    values[3] = value
    with pytest.raises(ValueError, match=r"finite|go up to"):
        make().encode(values)
    if np.isfinite(value):
        assert abs(make().decode(make().encode(values, clip=True))[0][3]) == 4


@pytest.mark.parametrize("weight", [0, 11, -1, True, 1.5])
def test_weights_out_of_range(weight: Any) -> None:
    with pytest.raises(ValueError, match="weight is"):
        make().encode(np.zeros(20), weight)


@pytest.mark.parametrize("ring_bits", [32, 64])
def test_extremes_do_not_wrap(ring_bits: int) -> None:
    for n, magnitude, weight in ((3, 4.0, 1), (7, 0.3, 1000), (100, 1e5, 37)):
        plan = make(n, ring_bits=ring_bits, magnitude=magnitude, max_weight=weight)
        one = plan.encode(np.full(20, -magnitude), weight)
        total, weights = plan.decode((one * np.array(n, plan.dtype)).astype(plan.dtype))
        assert weights == n * weight
        np.testing.assert_allclose(
            total, -magnitude * n * weight, rtol=1e-5 if ring_bits == 32 else 1e-12, atol=n * plan.rounding
        )


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 2},
        {"threshold": 6},
        {"n": 3, "threshold": 2},
        {"n": 9, "degree": 2, "threshold": 2},
        {"ring_bits": 16},
        {"magnitude": 0},
        {"session": b"short"},
        {"degree": 3},
        {"max_weight": 1 << 30},
        {"n_values": 0},
        {"identities": {"c0": bytes(32)}},
    ],
)
def test_plans_that_are_refused(options: Any) -> None:
    with pytest.raises(ConfigError):
        make(**options)


def test_states_of_another_plan() -> None:
    plan, other = make(), make(session=b"another session!")
    with pytest.raises(CorruptData, match="another plan"):
        MaskClient.from_bytes(other, MaskClient(plan, "c0").to_bytes())
    with pytest.raises(CorruptData):
        MaskServer.from_bytes(plan, MaskServer(plan).to_bytes()[:-3])
    assert Plan.from_json(plan.to_json()).digest == plan.digest


@pytest.mark.slow
@pytest.mark.parametrize("ring_bits", [32, 64])
def test_hundred_clients_a_million_parameters(ring_bits: int) -> None:
    """10 % drop out: 5 after sharing keys, before their masked input, and 5 after it."""
    plan = make(100, 1_000_000, ring_bits=ring_bits)
    gone = {f"c{i}": 2 for i in range(0, 100, 20)} | {f"c{i}": 3 for i in range(7, 100, 20)}
    clients, server = parties(plan)
    random = np.random.default_rng(5)
    want = np.zeros(plan.n_words, plan.dtype)
    outbox = dict.fromkeys(plan.clients, b"")
    for count in range(4):
        for name, asked in outbox.items():
            if count >= gone.get(name, 99):
                continue
            vector = None
            if clients[name].needs_input:
                vector = plan.encode(random.uniform(-4, 4, plan.n_values))
                want += vector
            server.receive(name, clients[name].answer(asked, vector) if asked else clients[name].advertise())
        outbox = server.advance()
    assert len(server.survivors) == 95
    assert (server.words() == want).all()
