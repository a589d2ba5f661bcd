# SPDX-License-Identifier: Apache-2.0
"""Random, chosen-message and 1-of-N oblivious transfer from any source of correlated ones (`correlation`).

Per item, with q, t = q ^ c Delta of the source and H of `vole.random_keys`:

    random          sender: k_0 = H(q), k_1 = H(q ^ Delta); receiver: k_c = H(t). Nothing is sent.     [IKNP03]
    chosen          sender -> receiver    m_0 ^ pad(k_0), m_1 ^ pad(k_1)           2 width bytes an item
    1 of N          keys: l = ceil(log2 N) random OTs with the bits of the index x as choices, and
                    K_x = BLAKE3(session; k_(0, x_0), ..., k_(l-1, x_(l-1)), item, x)                  [NP99]
                    messages: sender -> receiver    m_x ^ K_x for all x < N       N width bytes an item

H is MMO for semi-honest sources (correlation robustness is enough where the other party's rows are random) and TMMO
with a tweak that never comes twice for malicious ones, whose receiver has a say in its rows [GKWY20, sections 7.2 and
7.4]. Messages wider than a block take TMMO with a tweak for each of their blocks. The tweak's upper half is the
session's.

1 of N is built from log2 N transfers and not from a code of its own [KKRT16]: no second extension with other
parameters, malicious security comes from the source, and beside the N messages that travel anyway its l * 4 bytes are
little. The keys of the branches are hashed together, so that what a receiver has of K_x it has of x alone; BLAKE3 as a
random oracle.

Assumes   what the source assumes; pi a random permutation; BLAKE3 as a random oracle for 1 of N.
Leaks     numbers and widths. The receiver of a malicious source that guessed bits of Delta has so many fewer to guess.
          Messages are not authenticated: the sender may send what it likes, as in any OT.
Bits an OT   the source's, and those above (`chosen_bytes`, `one_of_n_bytes`).
Rounds    the source's; messages follow the keys without another one.
LAN, WAN  as the source.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from crypsis import hashing, vole
from crypsis.errors import ProtocolAbort
from crypsis.mpc.ot.correlation import (
    BLOCK_BYTES,
    MALICIOUS,
    Bytes,
    CotReceiver,
    CotSender,
    CotSource,
    check_choices,
    check_items,
)
from crypsis.mpc.transport import Channel

MAX_WIDTH = 1 << 20
"""Most bytes of a message."""
MAX_BRANCHES = 1 << 16
"""Most messages of which one is chosen."""

_STEP_BLOCKS = 1 << 16
"""Random OTs, and blocks of pads, that are held at a time."""


def random_send(source: CotSender, n_items: int, *, chosen: bool = False) -> Iterator[Bytes]:
    """Random OT, the sender: pieces of the keys, uint8[m, 2, 16], each overwritten by the next step.

    chosen: the receiver gives its choices. Raises as `source.blocks`.
    """
    keys = np.empty((0, 2, BLOCK_BYTES), np.uint8)
    with source.to_the_end():
        for q in source.blocks(n_items, chosen=chosen):
            if len(keys) < len(q):
                keys = np.empty((len(q), 2, BLOCK_BYTES), np.uint8)
            out = keys[: len(q)]
            vole.random_keys(q, delta=source.delta.tobytes(), tweak=_tweak(source, len(q)), out=out)
            source.check_open()
            yield out


def random_receive(
    source: CotReceiver, n_items: int, choices: Bytes | None = None
) -> Iterator[tuple[Bytes, Bytes]]:
    """Random OT, the receiver: pieces (packed choices, keys uint8[m, 16]), each overwritten by the next step.

    choices: uint8[ceil(n_items / 8)], packed, or None for random ones.
    """
    with source.to_the_end():
        for bits, t in source.blocks(n_items, choices):
            vole.random_keys(t, tweak=_tweak(source, len(t)), out=t)
            source.check_open()
            yield bits, t


def chosen_send(source: CotSender, channel: Channel, messages: Bytes, *, stream: int = 0) -> None:
    """Chosen-message OT, the sender. messages: uint8[n, 2, width], n >= 1 and 1 <= width <= MAX_WIDTH.

    A memory-mapped array is read piece by piece. The peer calls `chosen_receive`. Raises ValueError, TypeError, and
    as `source.blocks`.
    """
    n_items, width = _check_messages(messages, 2)
    at = 0
    delta = source.delta.tobytes()
    with source.to_the_end():
        for q in source.blocks(n_items, chosen=True):
            for begin, stop in _steps(len(q), _n_pads(width)):
                pads = _pads(source, q[begin:stop], width, delta)
                masked = np.bitwise_xor(messages[at + begin : at + stop], pads[..., :width], order="C")
                source.check_open()
                channel.send(stream, masked.data.cast("B"))
            at += len(q)


def chosen_receive(
    source: CotReceiver, channel: Channel, choices: Bytes, n_items: int, width: int, *, stream: int = 0
) -> Iterator[Bytes]:
    """Chosen-message OT, the receiver: pieces of the chosen messages, uint8[m, width], each an array of its own.

    choices: uint8[ceil(n_items / 8)], packed. width: as at the sender; ProtocolAbort where it is another one.
    """
    choices = check_choices(choices, check_items(n_items))
    width = _check_width(width)
    with source.to_the_end():
        for bits, t in source.blocks(n_items, choices):
            unpacked = np.unpackbits(bits, count=len(t), bitorder="little")
            for begin, stop in _steps(len(t), _n_pads(width)):
                pads = _pads(source, t[begin:stop], width, None)
                masked = _receive(channel, stream, (stop - begin, 2, width))
                mask = (0 - unpacked[begin:stop])[:, None]
                picked = masked[:, 0] ^ (mask & (masked[:, 0] ^ masked[:, 1]))
                yield picked ^ pads[:, :width]


def one_of_n_keys_send(
    source: CotSender, n_items: int, n_branches: int, *, width: int = 16
) -> Iterator[Bytes]:
    """Random 1-of-N OT, the sender: pieces of the keys of all branches, uint8[m, n_branches, width].

    n_branches: 2 to MAX_BRANCHES, any number. width: bytes of a key.
    """
    n_items, n_bits = check_items(n_items), _check_branches(n_branches)
    width = _check_width(width)
    branches = np.arange(n_branches)
    sides = (branches[:, None] >> np.arange(n_bits)) & 1
    with source.to_the_end():
        for begin, stop in _steps(n_items, max(n_bits, n_branches * -(-width // 32))):
            m = stop - begin
            pairs = _collect(random_send(source, m * n_bits, chosen=True), (m * n_bits, 2, BLOCK_BYTES))
            pairs = pairs.reshape(m, n_bits, 2, BLOCK_BYTES)
            keys = pairs[:, np.arange(n_bits), sides].reshape(m * n_branches, n_bits * BLOCK_BYTES)
            names = _names(begin, stop, branches)
            yield _expand(source, keys, names, width).reshape(m, n_branches, width)


def one_of_n_keys_receive(
    source: CotReceiver, indices: npt.NDArray[np.integer], n_branches: int, *, width: int = 16
) -> Iterator[Bytes]:
    """Random 1-of-N OT, the receiver: pieces of the keys of the chosen branches, uint8[m, width].

    indices: integers [n], each from 0 to n_branches - 1; IndexError for others.
    """
    indices, n_bits = _check_indices(indices, n_branches), _check_branches(n_branches)
    width = _check_width(width)
    with source.to_the_end():
        for begin, stop in _steps(len(indices), max(n_bits, n_branches * -(-width // 32))):
            m = stop - begin
            part = indices[begin:stop]
            bits = ((part[:, None] >> np.arange(n_bits)) & 1).astype(np.uint8)
            choices = np.packbits(bits.reshape(-1), bitorder="little")
            pieces = (keys for _, keys in random_receive(source, m * n_bits, choices))
            keys = _collect(pieces, (m * n_bits, BLOCK_BYTES)).reshape(m, n_bits * BLOCK_BYTES)
            yield _expand(source, keys, _names(begin, stop, part[:, None]), width)


def one_of_n_send(source: CotSender, channel: Channel, messages: Bytes, *, stream: int = 0) -> None:
    """1-of-N OT, the sender. messages: uint8[n, N, width], N from 2 to MAX_BRANCHES; read piece by piece."""
    n_items, width = _check_messages(messages, None)
    at = 0
    with source.to_the_end():
        for keys in one_of_n_keys_send(source, n_items, messages.shape[1], width=width):
            masked = np.bitwise_xor(messages[at : at + len(keys)], keys, order="C")
            channel.send(stream, masked.data.cast("B"))
            at += len(keys)


def one_of_n_receive(
    source: CotReceiver,
    channel: Channel,
    indices: npt.NDArray[np.integer],
    n_branches: int,
    width: int,
    *,
    stream: int = 0,
) -> Iterator[Bytes]:
    """1-of-N OT, the receiver: pieces of the chosen messages, uint8[m, width], each an array of its own."""
    indices = _check_indices(indices, n_branches)
    at = 0
    with source.to_the_end():
        for keys in one_of_n_keys_receive(source, indices, n_branches, width=_check_width(width)):
            m = len(keys)
            masked = _receive(channel, stream, (m, n_branches, width))
            # The masked messages are no secret but which one is looked at is: all are read.
            picked = np.zeros((m, width), np.uint8)
            for branch in range(n_branches):
                picked |= (0 - (indices[at : at + m] == branch).astype(np.uint8))[:, None] & masked[:, branch]
            yield picked ^ keys
            at += m


def chosen_bytes(n_items: int, width: int) -> int:
    """Bytes that the sender of chosen messages sends, beside the source's."""
    return 2 * width * n_items


