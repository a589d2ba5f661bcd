# SPDX-License-Identifier: Apache-2.0
"""Certificates, keys, addresses: what is refused, how quickly, and with which words."""

from __future__ import annotations

import datetime
import os
import shutil
import socket
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from crypsis.errors import ChannelError, ConfigError
from crypsis.mpc.transport import TlsFiles, connect, listen, open_channel
from crypsis.mpc.transport import tls as tls_module
from crypsis.mpc.transport.certs import create_ca, issue, make_development_certificates, party_files
from crypsis.mpc.transport.tls import load_tls

from .conftest import spawn

CERTS = dict[str, TlsFiles]


def dial_wrongly(listener_tls: TlsFiles | None, dialer_tls: TlsFiles | None, *, peer: str = "alice") -> str:
    """The dialler's error; then the right bob must still be served."""
    listener = listen(
        "127.0.0.1:0", party="alice", peer="bob", tls=listener_tls, insecure=listener_tls is None, patience=60
    )
    accepted = spawn(listener.accept)
    with pytest.raises(ChannelError) as caught:
        connect(
            f"127.0.0.1:{listener.port}",
            party="bob",
            peer=peer,
            tls=dialer_tls,
            insecure=dialer_tls is None,
            patience=60,
        )
    assert not accepted.done()
    if listener_tls is not None:
        right = party_files(Path(listener_tls.ca).parent, "bob")
        bob = connect(f"127.0.0.1:{listener.port}", party="bob", peer="alice", tls=right, patience=60)
        bob.send(0, b"me")
        assert accepted.result(60).recv(0) == b"me"
        bob.abort("done")
    listener.close()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_dialler_of_another_authority(certificates: CERTS, tmp_path: Path) -> None:
    other = make_development_certificates(tmp_path, ["alice", "bob"])
    assert "the certificate of party 'alice'" in dial_wrongly(certificates["alice"], other["bob"])


def test_a_dialler_whose_certificate_the_listener_rejects(certificates: CERTS, tmp_path: Path) -> None:
    make_development_certificates(tmp_path, ["alice", "bob"])
    # It trusts both authorities, so only the listener objects.
    both = tmp_path / "both.crt"
    both.write_bytes((tmp_path / "ca.crt").read_bytes() + certificates["alice"].ca.read_bytes())
    files = replace(party_files(tmp_path, "bob"), ca=both)
    message = dial_wrongly(certificates["alice"], files)
    assert "hangs up when it sees our certificate" in message
    assert "from the same authority" in message


def test_a_listener_that_is_somebody_else(certificates: CERTS) -> None:
    listener = listen("127.0.0.1:0", party="mallory", peer="bob", tls=certificates["mallory"], patience=60)
    with pytest.raises(
        ChannelError, match=r"the certificate of party 'alice' at .* is not accepted: .*alice"
    ):
        connect(f"127.0.0.1:{listener.port}", party="bob", peer="alice", tls=certificates["bob"], patience=60)
    listener.close()


def test_a_dialler_that_is_somebody_else(certificates: CERTS) -> None:
    listener = listen("127.0.0.1:0", party="alice", peer="bob", tls=certificates["alice"], patience=60)
    accepted = spawn(listener.accept)
    address = f"127.0.0.1:{listener.port}"
    with pytest.raises(ChannelError, match="the caller's certificate does not name party 'bob'"):
        connect(address, party="mallory", peer="alice", tls=certificates["mallory"], patience=60)
    bob = connect(address, party="bob", peer="alice", tls=certificates["bob"], patience=60)
    alice = accepted.result(60)
    bob.abort("done")
    alice.abort("done")


def test_expired_and_foreign_files_are_found_before_anybody_is_called(
    tmp_path: Path, certificates: CERTS
) -> None:
    create_ca(tmp_path)
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=9)
    expired = issue(tmp_path, "bob", days=1, start=past)
    with pytest.raises(ConfigError, match=r"will not be accepted for party 'bob': certificate has expired"):
        load_tls(expired, "bob")
    with pytest.raises(ConfigError, match=r"will not be accepted for party 'carol': .*carol"):
        load_tls(certificates["bob"], "carol")
    with pytest.raises(ConfigError, match="will not be accepted for party 'bob'"):
        load_tls(replace(certificates["bob"], ca=tmp_path / "ca.crt"), "bob")
    with pytest.raises(ConfigError, match="cannot be used together"):
        load_tls(replace(certificates["bob"], key=certificates["alice"].key), "bob")


