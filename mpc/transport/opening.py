# SPDX-License-Identifier: Apache-2.0
"""`open_channel` and `open_hub`: from what a user wrote in a configuration to a peer."""

from __future__ import annotations

from dataclasses import replace

from crypsis.errors import ConfigError
from crypsis.mpc.transport.channel import Channel, ChannelOptions, check_party_name
from crypsis.mpc.transport.grpc_dialer import DialingHub
from crypsis.mpc.transport.grpc_listener import GrpcListener, ListeningHub
from crypsis.mpc.transport.hub import Hub
from crypsis.mpc.transport.tls import TlsFiles, TlsMaterial, load_tls


def parse_address(address: str, *, listening: bool = False) -> tuple[str, int]:
    """(host, port) of "host:port" or "[v6 address]:port"; port 0 only for a listener. ConfigError
    otherwise."""
    host, separator, port_text = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        separator = ""
    if not separator or not host or not (port_text.isascii() and port_text.isdigit()):
        raise ConfigError(
            f"address {address!r} is not of the form host:port, such as 10.1.2.3:7001 or [::1]:7001"
        )
    port = int(port_text)
    if not (0 if listening else 1) <= port <= 65535:
        raise ConfigError(f"port {port} in address {address!r} is outside 1 to 65535")
    return host, port


def _material(party: str, tls: TlsFiles | None, insecure: bool) -> TlsMaterial | None:
    if tls is not None and insecure:
        raise ConfigError("both certificates and --insecure were given; choose one")
    if tls is not None:
        return load_tls(tls, party)
    if not insecure:
        raise ConfigError(
            "no certificates were given: `crypsis certs` makes some for development, and --insecure does"
            " without"
            " (plain text, anybody may answer)"
        )
    return None


def listen(
    address: str,
    *,
    party: str,
    peer: str,
    tls: TlsFiles | None = None,
    insecure: bool = False,
    patience: float | None = None,
    options: ChannelOptions | None = None,
) -> GrpcListener:
    """Bind `address` and wait for the peer with `.accept()`; `.port` is known before. Raises as
    `open_channel`."""
    _check_names(party, peer)
    host, port = parse_address(address, listening=True)
    material = _material(party, tls, insecure)
    return GrpcListener(host, port, party=party, peer=peer, tls=material, options=_options(options, patience))


def connect(
    address: str,
    *,
    party: str,
    peer: str,
    tls: TlsFiles | None = None,
    insecure: bool = False,
    patience: float | None = None,
    options: ChannelOptions | None = None,
) -> Channel:
    """Dial `address` until the peer answers. Raises as `open_channel`."""
    _check_names(party, peer)
    host, port = parse_address(address)
    material = _material(party, tls, insecure)
    hub = DialingHub(host, port, party=party, peer=peer, tls=material, options=_options(options, patience))
    return hub.channel(0)


def open_channel(
    *,
    party: str,
    peer: str,
    listen: str | None = None,
    connect: str | None = None,
    tls: TlsFiles | None = None,
    insecure: bool = False,
    patience: float | None = None,
    options: ChannelOptions | None = None,
) -> Channel:
    """A channel from `party` to `peer`; one of them gives `listen`, the other one `connect`, as "host:port".

    Returns when both have greeted each other. `tls` holds this party's files; without them `insecure` must be
    True. `patience`, in seconds, is short for `options.patience_s` (300): how long the peer may be away, at
    first and later.

    Raises ConfigError (addresses, names, files), ChannelError (port in use, peer not there within
    `patience_s`, certificate not accepted, another name or version).
    """
    if (listen is None) == (connect is None):
        raise ConfigError("give exactly one of listen and connect: one party listens, the other one dials")
    chosen = _options(options, patience)
    if listen is not None:
        return _listen(listen, party=party, peer=peer, tls=tls, insecure=insecure, options=chosen).accept()
    return _connect(str(connect), party=party, peer=peer, tls=tls, insecure=insecure, options=chosen)


def open_hub(
    *,
    party: str,
    peer: str,
    listen: str | None = None,
    connect: str | None = None,
    tls: TlsFiles | None = None,
    insecure: bool = False,
    patience: float | None = None,
    options: ChannelOptions | None = None,
) -> Hub:
    """Several sessions from `party` to `peer` over one port; the arguments are those of `open_channel`.

    Returns at once: a listener is bound (`hub.port`), a dialler has not dialled yet. `hub.channel(n)` meets
    the peer, or raises what `open_channel` raises. A peer that uses `open_channel` has session 0 only.
    """
    if (listen is None) == (connect is None):
        raise ConfigError("give exactly one of listen and connect: one party listens, the other one dials")
    _check_names(party, peer)
    chosen = _options(options, patience)
    host, port = parse_address(str(connect) if listen is None else listen, listening=listen is not None)
    material = _material(party, tls, insecure)
    kind = DialingHub if listen is None else ListeningHub
    return kind(host, port, party=party, peer=peer, tls=material, options=chosen)


def _options(options: ChannelOptions | None, patience: float | None) -> ChannelOptions:
    options = options or ChannelOptions()
    return options if patience is None else replace(options, patience_s=patience)


def _check_names(party: str, peer: str) -> None:
    try:
        check_party_name(party)
        check_party_name(peer)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if party.lower() == peer.lower():
        raise ConfigError(f"party and peer are both {party!r}; each party needs a name of its own")


# `open_channel` has parameters of these names.
_listen, _connect = listen, connect
