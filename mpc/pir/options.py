# SPDX-License-Identifier: Apache-2.0
"""What a private list query is: the part both parties must agree on, and what each decides for itself."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal, get_args

from crypsis.errors import ConfigError
from crypsis.mpc.data import KeySpec
from crypsis.mpc.pir.lists import MAX_CAPACITY
from crypsis.mpc.pir.ot_query import MAX_PREFIX_BITS
from crypsis.mpc.pir.records import MAX_ROWS, MAX_TEXT_BYTES

HashName = Literal["sha256", "sm3", "blake3"]
NullPolicy = Literal["ignore", "error"]
PROTOCOL_VERSION = 1
OT = "softspoken, k = 4, malicious"
MAX_QUERIES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class QueryOptions:
    """What both parties need.

    `keys`: own key columns in order; both parties' *types* must agree, names may differ. `list_name`: public name of
    the list, which salts the digests; the same for as long as the list lives, so that asking again shows nothing new.
    `prefix_bits`: bits of each identifier's digest that the owner learns; each one halves the cost. `threads`: None
    for all cores.
    """

    keys: tuple[KeySpec, ...]
    list_name: str
    prefix_bits: int = 0
    hash: HashName = "sha256"
    null_policy: NullPolicy = "ignore"
    threads: int | None = None

    def __post_init__(self) -> None:
        for name, kind in (("hash", HashName), ("null_policy", NullPolicy)):
            value = getattr(self, name)
            if value not in get_args(kind):
                raise ConfigError(f"{name} is {value!r}: use one of {', '.join(get_args(kind))}")
        if not isinstance(self.keys, tuple) or not all(isinstance(key, KeySpec) for key in self.keys):
            raise ConfigError(f"keys is {self.keys!r}: give a tuple of KeySpec")
        if not self.keys:
            raise ConfigError("keys is empty: name at least one key column")
        names = [key.name for key in self.keys]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"keys: column {name!r} is named twice; name it once")
        if (
            not isinstance(self.list_name, str)
            or not 1 <= len(self.list_name.encode(errors="replace")) <= 256
        ):
            raise ConfigError(f"list_name is {self.list_name!r}: give a text of 1 to 256 bytes")
        check_whole("prefix_bits", self.prefix_bits, 0, MAX_PREFIX_BITS)
        if self.threads is not None:
            check_whole("threads", self.threads, 1, 4096)

    @property
    def salt(self) -> bytes:
        """Separates the digests of different lists."""
        return hashlib.sha256(b"crypsis/query/list/v1/" + self.list_name.encode()).digest()

    def public(self) -> dict[str, object]:
        """What must be equal on both sides, in the words of the configuration file."""
        return {
            "version": PROTOCOL_VERSION,
            "protocol": "ot-query",
            "ot": OT,
            "list_name": self.list_name,
            "prefix_bits": self.prefix_bits,
            "hash": self.hash,
            "key_types": [key.type for key in self.keys],
        }


@dataclass(frozen=True, kw_only=True)
class OwnerOptions:
    """What the owner decides.

    `columns`: payload columns to give, default all but the keys. `capacity`: keys that the list may have, public;
    default the number of keys rounded up. `max_rows`: rows that one key may have, public. `text_bytes`: bytes of a
    text, public; default the longest one rounded up. `max_queries`: of one job.
    """

    columns: tuple[str, ...] | None = None
    capacity: int | None = None
    max_rows: int = 1
    text_bytes: int | None = None
    max_queries: int = 1000

    def __post_init__(self) -> None:
        if self.columns is not None and not isinstance(self.columns, tuple):
            raise ConfigError(f"columns is {self.columns!r}: give a tuple of names, or None")
        if self.capacity is not None:
            check_whole("capacity", self.capacity, 1, MAX_CAPACITY)
        check_whole("max_rows", self.max_rows, 1, MAX_ROWS)
        if self.text_bytes is not None:
            check_whole("text_bytes", self.text_bytes, 1, MAX_TEXT_BYTES)
        check_whole("max_queries", self.max_queries, 1, MAX_QUERIES)


@dataclass(frozen=True, kw_only=True)
class QuerierOptions:
    """What the querier decides.

    `pad_queries`: the number of queries the owner sees, made-up ones filling it up; None: the number of distinct keys.
    `min_bucket`: refuse a list whose buckets have a smaller bound, among fewer entries than that an identifier would
    hide. `max_traffic_mib`: refuse a job whose answers take more.
    """

    pad_queries: int | None = None
    min_bucket: int = 1
    max_traffic_mib: int = 4096

    def __post_init__(self) -> None:
        if self.pad_queries is not None:
            check_whole("pad_queries", self.pad_queries, 1, MAX_QUERIES)
        check_whole("min_bucket", self.min_bucket, 1, MAX_CAPACITY)
        check_whole("max_traffic_mib", self.max_traffic_mib, 1, 1 << 30)


def check_whole(name: str, value: object, low: int, high: int) -> None:
    """Raises ConfigError unless `value` is an int from `low` to `high`."""
    if type(value) is not int or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}: use a whole number from {low} to {high}")
