# SPDX-License-Identifier: Apache-2.0
"""Tags of doubly encrypted items, and which of them two parties have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from crypsis import partition
from crypsis.errors import CorruptData, ProtocolAbort
from crypsis.mpc.place import Place

STATISTICAL_SECURITY = 40
MIN_TAG_BYTES = 8
MAX_TAG_BYTES = 16

# Items a range when two tag sets are matched: the sort works on pieces that stay in cache, and its temporaries stay
# small beside the 12 bytes a tag (2 more a tag say in which range it is).
_RANGE_ITEMS = 1 << 20

_BIN_ITEMS = 48_000  # of the larger set on a GPU, on average


def tag_bytes(n_own: int, n_peer: int) -> int:
    """Bytes a tag needs so that any two different items of both sets collide with probability 2^-40 at most.

    All pairs of the union count, not only those across, because `match` refuses equal tags within a set:
    40 + log2(N (N - 1) / 2) bits for N items in all, rounded up to bytes. In integers and symmetric, so that
    both parties find the same width.
    """
    n_items = n_own + n_peer
    n_pairs = n_items * (n_items - 1) // 2
    bits = STATISTICAL_SECURITY + max(n_pairs - 1, 0).bit_length()
    return min(MAX_TAG_BYTES, max(MIN_TAG_BYTES, -(-bits // 8)))


Positions = npt.NDArray[np.uint32]  # an exchange has fewer than 2^32 items


class Tags(Protocol):
    """A set of tags at some place, filled piece by piece."""

    width: int

    def __len__(self) -> int: ...

    def append(self, rows: Any) -> None:
        """Adds rows uint8[k, >= width] of the place; bytes beyond the width are dropped."""

    def match(self, peer: Any) -> tuple[Positions, Positions]:
        """As the function `match`, with a set of the same kind."""


class TagSet:
    """n tags of `width` bytes (8..16), held as a leading uint64 and the rest, so that sorting and comparing
    are on words.

    The rest takes 4 or 8 bytes: 12 bytes a tag up to about 2^27 x 2^27 items.
    """

    def __init__(self, n_items: int, width: int) -> None:
        if not MIN_TAG_BYTES <= width <= MAX_TAG_BYTES:
            raise ValueError(f"width is {width}: tags have {MIN_TAG_BYTES} to {MAX_TAG_BYTES} bytes")
        self.width = width
        self.head = np.empty(n_items, dtype=np.uint64)
        self.rest = np.empty(n_items, dtype=np.uint32 if width <= 12 else np.uint64)
        self.filled = 0

    def __len__(self) -> int:
        return len(self.head)

    def append(self, rows: npt.NDArray[np.uint8]) -> None:
        """Adds rows uint8[k, >= width]; bytes beyond the width are dropped."""
        begin, end = self.filled, self.filled + len(rows)
        if end > len(self):
            raise ProtocolAbort(f"the peer sent more than the {len(self)} items it announced; ended")
        self.head[begin:end] = np.ascontiguousarray(rows[:, :8]).view(np.uint64)[:, 0]
        rest = np.zeros((len(rows), self.rest.itemsize), dtype=np.uint8)
        rest[:, : self.width - 8] = rows[:, 8 : self.width]
        self.rest[begin:end] = rest.view(self.rest.dtype)[:, 0]
        self.filled = end

    def match(self, peer: TagSet) -> tuple[Positions, Positions]:
        """As the function `match`."""
        return match(self, peer)

    def ranges(self, n_ranges: int) -> Iterator[Positions]:
        """Positions of the tags by ascending range of the leading word, `n_ranges` (a power of two) equal
        ranges."""
        if n_ranges == 1:
            yield np.arange(len(self), dtype=np.uint32)
            return
        shift = np.uint64(64 - n_ranges.bit_length() + 1)
        part = np.empty(len(self), dtype=np.uint16)
        for begin in range(0, len(self), _RANGE_ITEMS):
            part[begin : begin + _RANGE_ITEMS] = self.head[begin : begin + _RANGE_ITEMS] >> shift
        for index in range(n_ranges):
            yield np.flatnonzero(part == index).astype(np.uint32)


class PlacedTags:
    """n tags of `width` bytes (8..16) on a GPU, where they are sorted and matched bin by bin: `crypsis.partition`."""

    ITEM_BYTES = 16
    MATCH_BYTES = 96
    """A tag, and what is made of it when two sets are matched: by bin, in order, and which it was."""

    def __init__(self, place: Place, n_items: int, width: int) -> None:
        if not MIN_TAG_BYTES <= width <= MAX_TAG_BYTES:
            raise ValueError(f"width is {width}: tags have {MIN_TAG_BYTES} to {MAX_TAG_BYTES} bytes")
        self.width = width
        self.filled = 0
        self._place = place
        self._rows = place.empty((n_items, self.ITEM_BYTES))
        self._rows.fill(0)

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, rows: Any) -> None:
        """Adds rows uint8[k, >= width] of the place; bytes beyond the width are dropped."""
        begin, end = self.filled, self.filled + len(rows)
        if end > len(self):
            raise ProtocolAbort(f"the peer sent more than the {len(self)} items it announced; ended")
        self._rows[begin:end, : self.width] = rows[:, : self.width]
        self.filled = end

    def match(self, peer: PlacedTags) -> tuple[Positions, Positions]:
        """As the function `match`; call it in a stage of the place."""
        place = self._place
        n_bins = max(-(-max(len(self), len(peer)) // _BIN_ITEMS), 1)
        own, theirs = partition.by_bin(self._rows, n_bins), partition.by_bin(peer._rows, n_bins)
        ascending = partition.sort_tags(theirs.keys, theirs.starts)
        try:
            found = partition.match(own.keys, own.starts, ascending.tags, theirs.starts)
        except CorruptData as error:
            raise ProtocolAbort(
                f"tags hold the same item twice; the peer does not follow the protocol; ended ({error})"
            ) from error
        i = own.order[found.own_index]
        j = theirs.order[ascending.order[found.peer_index]]
        order = place.xp.argsort(j)
        return place.to_host(i[order]), place.to_host(j[order])


def _sorted_range(
    tags: TagSet, positions: Positions, whose: str
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64], Positions]:
    head = tags.head[positions]
    order = np.argsort(head)
    head = head[order]
    positions = positions[order]
    rest = tags.rest[positions].astype(np.uint64)
    if len(head) > 1 and bool(np.any(head[1:] == head[:-1])):
        order = np.lexsort((rest, head))
        head, rest, positions = head[order], rest[order], positions[order]
        if bool(np.any((head[1:] == head[:-1]) & (rest[1:] == rest[:-1]))):
            raise ProtocolAbort(
                f"{whose} tags hold the same item twice; the peer does not follow the protocol; ended"
            )
    return head, rest, positions


def match(own: TagSet, peer: TagSet) -> tuple[Positions, Positions]:
    """Positions uint32 (i, j) with own[i] == peer[j], ordered by j. Each set must hold distinct tags, else
    ProtocolAbort."""
    largest = max(len(own), len(peer))
    n_ranges = 1
    while n_ranges * _RANGE_ITEMS < largest and n_ranges < 1 << 15:
        n_ranges *= 2
    found_own: list[Positions] = []
    found_peer: list[Positions] = []
    for own_positions, peer_positions in zip(own.ranges(n_ranges), peer.ranges(n_ranges), strict=True):
        own_head, own_rest, own_positions = _sorted_range(own, own_positions, "own")
        peer_head, peer_rest, peer_positions = _sorted_range(peer, peer_positions, "the peer's")
        # Tags with one leading word are a run (of length 1 but for accidents): try every place in the run.
        at = np.searchsorted(own_head, peer_head)
        candidate = np.arange(len(peer_head))
        while len(candidate):
            inside = at < len(own_head)
            at, candidate = at[inside], candidate[inside]
            same_head = own_head[at] == peer_head[candidate]
            at, candidate = at[same_head], candidate[same_head]
            equal = own_rest[at] == peer_rest[candidate]
            found_own.append(own_positions[at[equal]])
            found_peer.append(peer_positions[candidate[equal]])
            at, candidate = at[~equal] + 1, candidate[~equal]
    i, j = _concatenate(found_own), _concatenate(found_peer)
    order = np.argsort(j)
    return i[order], j[order]


def _concatenate(parts: list[Positions]) -> Positions:
    """All parts; empties the list as it goes."""
    whole = np.empty(sum(len(part) for part in parts), dtype=np.uint32)
    begin = 0
    while parts:
        part = parts.pop(0)
        whole[begin : begin + len(part)] = part
        begin += len(part)
    return whole
