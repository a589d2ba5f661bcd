# SPDX-License-Identifier: Apache-2.0
"""What parties agree on, and how numbers and ciphertexts travel between them."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
from tests.homomorphic_keys import okamoto_uchiyama_2048
from tests.learning.parties import OU, PAILLIER, run, run_two

from crypsis.errors import ConfigError, DataError, ProtocolAbort
from crypsis.mpc.learning import CipherOptions, Frame, Session
from crypsis.mpc.learning.session import CIPHERS, NUMBERS
from crypsis.mpc.transport import memory_pair


def frame(ids, rows=None):
    return Frame.from_numpy(np.zeros((len(ids) if rows is None else rows, 1)), ids=ids)


def test_what_differs_is_named_at_both_sides():
    def party(epochs):
        return lambda session: session.agree("lr", {"epochs": epochs, "batch": 64})

    results = run(party(3), {"host": party(4)})
    assert re.search(r"disagree on 'epochs': 3 here, 4 at host", str(results["guest"]))
    assert re.search(r"disagree on 'epochs': 4 here, 3 at guest", str(results["host"]))
    assert all(isinstance(error, ConfigError) for error in results.values())


def test_numbers_that_are_the_same_but_for_how_they_are_written():
    first, other = (
        {"rate": 1, "rules": [0.0, 2.5, {"limit": 4}]},
        {"rate": 1.0, "rules": (0, 2.5, {"limit": 4.0})},
    )
    run_two(lambda session: session.agree("lr", first), lambda session: session.agree("lr", other))
    results = run(
        lambda session: session.agree("lr", {"a": True}),
        {"host": lambda session: session.agree("lr", {"a": None})},
    )
    assert all(isinstance(error, ConfigError) for error in results.values())


def test_another_scheme_or_key_size_is_named():
    def agree(session):
        session.agree("lr", {})

    results = run(agree, {"host": agree}, cipher=OU, host_cipher=PAILLIER)
    assert "'cipher.scheme': 'okamoto-uchiyama' here, 'paillier' at host" in str(results["guest"])
    results = run(
        agree,
        {"host": agree},
        cipher=OU,
        host_cipher=CipherOptions(scheme="okamoto-uchiyama", key_bits=3072),
    )
    assert "'cipher.key_bits': 3072 here, 2048 at guest" in str(results["host"])


def test_two_guests():
    left, right = memory_pair("a", "b")
    sessions = [Session("guest", left), Session("guest", right)]
    import threading

    errors = []

    def one(session):
        try:
            session.agree("lr", {})
        except ConfigError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=one, args=(s,)) for s in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert len(errors) == 2
    assert "both guest" in errors[0]


@pytest.mark.parametrize(
    ("theirs", "message"),
    [
        (["a", "b", "d"], "are not the same: intersect"),
        (["a", "c", "b"], "the same in another order: sort"),
        (["a", "b"], "3 rows here, 2 at host"),
        (None, "named here only"),
    ],
)
def test_ids_that_do_not_line_up(theirs, message):
    other = frame(theirs) if theirs is not None else frame([1, 2, 3])
    if theirs is None:
        other = Frame(other.names, other.values)
    results = run(
        lambda session: session.check_ids(frame(["a", "b", "c"])),
        {"host": lambda session: session.check_ids(other)},
    )
    assert all(isinstance(error, DataError) for error in results.values()), results
    assert message in str(results["guest"])


@pytest.mark.parametrize("ids", [["x", "y"], [5, 3], []])
def test_ids_that_line_up_and_digests_that_are_fresh(ids):
    recorded = {}
    for _ in range(2):
        seen = {}
        run_two(
            lambda session: session.check_ids(frame(ids)),
            lambda session: session.check_ids(frame(ids)),
            recorded=seen,
        )
        recorded.setdefault("digests", []).append(seen["guest"][0].sent[0][1])
    assert recorded["digests"][0] != recorded["digests"][1]


@pytest.mark.parametrize("salt", ["\ud800" * 32, "AB" * 16, 5])
def test_a_salt_that_is_none(salt):
    def host(session):
        session.tell(session.peer, "ids", rows=2, named=True, salt=salt)
        session.hear(session.peer, "ids")
        session.hear(session.peer, "digests")

    results = run(lambda session: session.check_ids(frame(["x", "y"])), {"host": host})
    assert isinstance(results["guest"], ProtocolAbort)
    assert "host sent no salt" in str(results["guest"])


def test_ids_of_other_types_differ():
    results = run(
        lambda session: session.check_ids(frame([1, 2])),
        {"host": lambda session: session.check_ids(frame(["1", "2"]))},
    )
    assert "not the same" in str(results["guest"])


@pytest.mark.parametrize("cipher", [OU, PAILLIER])
def test_keys_and_ciphertexts_travel(cipher):
    values = np.arange(-30, 30).reshape(20, 3)

    def guest(session):
        session.send_key("host")
        session.send_ciphertexts("host", session.own_key.encrypt(values))
        doubled = session.receive_ciphertexts("host", session.own_key.public_key, (20, 3))
        return session.own_key.decrypt(doubled)

    def host(session):
        key = session.receive_key("guest")
        assert session.peer_key() is key
        array = session.receive_ciphertexts("guest", key, (20, 3))
        session.send_ciphertexts("guest", (array * 2).rerandomize(full=True))

    decrypted, _ = run_two(guest, host, cipher=cipher)
    assert (decrypted == 2 * values).all()


def test_blocks_cover_every_shape(monkeypatch):
    from crypsis.mpc.learning import ciphers

    monkeypatch.setattr(ciphers, "MESSAGE_BYTES", 1000)
    values = np.arange(13)

    def guest(session):
        session.send_key("host")
        session.send_ciphertexts("host", session.own_key.encrypt(values))
        session.send_ciphertexts("host", session.own_key.encrypt(values[:0]))

    def host(session):
        key = session.receive_key("guest")
        parts = [part for part, _ in session.received_blocks("guest", key, (13,))]
        assert session.receive_ciphertexts("guest", key, (0,)).shape == (0,)
        return parts

    _, parts = run_two(guest, host)
    assert [part.stop - part.start for part in parts] == [3, 3, 3, 3, 1]


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (lambda key: key.encrypt([1, 2]), r"shape \(2,\) where \(3,\) were due"),
        (lambda key: key.encrypt([1.5, 2.5, 3.5]), "exponents where 0 was due"),
    ],
)
def test_other_ciphertexts_are_refused(sent, message):
    def guest(session):
        session.send_key("host")
        session.send_ciphertexts("host", sent(session.own_key))

    def host(session):
        return session.receive_ciphertexts("guest", session.receive_key("guest"), (3,))

    error = run(guest, {"host": host})["host"]
    assert isinstance(error, ProtocolAbort)
    assert re.search(message, str(error))
    assert "guest" in str(error)


def test_garbage_instead_of_keys_ciphertexts_and_numbers():
    def guest(session):
        channel = session.channel()
        channel.send(1, b"no key")
        channel.send(CIPHERS, b"no ciphertext")
        channel.send(NUMBERS, b"12345")

    def host(session):
        told = []
        for attempt in (
            lambda: session.receive_key("guest"),
            lambda: session.receive_ciphertexts("guest", okamoto_uchiyama_2048().public_key, (1,)),
            lambda: session.receive_array("guest", np.uint64, (2,)),
        ):
            with pytest.raises(ProtocolAbort, match="guest") as caught:
                attempt()
            told.append(str(caught.value))
        return told

    _, told = run_two(guest, host)
    assert "5 bytes of numbers where 16 were due" in told[2]


def test_a_key_of_another_size_is_refused():
    def guest(session):
        session.channel().send(1, okamoto_uchiyama_2048().public_key.to_bytes())

    error = run(
        guest,
        {"host": lambda session: session.receive_key("guest")},
        host_cipher=CipherOptions(key_bits=3072),
    )["host"]
    assert "2048 bits where 3072 were agreed" in str(error)


@pytest.mark.parametrize("shape", [(0,), (5,), (3, 2), (1 << 20, 2)])
def test_arrays_travel(shape):
    rng = np.random.default_rng(3)
    values = rng.integers(0, 2**64, shape, dtype=np.uint64)

    def host(session):
        return session.receive_array("guest", np.uint64, shape)

    _, received = run_two(lambda session: session.send_array("host", values), host)
    assert (received == values).all()


def test_unblinded_ciphertexts_are_not_sent():
    def guest(session):
        session.send_ciphertexts("host", session.own_key.encrypt([1]) * 2)

    error = run(guest, {"host": lambda session: session.channel().recv(CIPHERS)})["guest"]
    assert isinstance(error, TypeError)
    assert "rerandomize" in str(error)


def test_a_failure_is_told_without_its_text():
    def guest(session):
        with session.ending_together():
            raise ValueError("row 7 is 12345.67")

    results = run(guest, {"host": lambda session: session.hear("guest", "x")})
    assert "12345" not in str(results["host"])
    assert "ValueError" in str(results["host"])


def test_sessions_of_the_wrong_form():
    left, _ = memory_pair("a", "b")
    with pytest.raises(ConfigError, match="guest"):
        Session("boss", left)
    with pytest.raises(ConfigError, match="0 channels"):
        Session("guest", {})
    with pytest.raises(ConfigError, match="a host has one"):
        Session("host", {"b": left, "c": left})
    with pytest.raises(ValueError, match="leads to 'b'"):
        Session("guest", {"c": left})
    for bits in (1024, 8192, 2048.0):
        with pytest.raises(ConfigError, match="key_bits"):
            CipherOptions(key_bits=bits)
    with pytest.raises(ConfigError, match="scheme"):
        CipherOptions(scheme="elgamal")


def test_the_meter_counts_kinds_once(monkeypatch):
    left, _ = memory_pair("a", "b")
    now = 0.0
    monkeypatch.setattr("crypsis.mpc.learning.meter.time", SimpleNamespace(perf_counter=lambda: now))
    meter = Session("guest", left).meter
    with meter("wait"):
        now += 2
        with meter("he"):
            now += 5
        now += 1
    now += 4
    told = meter.seconds()
    assert {kind: told[kind] for kind in ("he", "wait", "native", "python", "total")} == {
        "he": 5,
        "wait": 3,
        "native": 0,
        "python": 4,
        "total": 12,
    }
    with meter("he"), pytest.raises(ValueError, match="inside of 'he'"):
        meter.restart()
    meter.restart()
    assert meter.seconds()["he"] == 0
    with pytest.raises(ValueError, match="kind"), meter("gpu"):
        pass
