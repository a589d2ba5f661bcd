# SPDX-License-Identifier: Apache-2.0
"""Connections over gRPC: one bidirectional-streaming method, bytes in and bytes out, mutual TLS.

One party listens, the other one dials and dials again. Each connection is one call of one method; the session
above lives through any number of them. See frames.py for why there is no protobuf here.

gRPC and fork do not mix: open channels in the process that uses them, and start workers with "spawn".
"""

from __future__ import annotations

import logging
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

# gRPC's C++ core writes multi-line reports of every refused connection to stderr; what matters of them is in
# our own messages. It reads this variable when it is first used, and a value that the user has set is kept.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc

from crypsis.errors import ChannelError, ProtocolAbort
from crypsis.mpc.transport.channel import Channel, ChannelOptions
from crypsis.mpc.transport.engine import Connection, Refused
from crypsis.mpc.transport.frames import (
    MAX_PACKET_BYTES,
    Hello,
    Kind,
    VersionMismatch,
    abort_reason,
    pack_abort,
    unpack,
    unpack_hello,
)
from crypsis.mpc.transport.session import ABORT_LINGER_S, Session
from crypsis.mpc.transport.tls import Suspicion, TlsMaterial, diagnose

_log = logging.getLogger("crypsis.transport")

SERVICE = "crypsis.Transport"
METHOD = "Exchange"
HELLO_TIMEOUT_S = 30.0
"""A caller that has not said hello by then is a stranger and is sent away."""

MAX_CALLS = 16
"""Calls served at one time: the peer's, and strangers until they are sent away."""

MAX_SUSPICIONS = 3
"""So often in a row a peer may hang up on our certificate until we believe that it does not accept it."""

_FIRST_BACKOFF_S = 0.05
_LAST_BACKOFF_S = 5.0


