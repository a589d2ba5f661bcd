# SPDX-License-Identifier: Apache-2.0
"""The party that listens: one port, any number of calls, each of them taken to its session."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

from crypsis.errors import ChannelError, ProtocolAbort
from crypsis.mpc.transport.channel import Channel, ChannelOptions
from crypsis.mpc.transport.engine import Connection, Refused
from crypsis.mpc.transport.frames import Hello, VersionMismatch, pack_abort, pack_later
from crypsis.mpc.transport.grpc_link import METHOD, SERVICE, first_frame, grpc, grpc_options, join
from crypsis.mpc.transport.hub import MAX_SESSIONS, Hub, NotYet
from crypsis.mpc.transport.session import FAREWELL_S, Session
from crypsis.mpc.transport.tls import TlsMaterial

_log = logging.getLogger("crypsis.transport")

HELLO_TIMEOUT_S = 30.0
"""A caller that has not said hello by then is a stranger and is sent away."""

MAX_STRANGERS = 15
"""Calls served at one time beyond one for each session: strangers, until they are sent away."""


class _DaemonExecutor(futures.Executor):
    """A thread a call. Not ThreadPoolExecutor: its threads keep the interpreter alive when a channel was not
    closed."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        future: futures.Future[Any] = futures.Future()

        def run() -> None:
            try:
                future.set_result(function(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=run, name="crypsis call", daemon=True).start()
        return future


class ListeningHub(Hub):
    """Waits at `host:port` for one peer. `port` is the one bound (0 asks the system for a free one)."""

    port: int

    def __init__(
        self,
        host: str,
        port: int,
        *,
        party: str,
        peer: str,
        tls: TlsMaterial | None,
        options: ChannelOptions,
        limit: int = MAX_SESSIONS,
    ) -> None:
        where = f"calling {join(host, port)}"
        super().__init__(party=party, peer=peer, where=where, options=options, limit=limit)
        self._authenticate = tls is not None
        self._server = grpc.server(
            _DaemonExecutor(),
            options=grpc_options(options),
            maximum_concurrent_rpcs=MAX_STRANGERS + limit,
        )
        handler = grpc.stream_stream_rpc_method_handler(self._serve)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),)
        )
        self.port = self._bind(host, port, tls)
        self._server.start()

    def _bind(self, host: str, port: int, tls: TlsMaterial | None) -> int:
        address = join(host, port)
        try:
            if tls is None:
                bound = self._server.add_insecure_port(address)
            else:
                credentials = grpc.ssl_server_credentials(
                    [(tls.key, tls.certificate)], root_certificates=tls.ca, require_client_auth=True
                )
                bound = self._server.add_secure_port(address, credentials)
        except RuntimeError:
            bound = 0
        if not bound:
            raise ChannelError(f"cannot listen on {address}: {_bind_problem(host, port)}")
        return int(bound)

    def only_session(self) -> Session:
        """Session 0 of a hub that has no other: open from now on, and the port is given up when it ends."""
        session, _ = self._take(0)

        def end() -> None:
            self._forget(session)
            self._release()

        session.end = end
        return session

    def _start(self, session: Session) -> None:
        """Nothing to do: the peer calls, and finds the session by its number."""

    def _release(self) -> None:
        self._server.stop(FAREWELL_S).wait()

    def _serve(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """One call, from the peer or from a stranger; runs in a thread of its own."""
        connection = Connection()
        hello_timer = threading.Timer(HELLO_TIMEOUT_S, context.cancel)
        hello_timer.daemon = True
        hello_timer.start()
        try:
            answer, session = self._greet(requests, context, connection)
        except Exception as error:  # gRPC raises a bare Exception when a call is cancelled
            _log.info("a call from %s ended before its hello: %s", context.peer(), error)
            return
        finally:
            hello_timer.cancel()
        yield answer
        if session is None:
            return
        lost = "the connection was lost"
        if not context.add_callback(lambda: session.detach(connection, lost)):
            session.detach(connection, lost)
        threading.Thread(
            target=_read,
            args=(session, requests, connection),
            name=f"crypsis from {self.peer}",
            daemon=True,
        ).start()
        while (packet := session.next_packet(connection)) is not None:
            yield packet

    def _greet(
        self, requests: Iterator[bytes], context: Any, connection: Connection
    ) -> tuple[bytes, Session | None]:
        """(our answer to the first packet, the session if the caller is the peer and it is open here)."""
        try:
            if self._authenticate and not _names_party(context.auth_context(), self.peer):
                raise Refused(f"the caller's certificate does not name party {self.peer!r}")
            packet = next(requests)
            hello = first_frame(packet)
            if not isinstance(hello, Hello):
                raise ProtocolAbort("the caller sent an abort instead of a hello")
            session = self._find(hello)
            if not context.is_active():  # it gave up while it was held, and may be back already
                raise NotYet("the caller has gone")
            session.count_received(len(packet))
            session.attach(connection, hello)
            return session.hello(), session
        except NotYet as later:
            return pack_later(str(later)), None
        except VersionMismatch as error:
            self._fail_unmet(ChannelError(str(error)))
            refusal = str(error)
        except (Refused, ProtocolAbort) as error:
            refusal = str(error)
        _log.warning("refused a call from %s: %s", context.peer(), refusal)
        return pack_abort(refusal), None


def _read(session: Session, requests: Iterator[bytes], connection: Connection) -> None:
    reason = "the peer ended the connection"
    try:
        for packet in requests:
            session.on_packet(connection, packet)
    except Exception:  # gRPC raises a bare Exception when a call is cancelled
        reason = "the connection was lost"
    # After a failure the writer still has the reason to tell; the end of the call detaches then.
    if session.failure is None:
        session.detach(connection, reason)


class GrpcListener:
    """Waits at `host:port` for one peer and one session, number 0. `port` is the one bound."""

    def __init__(
        self, host: str, port: int, *, party: str, peer: str, tls: TlsMaterial | None, options: ChannelOptions
    ) -> None:
        self._hub = ListeningHub(host, port, party=party, peer=peer, tls=tls, options=options, limit=1)
        self.port = self._hub.port
        self._session = self._hub.only_session()

    def accept(self) -> Channel:
        """Wait for the peer; ChannelError after the patience of the options. Then the listener serves the
        channel."""
        try:
            self._session.wait_connected()
        except BaseException:
            self._session.abort("the job ended before it began")
            raise
        return self._session

    def close(self) -> None:
        """Give up listening; a channel that was accepted is aborted unless it is closed already."""
        self._session.abort("the listener was closed")


def _names_party(auth: dict[str, list[bytes]], party: str) -> bool:
    """Whether the verified certificate behind `auth` names `party`: a subject alternative name, or none and
    the CN."""
    names = auth.get("x509_subject_alternative_name") or auth.get("x509_common_name") or []
    return party.lower().encode() in (name.lower() for name in names)


def _bind_problem(host: str, port: int) -> str:
    """Why the system does not let us listen; gRPC does not say."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        return f"{error.strerror}; choose another port or address"
    return "gRPC could not bind it; choose another port or address"
