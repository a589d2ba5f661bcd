# SPDX-License-Identifier: Apache-2.0
"""Mutual TLS: the three files of a party, checked before they are used, and why a handshake failed.

gRPC says little about a failed handshake. The standard library's ssl module says what is wrong, so a party
first greets itself in memory with its own files, and later asks the peer once more when gRPC could not
connect.
"""

from __future__ import annotations

import os
import socket
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

from crypsis.errors import ChannelError, ConfigError


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files: the authority both parties trust, this party's certificate (chain), and its private
    key."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """Contents of `TlsFiles`, checked; `files` stay for the ssl module, which reads paths only."""

    files: TlsFiles
    ca: bytes
    certificate: bytes
    key: bytes


def load_tls(files: TlsFiles, party: str) -> TlsMaterial:
    """Read and check the files: present, key private, key and certificate match, valid now, naming `party`.

    Raises ConfigError with the remedy.
    """
    contents = [
        _read(path, what)
        for path, what in (
            (files.ca, "CA certificate"),
            (files.certificate, "certificate"),
            (files.key, "private key"),
        )
    ]
    mode = stat.S_IMODE(os.stat(files.key).st_mode)
    if mode & 0o177:
        raise ConfigError(f"private key {files.key} has mode {mode:04o}: run `chmod 600 {files.key}`")
    _greet_self(files, party)
    return TlsMaterial(files, *contents)


def _read(path: Path, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{what} {path} cannot be read ({error.strerror}); `crypsis certs` makes development certificates"
        ) from None


def _contexts(files: TlsFiles) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.verify_mode = ssl.CERT_REQUIRED
    for context in (client, server):
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_verify_locations(cafile=str(files.ca))
        except ssl.SSLError as error:
            raise ConfigError(f"{files.ca} is not a PEM certificate ({_reason(error)})") from None
        try:
            # The empty password turns OpenSSL's prompt for an encrypted key into an error.
            context.load_cert_chain(str(files.certificate), str(files.key), password="")
        except ssl.SSLError as error:
            raise ConfigError(
                f"certificate {files.certificate} and private key {files.key} cannot be used together"
                f" ({_reason(error)}); they must be a matching pair in PEM, the key unencrypted"
            ) from None
    return client, server


def _greet_self(files: TlsFiles, party: str) -> None:
    client_context, server_context = _contexts(files)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname=party)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, server]
    try:
        # TLS 1.3 takes two turns each and TLS 1.2 three; the bound only guards against a surprise.
        for _ in range(8):
            for side in list(waiting):
                try:
                    side.do_handshake()
                    waiting.remove(side)
                except ssl.SSLWantReadError:
                    pass
    except ssl.SSLError as error:
        raise ConfigError(
            f"certificate {files.certificate} will not be accepted for party {party!r}: {_reason(error)}"
            f" (checked against {files.ca}); issue a new one, for development with `crypsis certs`"
        ) from None


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message.rstrip(".")
    return (error.reason or str(error)).lower().replace("_", " ")


class Suspicion(ChannelError):
    """Looks like a certificate that is not accepted, but may be a peer that ended at this very moment."""


def diagnose(
    host: str, port: int, material: TlsMaterial, peer: str, *, timeout_s: float = 5.0
) -> ChannelError | None:
    """Ask `host:port` for a TLS handshake; the error if one of the parties' certificates is not accepted.

    None when the handshake works or fails for a reason that may pass (refused, reset, silent).
    """
    context, _ = _contexts(material.files)
    context.set_alpn_protocols(["h2"])
    where = f"party {peer!r} at {host}:{port}"
    remedy = "both parties need certificates from the same authority, each with its own party's name"
    try:
        with (
            socket.create_connection((host, port), timeout=timeout_s) as plain,
            context.wrap_socket(plain, server_hostname=peer) as connection,
        ):
            # In TLS 1.3 the server judges our certificate after our handshake is done: what we read is its
            # verdict, or the first HTTP/2 frame. gRPC's server gives no verdict, it hangs up.
            if not connection.recv(1):
                return Suspicion(
                    f"{where} hangs up when it sees our certificate {material.files.certificate}; {remedy}"
                )
    except ssl.SSLCertVerificationError as error:
        return ChannelError(f"the certificate of {where} is not accepted: {_reason(error)}; {remedy}")
    except ssl.SSLEOFError:
        pass
    except ssl.SSLError as error:
        reason = _reason(error)
        if "alert" in reason:
            return ChannelError(
                f"{where} does not accept our certificate {material.files.certificate}: {reason}; {remedy}"
            )
        if "wrong version number" in reason or "record layer" in reason:
            return ChannelError(
                f"{where} does not speak TLS ({reason}); start both parties with --insecure or neither"
            )
    except OSError:
        pass
    return None