def _grpc_options(options: ChannelOptions) -> list[tuple[str, int | str]]:
    return [
        ("grpc.max_send_message_length", MAX_PACKET_BYTES),
        ("grpc.max_receive_message_length", MAX_PACKET_BYTES),
        ("grpc.max_metadata_size", 16 << 10),
        ("grpc.so_reuseport", 0),  # a port in use is an error, not half of the connections
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", 0),  # the session resends, and knows what
        ("grpc.use_local_subchannel_pool", 1),  # each dial is a connection of its own
        ("grpc.keepalive_time_ms", int(options.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", int(options.keepalive_timeout_s * 1000)),
        ("grpc.http2.bdp_probe", 0),  # the window below is wide enough, and probes delay keepalive pings
        ("grpc.http2.ping_timeout_ms", int(options.keepalive_timeout_s * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", 100),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.http2.lookahead_bytes", 8 << 20),
        ("grpc.http2.max_frame_size", 1 << 20),
    ]


def _first_frame(packet: bytes) -> Hello | str:
    """The hello in a connection's first packet, or the reason why the peer refuses us."""
    all_frames = list(unpack(packet))
    if len(all_frames) != 1:
        raise ProtocolAbort("the peer's first packet is not a hello alone")
    frame = all_frames[0]
    return abort_reason(frame) if frame.kind == Kind.ABORT else unpack_hello(frame)


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


class GrpcListener:
    """Waits at `host:port` for one peer. `port` is the one bound (0 asks the system for a free one)."""

    def __init__(
        self, host: str, port: int, *, party: str, peer: str, tls: TlsMaterial | None, options: ChannelOptions
    ) -> None:
        self._session = Session(party=party, peer=peer, where=f"calling {_join(host, port)}", options=options)
        self._authenticate = tls is not None
        self._server = grpc.server(
            _DaemonExecutor(), options=_grpc_options(options), maximum_concurrent_rpcs=MAX_CALLS
        )
        handler = grpc.stream_stream_rpc_method_handler(self._serve)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),)
        )
        self.port = self._bind(host, port, tls)
        self._session.end = self._end
        self._server.start()

    def _bind(self, host: str, port: int, tls: TlsMaterial | None) -> int:
        address = _join(host, port)
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

    def _end(self) -> None:
        self._server.stop(ABORT_LINGER_S).wait()

    def _serve(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        """One call, from the peer or from a stranger; runs in a thread of its own."""
        session = self._session
        connection = Connection()
        hello_timer = threading.Timer(HELLO_TIMEOUT_S, context.cancel)
        hello_timer.daemon = True
        hello_timer.start()
        try:
            answer, accepted = self._greet(requests, context, connection)
        except Exception as error:  # gRPC raises a bare Exception when a call is cancelled
            _log.info("a call from %s ended before its hello: %s", context.peer(), error)
            return
        finally:
            hello_timer.cancel()
        yield answer
        if not accepted:
            return
        lost = "the connection was lost"
        if not context.add_callback(lambda: session.detach(connection, lost)):
            session.detach(connection, lost)
        threading.Thread(
            target=self._read, args=(requests, connection), name=f"crypsis from {session.peer}", daemon=True
        ).start()
        while (packet := session.next_packet(connection)) is not None:
            yield packet

    def _greet(self, requests: Iterator[bytes], context: Any, connection: Connection) -> tuple[bytes, bool]:
        """(our answer to the first packet, whether the caller is the peer)."""
        session = self._session
        try:
            if self._authenticate and not _names_party(context.auth_context(), session.peer):
                raise Refused(f"the caller's certificate does not name party {session.peer!r}")
            packet = next(requests)
            session.count_received(len(packet))
            hello = _first_frame(packet)
            if isinstance(hello, str):
                raise ProtocolAbort("the caller sent an abort instead of a hello")
            session.attach(connection, hello)
            return session.hello(), True
        except VersionMismatch as error:
            if not session.connected_once:
                session.fail(ChannelError(str(error)))
            refusal = str(error)
        except (Refused, ProtocolAbort) as error:
            refusal = str(error)
        _log.warning("refused a call from %s: %s", context.peer(), refusal)
        return pack_abort(refusal), False

    def _read(self, requests: Iterator[bytes], connection: Connection) -> None:
        reason = "the peer ended the connection"
        try:
            for packet in requests:
                self._session.on_packet(connection, packet)
        except Exception:  # gRPC raises a bare Exception when a call is cancelled
            reason = "the connection was lost"
        # After a failure the writer still has the reason to tell; the end of the call detaches then.
        if self._session.failure is None:
            self._session.detach(connection, reason)


class GrpcDialer:
    """Dials `host:port` until the session is over; `connect` waits for the first answer."""

    def __init__(
        self, host: str, port: int, *, party: str, peer: str, tls: TlsMaterial | None, options: ChannelOptions
    ) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._options = options
        self._session = Session(party=party, peer=peer, where=_join(host, port), options=options)
        self._session.end = self._end
        self._over = threading.Event()
        self._call: Any = None
        self._suspicions = 0
        self._thread = threading.Thread(target=self._run, name=f"crypsis dial {peer}", daemon=True)

    def connect(self) -> Channel:
        """Start dialling and wait for the peer's hello; ChannelError as `Channel.send` has it."""
        self._thread.start()
        try:
            self._session.wait_connected()
        except BaseException:
            self._session.abort("the job ended before it began")
            raise
        return self._session

    def _end(self) -> None:
        self._over.set()
        self._thread.join(
            ABORT_LINGER_S
        )  # the farewell is on its way, and the listener ends the call after it
        call = self._call
        if call is not None:
            call.cancel()

    def _run(self) -> None:
        backoff = _FIRST_BACKOFF_S
        while not self._session.over:
            connection = Connection()
            reason = self._one_call(connection)
            self._session.detach(connection, reason)
            if connection.attached_at is not None:
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
                        if not self._greet(connection, packet):
                            return "the peer refused"
                    else:
                        session.on_packet(connection, packet)
                return "the peer ended the connection"
        except grpc.RpcError as error:
            return self._explain(error, connection)

    def _greet(self, connection: Connection, packet: bytes) -> bool:
        session = self._session
        session.count_received(len(packet))
        try:
            hello = _first_frame(packet)
            if isinstance(hello, str):
                session.fail(ChannelError(f"party {session.peer!r} at {session.where} refused us: {hello}"))
                return False
            session.attach(connection, hello)
        except (ProtocolAbort, Refused) as error:
            session.fail(ChannelError(f"party {session.peer!r} at {session.where} is not usable: {error}"))
            return False
        return True

    def _outgoing(self, connection: Connection) -> Iterator[bytes]:
        yield self._session.hello()
        while (packet := self._session.next_packet(connection)) is not None:
            yield packet

    def _open(self) -> Any:
        options = _grpc_options(self._options)
        address = _join(self._host, self._port)
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


def _names_party(auth: dict[str, list[bytes]], party: str) -> bool:
    """Whether the verified certificate behind `auth` names `party`: a subject alternative name, or none and
    the CN."""
    names = auth.get("x509_subject_alternative_name") or auth.get("x509_common_name") or []
    return party.lower().encode() in (name.lower() for name in names)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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