def one_of_n_bytes(n_items: int, n_branches: int, width: int) -> int:
    """Bytes that the sender of 1-of-N messages sends, beside the source's for each of `one_of_n_steps`."""
    return n_branches * width * n_items


def one_of_n_steps(n_items: int, n_branches: int, width: int = 16) -> list[int]:
    """The sizes of the calls of `source.blocks` that 1-of-N makes."""
    n_bits = _check_branches(n_branches)
    steps = _steps(n_items, max(n_bits, n_branches * -(-width // 32)))
    return [(stop - begin) * n_bits for begin, stop in steps]


def _tweak(source: CotSource, count: int) -> int | None:
    return source.take_tweaks(count) if source.security == MALICIOUS else None


def _n_pads(width: int) -> int:
    return -(-width // BLOCK_BYTES)


def _pads(source: CotSource, rows: Bytes, width: int, delta: bytes | None) -> Bytes:
    """uint8[m, 2, 16 n] for the sender (with delta), uint8[m, 16 n] for the receiver."""
    n_pads = _n_pads(width)
    tweaked = n_pads > 1 or source.security == MALICIOUS
    parts = [
        vole.random_keys(rows, delta=delta, tweak=source.take_tweaks(len(rows)) if tweaked else None)
        for _ in range(n_pads)
    ]
    return parts[0] if n_pads == 1 else np.concatenate(parts, axis=-1)


def _steps(n_items: int, blocks_an_item: int) -> list[tuple[int, int]]:
    """(begin, end) of pieces of at most _STEP_BLOCKS blocks; the same at both parties."""
    size = max(1, _STEP_BLOCKS // blocks_an_item)
    return [(begin, min(begin + size, n_items)) for begin in range(0, n_items, size)]


def _collect(pieces: Iterator[Bytes], shape: tuple[int, ...]) -> Bytes:
    whole = np.empty(shape, np.uint8)
    at = 0
    for piece in pieces:
        whole[at : at + len(piece)] = piece
        at += len(piece)
    return whole


def _names(begin: int, stop: int, branches: npt.NDArray[np.integer]) -> Bytes:
    """What tells the keys apart, uint8[(stop - begin) * branches, 12]: the item and the branch."""
    items = np.arange(begin, stop, dtype="<u8")[:, None]
    shape = np.broadcast_shapes(items.shape, branches.shape)
    names = np.empty((*shape, 12), np.uint8)
    names[..., :8] = np.broadcast_to(items, shape)[..., None].view(np.uint8)
    names[..., 8:] = np.ascontiguousarray(np.broadcast_to(branches, shape), "<u4")[..., None].view(np.uint8)
    return names.reshape(-1, 12)


def _expand(source: CotSource, keys: Bytes, names: Bytes, width: int) -> Bytes:
    """The branches' keys, uint8[rows, width]."""
    n_keys = keys.shape[1]
    inputs = np.empty((len(keys), n_keys + names.shape[1] + 4), np.uint8)
    inputs[:, :n_keys] = keys
    inputs[:, n_keys:-4] = names
    out = np.empty((len(keys), width), np.uint8)
    for part, begin in enumerate(range(0, width, 32)):
        inputs[:, -4:] = np.frombuffer(part.to_bytes(4, "little"), np.uint8)
        size = min(32, width - begin)
        out[:, begin : begin + size] = hashing.blake3(inputs, key=source.session)[:, :size]
    return out


def _receive(channel: Channel, stream: int, shape: tuple[int, ...]) -> Bytes:
    message = channel.recv(stream)
    wanted = int(np.prod(shape))
    if len(message) != wanted:
        raise ProtocolAbort(
            f"masked messages have {len(message)} bytes instead of {wanted}: the parties disagree about their width "
            "or number"
        )
    return np.frombuffer(message, np.uint8).reshape(shape)


def _check_messages(messages: Bytes, n_branches: int | None) -> tuple[int, int]:
    if not isinstance(messages, np.ndarray) or messages.dtype != np.uint8:
        raise TypeError(
            f"messages is {type(messages).__name__}: give a NumPy array of uint8, all messages equally wide"
        )
    if messages.ndim != 3 or (n_branches is not None and messages.shape[1] != n_branches):
        raise ValueError(f"messages has shape {messages.shape}: give uint8[n, {n_branches or 'N'}, width]")
    _check_branches(messages.shape[1])
    return check_items(messages.shape[0]), _check_width(messages.shape[2])


def _check_width(width: int) -> int:
    if isinstance(width, bool) or not isinstance(width, int | np.integer):
        raise TypeError(f"width is {type(width).__name__}: give an int")
    if not 1 <= width <= MAX_WIDTH:
        raise ValueError(f"width is {width}: give 1 to {MAX_WIDTH} bytes")
    return int(width)


def _check_branches(n_branches: int) -> int:
    if isinstance(n_branches, bool) or not isinstance(n_branches, int | np.integer):
        raise TypeError(f"n_branches is {type(n_branches).__name__}: give an int")
    if not 2 <= n_branches <= MAX_BRANCHES:
        raise ValueError(f"n_branches is {n_branches}: give 2 to {MAX_BRANCHES}")
    return (int(n_branches) - 1).bit_length()


def _check_indices(indices: npt.NDArray[np.integer], n_branches: int) -> npt.NDArray[np.int64]:
    _check_branches(n_branches)
    if not isinstance(indices, np.ndarray) or indices.dtype.kind not in "iu":
        raise TypeError("indices is no NumPy array of integers: give one index an item")
    if indices.ndim != 1:
        raise ValueError(f"indices has shape {indices.shape}: give one index an item")
    check_items(len(indices))
    if int(indices.min()) < 0 or int(indices.max()) >= n_branches:
        raise IndexError(
            f"indices go from {indices.min()} to {indices.max()}: there are {n_branches} branches"
        )
    return indices.astype(np.int64)