def test_an_expired_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The listener has looked at its certificate, and then the certificate expired."""
    create_ca(tmp_path)
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=9)
    listener_tls = issue(tmp_path, "alice", days=1, start=past)
    bob = issue(tmp_path, "bob")
    with monkeypatch.context() as patch:
        patch.setattr(tls_module, "_greet_self", lambda *_: None)
        listener = listen("127.0.0.1:0", party="alice", peer="bob", tls=listener_tls, patience=60)
    with pytest.raises(
        ChannelError, match=r"certificate of party 'alice' .* is not accepted: certificate has expired"
    ):
        connect(f"127.0.0.1:{listener.port}", party="bob", peer="alice", tls=bob, patience=60)
    listener.close()


def test_plain_text_against_tls_and_the_reverse(certificates: CERTS) -> None:
    assert "does not speak TLS" in dial_wrongly(None, certificates["bob"])
    listener = listen("127.0.0.1:0", party="alice", peer="bob", tls=certificates["alice"], patience=60)
    with pytest.raises(ChannelError, match="has been away"):
        connect(f"127.0.0.1:{listener.port}", party="bob", peer="alice", insecure=True, patience=1)
    listener.close()


def test_insecure_works_when_both_say_so() -> None:
    listener = listen("127.0.0.1:0", party="alice", peer="bob", insecure=True)
    accepted = spawn(listener.accept)
    bob = open_channel(party="bob", peer="alice", connect=f"localhost:{listener.port}", insecure=True)
    bob.send(0, b"plain")
    assert accepted.result(60).recv(0) == b"plain"
    bob.abort("done")
    listener.close()


def test_names_that_differ_are_told_to_both_sides() -> None:
    listener = listen("127.0.0.1:0", party="alice", peer="carol", insecure=True, patience=60)
    accepted = spawn(listener.accept)
    text = "names differ: party 'bob' expects to talk to 'alice', party 'alice' expects 'carol'"
    with pytest.raises(ChannelError, match=text):
        connect(f"127.0.0.1:{listener.port}", party="bob", peer="alice", insecure=True, patience=60)
    with pytest.raises(ChannelError, match=text):
        accepted.result(60)


def test_missing_and_unreadable_files(certificates: CERTS, tmp_path: Path) -> None:
    bob = certificates["bob"]
    for field, what in (("ca", "CA certificate"), ("certificate", "certificate"), ("key", "private key")):
        with pytest.raises(ConfigError, match=rf"{what} .*absent.* cannot be read .*crypsis certs"):
            load_tls(replace(bob, **{field: tmp_path / "absent"}), "bob")
    garbage = tmp_path / "garbage"
    garbage.write_text("no PEM")
    with pytest.raises(ConfigError, match="is not a PEM certificate"):
        load_tls(replace(bob, ca=garbage), "bob")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o700])
def test_a_key_that_others_may_read(certificates: CERTS, tmp_path: Path, mode: int) -> None:
    key = tmp_path / "bob.key"
    shutil.copy(certificates["bob"].key, key)
    key.chmod(mode)
    with pytest.raises(ConfigError, match=rf"has mode {mode:04o}: run `chmod 600 .*bob.key`"):
        load_tls(replace(certificates["bob"], key=key), "bob")
    key.chmod(0o400)
    load_tls(replace(certificates["bob"], key=key), "bob")


def test_a_port_in_use(certificates: CERTS) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for arguments in ({"insecure": True}, {"tls": certificates["alice"]}):
            with pytest.raises(
                ChannelError, match=rf"cannot listen on 127.0.0.1:{port}: Address already in use"
            ):
                listen(f"127.0.0.1:{port}", party="alice", peer="bob", **arguments)  # type: ignore[arg-type]
    first = listen("127.0.0.1:0", party="alice", peer="bob", insecure=True)
    with pytest.raises(ChannelError, match="Address already in use"):
        listen(f"127.0.0.1:{first.port}", party="alice", peer="bob", insecure=True)
    first.close()


def test_configurations_that_cannot_be() -> None:
    def attempt(**changed: object) -> None:
        open_channel(**{"party": "alice", "peer": "bob", "insecure": True, **changed})  # type: ignore[arg-type]

    with pytest.raises(ConfigError, match="--insecure") as caught:
        attempt(listen="127.0.0.1:1", insecure=False)
    assert "crypsis certs" in str(caught.value)
    for both in ({}, {"listen": "a:1", "connect": "a:1"}):
        with pytest.raises(ConfigError, match="exactly one of listen and connect"):
            attempt(**both)
    for address in ("here", ":1", "a:", "a:b", "::1:5", "a:-1", "a:٣"):
        with pytest.raises(ConfigError, match="is not of the form host:port"):
            attempt(connect=address)
    for address in ("a:0", "a:65536"):
        with pytest.raises(ConfigError, match="is outside 1 to 65535"):
            attempt(connect=address)
    with pytest.raises(ConfigError, match="a name of its own"):
        attempt(connect="a:1", peer="Alice")
    with pytest.raises(ConfigError, match="is not usable"):
        attempt(connect="a:1", peer="b b")


def test_development_certificates(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "certs"
    made = make_development_certificates(folder, ["alice", "bob"], days=2)
    assert made == {name: party_files(folder, name) for name in ("alice", "bob")}
    assert sorted(os.listdir(folder)) == ["alice.crt", "alice.key", "bob.crt", "bob.key", "ca.crt", "ca.key"]
    for name in ("ca", "alice", "bob"):
        assert stat.S_IMODE((folder / f"{name}.key").stat().st_mode) == 0o600
    before = (folder / "alice.key").read_bytes()
    with pytest.raises(ConfigError, match=r"ca\.crt exists already"):
        make_development_certificates(folder, ["alice"])
    assert (folder / "alice.key").read_bytes() == before
    make_development_certificates(folder, ["alice"], overwrite=True)
    assert (folder / "alice.key").read_bytes() != before
    for names, message in (
        (["a", "A"], "must differ"),
        (["ca"], "must differ"),
        ([], "no party"),
        (["a/b"], "usable"),
    ):
        with pytest.raises(ValueError, match=message):
            make_development_certificates(tmp_path / "none", names)
    assert not (tmp_path / "none").exists()
    with pytest.raises(ConfigError, match="no development authority"):
        issue(tmp_path, "alice")
    with pytest.raises(ConfigError, match="cannot be written"):
        create_ca(made["alice"].ca / "below")
