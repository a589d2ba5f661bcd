# SPDX-License-Identifier: Apache-2.0
"""The party that dials, and dials again: one connection for each session."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Any

from crypsis.errors import ChannelError, ProtocolAbort
from crypsis.mpc.transport.channel import ChannelOptions
from crypsis.mpc.transport.engine import Connection, Refused
from crypsis.mpc.transport.frames import Hello, Kind, abort_reason
from crypsis.mpc.transport.grpc_link import METHOD, SERVICE, first_frame, grpc, grpc_options, join
from crypsis.mpc.transport.hub import Hub
from crypsis.mpc.transport.session import FAREWELL_S, Session
from crypsis.mpc.transport.tls import Suspicion, TlsMaterial, diagnose

MAX_SUSPICIONS = 3
"""So often in a row a peer may hang up on our certificate until we believe that it does not accept it."""

_FIRST_BACKOFF_S = 0.05
_LAST_BACKOFF_S = 5.0
_HELD_S = 1.0  # a call that stood for this long was no empty attempt


class DialingHub(Hub):
    """Dials `host:port`, once for each session that is asked for."""

    def __init__(
        self, host: str, port: int, *, party: str, peer: str, tls: TlsMaterial | None, options: ChannelOptions
    ) -> None:
        super().__init__(party=party, peer=peer, where=join(host, port), options=options)
        self._host, self._port, self._tls = host, port, tls

    def _start(self, session: Session) -> None:
        dialer = GrpcDialer(session, self._host, self._port, self._tls)

        def end() -> None:
            dialer.end()
            self._forget(session)

        session.end = end
        dialer.start()

    def _release(self) -> None:
        """Nothing is held beyond the sessions."""


class GrpcDialer:
    """Dials `host:port` until `session` is over."""

    def __init__(self, session: Session, host: str, port: int, tls: TlsMaterial | None) -> None:
        self._session = session
        self._host, self._port, self._tls = host, port, tls
        self._over = threading.Event()
        self._call: Any = None
        self._suspicions = 0
        self._thread = threading.Thread(target=self._run, name=f"crypsis dial {session.peer}", daemon=True)

    def start(self) -> None:
        """Dial from now on, in a thread."""
        self._thread.start()

    def end(self) -> None:
        """The session is over; what is left of the connection goes within FAREWELL_S."""
        self._over.set()
        if self._thread.is_alive():
            # The farewell is on its way, and the listener ends the call after it.
            self._thread.join(FAREWELL_S)
        call = self._call
        if call is not None:
            call.cancel()

    def _run(self) -> None:
        backoff = _FIRST_BACKOFF_S
        while not self._session.over:
            connection = Connection()
            began = time.monotonic()
            reason = self._one_call(connection)
            self._session.detach(connection, reason)
            if connection.attached_at is not None or time.monotonic() - began > _HELD_S:
                backoff = _FIRST_BACKOFF_S
            # Jitter: a host that comes back is not met by everybody at once. [RFC 8085, 3.1.1 gives the
            # reason]
            self._over.wait(backoff * random.uniform(0.5, 1.0))  # noqa: S311
            backoff = min(backoff * 2, _LAST_BACKOFF_S)

    def _one_call(self, connection: Connection) -> str:
        """One connection from dial to loss; why it was lost."""
        session = self._session
        try:
            with self._open() as channel:
                method = channel.stream_stream(f"/{SERVICE}/{METHOD}")
                self._call = method(self._outgoing(connection))
                for packet in self._call:
                    if connection.attached_at is None:
                        refusal = self._greet(connection, packet)
                        if refusal:
                            return refusal
                    else:
                        session.on_packet(connection, packet)
                return "the peer ended the connection"
        except grpc.RpcError as error:
            return self._explain(error, connection)

    def _greet(self, connection: Connection, packet: bytes) -> str:
        """Take up the connection that begins with `packet`; why not, or ""."""
        session = self._session
        session.count_received(len(packet))
        try:
            hello = first_frame(packet)
            if isinstance(hello, Hello):
                session.attach(connection, hello)
                return ""
            reason = abort_reason(hello)
            if hello.kind == Kind.ABORT:
                session.fail(ChannelError(f"party {session.peer!r} at {session.where} refused us: {reason}"))
            return reason
        except (ProtocolAbort, Refused) as error:
            session.fail(ChannelError(f"party {session.peer!r} at {session.where} is not usable: {error}"))
            return "the peer is not usable"

    def _outgoing(self, connection: Connection) -> Iterator[bytes]:
        yield self._session.hello()
        while (packet := self._session.next_packet(connection)) is not None:
            yield packet

    def _open(self) -> Any:
        options = grpc_options(self._session.options)
        address = join(self._host, self._port)
        if self._tls is None:
            return grpc.insecure_channel(address, options=options)
        credentials = grpc.ssl_channel_credentials(self._tls.ca, self._tls.key, self._tls.certificate)
        # The certificate has to name the party, whatever host it runs on today.
        options.append(("grpc.ssl_target_name_override", self._session.peer))
        return grpc.secure_channel(address, credentials, options=options)

    def _explain(self, error: Any, connection: Connection) -> str:
        """One line on a failed call; ends the session where dialling again cannot help."""
        session = self._session
        details = " ".join(str(error.details() or error.code().name).split())
        if error.code() == grpc.StatusCode.UNIMPLEMENTED:
            session.fail(
                ChannelError(f"{session.where} serves gRPC, but is no crypsis party; check the address")
            )
        elif self._tls is not None and connection.attached_at is None and "refused" not in details.lower():
            problem = diagnose(self._host, self._port, self._tls, session.peer)
            self._suspicions = self._suspicions + 1 if isinstance(problem, Suspicion) else 0
            if problem is not None:
                if not isinstance(problem, Suspicion) or self._suspicions >= MAX_SUSPICIONS:
                    session.fail(ChannelError(str(problem)))
                return str(problem)
        return details[-200:]
