# SPDX-License-Identifier: Apache-2.0
"""Cheating peers, configurations that differ, limits: typed errors, and nothing that tells."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from crypsis.errors import ConfigError, CrypsisError, DataError, ProtocolAbort
from crypsis.mpc.data import KeySpec, TableSource, digest_keys
from crypsis.mpc.ot import softspoken
from crypsis.mpc.ot.correlation import MALICIOUS
from crypsis.mpc.pir import ot_query, records
from crypsis.mpc.pir.agree import Agreed
from crypsis.mpc.pir.job import ask, prepare_list, run_owner, run_querier, serve
from crypsis.mpc.pir.options import OwnerOptions, QuerierOptions
from crypsis.mpc.transport import memory_pair

from .pair import REAL, Recorder, both, options_of, start

LIST = pa.table({"id": [f"acct-{i:05}" for i in range(40)], "n": list(range(40))})
ASKED = pa.table({"id": ["acct-00007", "nobody", "acct-00008"]})


def errors_of(ran: Any) -> tuple[BaseException, BaseException]:
    found = [future.exception() for future in ran[:2]]
    assert found[0] is not None
    assert found[1] is not None
    return found[0], found[1]


def changed(stream: int, change: Callable[[bytes], list[bytes]]) -> Callable[[int, bytes], list[bytes]]:
    """Alters the first message on a stream."""
    seen = []

    def tamper(on: int, raw: bytes) -> list[bytes]:
        if on != stream or seen:
            return [raw]
        seen.append(1)
        return change(raw)

    return tamper


# What both must agree on


@pytest.mark.parametrize(
    ("differs", "told"),
    [
        ({"prefix_bits": 3}, "'prefix_bits': 3 here, 2 at"),
        ({"list_name": "other"}, "'list_name': 'other' here, 'test' at"),
        ({"hash": "blake3"}, "'hash': 'blake3' here, 'sha256' at"),
    ],
)
def test_configurations_that_differ(differs: dict[str, Any], told: str) -> None:
    owner, querier = errors_of(start(LIST, ASKED, prefix_bits=2, owner_differs=differs))
    assert isinstance(owner, ConfigError)
    assert isinstance(querier, ConfigError)
    assert told in str(owner)


def test_key_types_that_differ() -> None:
    asked = pa.table({"id": [1, 2]})
    owner, querier = errors_of(start(LIST, asked, querier_on=KeySpec("id", "int")))
    for error in (owner, querier):
        assert isinstance(error, ConfigError)
        assert "disagree on 'keys'" in str(error)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"max_queries": 2}, "the querier has 3 queries, the owner allows 2"),
        ({"min_bucket": 41}, "a bucket has at most 40 entries and the querier demands 41"),
        ({"max_traffic_mib": 1, "text_bytes": 60000}, "the querier allows 1"),
    ],
)
def test_limits(options: dict[str, Any], told: str) -> None:
    listed = LIST.append_column("t", pa.array(["x"] * 40)) if "text_bytes" in options else LIST
    ran = start(listed, ASKED, capacity=40, **options)
    owner, querier = errors_of(ran)
    assert isinstance(owner, ConfigError)
    assert isinstance(querier, ConfigError)
    assert told in str(owner)
    assert told in str(querier)
    assert set(ran[2].sent) == {0}  # nothing but the agreement
    assert set(ran[3].sent) == {0}


def test_more_keys_than_pad_queries() -> None:
    ran = start(LIST, ASKED, pad_queries=2)
    assert isinstance(errors_of(ran)[1], DataError)


def test_two_owners() -> None:
    owner, querier, _, _ = both(
        lambda c: serve(LIST, "id", c, list_name="x"), lambda c: serve(LIST, "id", c, list_name="x")
    )
    for future in (owner, querier):
        with pytest.raises(ConfigError, match="both parties are the owner"):
            future.result()


OFFERS = [
    ("capacity", -1),
    ("capacity", 0),
    ("capacity", 1 << 60),
    ("capacity", "x"),
    ("max_rows", 0),
    ("max_rows", 1 << 20),
    ("columns", None),
    ("columns", [["n", "int64"]]),
    ("columns", [["n", "int64", 4]]),
    ("columns", [["n", "list<int>", 8]]),
    ("columns", [["n", "int64", 8], ["n", "int64", 8]]),
    ("columns", [["", "int64", 8]]),
    ("columns", [["n", "string", 1 << 30]]),
    ("columns", [["n", "int64", 8]] * 300),
    ("nonce", "00"),
    ("nonce", None),
    ("max_queries", 1.5),
]


@pytest.mark.parametrize(("name", "value"), OFFERS, ids=lambda v: str(v)[:20])
def test_offers_that_make_no_sense(name: str, value: object) -> None:
    def change(raw: bytes) -> list[bytes]:
        return [json.dumps({**json.loads(raw), name: value}).encode()]

    _, querier = errors_of(start(LIST, ASKED, owner=changed(0, change)))
    assert isinstance(querier, ProtocolAbort)


def test_a_changed_offer_changes_the_session() -> None:
    """Whoever alters the agreement on the way gets answers that nobody can open: not found, not something else."""

    def change(raw: bytes) -> list[bytes]:
        return [json.dumps({**json.loads(raw), "max_queries": 999}).encode()]

    owner, querier, _, _ = start(LIST, ASKED, owner=changed(0, change))
    owner.result()
    assert querier.result().open().n_found == 0


# Messages of a wrong size, in every phase

WRONG_SIZES: list[Callable[[bytes], list[bytes]]] = [
    lambda raw: [raw[:-1]],
    lambda raw: [raw + b"\0"],
    lambda raw: [b""],
    lambda raw: [raw + raw],
]


@pytest.mark.parametrize("change", WRONG_SIZES, ids=["short", "long", "empty", "twice"])
@pytest.mark.parametrize("stream", [ot_query.BUCKETS, ot_query.OTS])
def test_a_querier_with_wrong_sizes(change: Any, stream: int) -> None:
    owner, _ = errors_of(start(LIST, ASKED, ots=REAL, querier=changed(stream, change)))
    assert isinstance(owner, ProtocolAbort)


@pytest.mark.parametrize("change", WRONG_SIZES, ids=["short", "long", "empty", "twice"])
def test_an_owner_with_wrong_sizes(change: Any) -> None:
    _, querier = errors_of(start(LIST, ASKED, owner=changed(ot_query.ANSWERS, change)))
    assert isinstance(querier, ProtocolAbort)
    assert "bytes of answers where" in str(querier)


def test_a_bucket_that_does_not_exist() -> None:
    change = changed(ot_query.BUCKETS, lambda raw: [b"\x04\0\0\0" + raw[4:]])
    owner, _ = errors_of(start(LIST, ASKED, prefix_bits=2, querier=change))
    assert isinstance(owner, ProtocolAbort)
    assert "bucket 4, which does not exist" in str(owner)


def test_corrections_that_are_flipped() -> None:
    """The malicious OT extension's check fails before an answer is sent."""

    seen: list[int] = []

    def tamper(stream: int, raw: bytes) -> list[bytes]:
        if stream == ot_query.OTS:
            seen.append(len(raw))
            if len(seen) == 3:  # after the base OTs and the set-up
                return [raw[:100] + bytes([raw[100] ^ 1]) + raw[101:]]
        return [raw]

    ran = start(LIST, ASKED, ots=REAL, querier=tamper)
    owner, _ = errors_of(ran)
    assert isinstance(owner, CrypsisError)
    assert ot_query.ANSWERS not in ran[2].sent


# Answers that are damaged: the querier alone sees it, and only when the channel is closed


def flip(position: Callable[[np.ndarray], Any]) -> Callable[[int, bytes], list[bytes]]:
    def change(raw: bytes) -> list[bytes]:
        data = np.frombuffer(raw, np.uint8).copy()
        data.reshape(len(ASKED), -1, records.record_bytes(COLUMNS, 1) + 24)[position(data)] ^= 1
        return [data.tobytes()]

    return changed(ot_query.ANSWERS, change)


COLUMNS = [records.Column("n", "int64", 8)]


@pytest.mark.parametrize(
    ("byte", "found"),
    [(0, 0), (7, 0), (8, None), (-17, None), (-1, None)],
    ids=["finder", "finder's end", "count", "record", "mac"],
)
def test_damaged_entries(byte: int, found: int | None) -> None:
    """Every entry damaged: in the finder nothing is found; elsewhere the querier raises, after an orderly farewell."""
    owner, querier, owner_channel, querier_channel = start(
        LIST, ASKED, owner=flip(lambda _: np.s_[:, :, byte])
    )
    owner.result()
    asked = querier.result()
    assert (owner_channel.ended, querier_channel.ended) == ("closed", "closed")
    if found is not None:
        assert asked.open().n_found == found
        return
    with pytest.raises(ProtocolAbort, match="2 answers are damaged"):
        asked.open()


def test_damage_elsewhere_is_not_seen() -> None:
    """The entry is another one's: the querier cannot tell, and must not react."""
    plain_owner, plain, _, _ = start(LIST, ASKED)
    plain_owner.result()
    assert plain.result().open().n_found == 2
    seen = []
    for row in range(40):
        _, querier, _, channel = start(
            LIST,
            ASKED.slice(0, 1),
            owner=changed(ot_query.ANSWERS, lambda raw, row=row: [damaged_row(raw, row)]),
        )
        assert channel.ended == "closed"
        try:
            seen.append(querier.result().open().n_found)
        except ProtocolAbort:
            seen.append(-1)
    assert set(seen) <= {-1, 1}  # its place among the entries is another one each time
    assert seen.count(1) > 20


def damaged_row(raw: bytes, row: int) -> bytes:
    data = np.frombuffer(raw, np.uint8).copy().reshape(-1, records.record_bytes(COLUMNS, 1) + 24)
    data[row, -1] ^= 1
    return data.tobytes()


@pytest.mark.parametrize(
    ("table", "damage", "told"),
    [
        ({"n": pa.array([1], pa.int64())}, {0: 0}, "0 rows"),
        ({"n": pa.array([1], pa.int64())}, {0: 2}, "2 rows"),
        ({"n": pa.array([1], pa.int64())}, {2: 2}, "damaged column 'n'"),
        ({"b": pa.array([True])}, {3: 7}, "damaged column 'b'"),
        ({"t": pa.array(["abc"])}, {3: 200}, "longer than its column 't'"),
        ({"t": pa.array(["abc"])}, {7: 255}, "no string in column 't'"),
        ({"d": pa.array([1], pa.decimal128(3, 0))}, {5: 255}, "no decimal128(3, 0)"),
    ],
)
def test_records_of_a_malicious_owner(table: dict[str, Any], damage: dict[int, int], told: str) -> None:
    """Well-formed entries with nonsense inside."""
    rows = pa.table(table)
    columns = records.columns_of(rows, None)
    encoded = records.encode_records(records.encode_rows(rows, columns), np.array([0]), np.array([1]), 1)
    assert records.decode_records(encoded, columns, 1)[1].to_pydict() == rows.to_pydict()
    for byte, value in damage.items():
        encoded[0, byte] = value
    with pytest.raises(ProtocolAbort, match=told.replace("(", r"\(").replace(")", r"\)")):
        records.decode_records(encoded, columns, 1)


# A lost peer


@pytest.mark.parametrize("stream", [0, ot_query.OTS, ot_query.ANSWERS])
def test_an_owner_that_leaves(stream: int) -> None:
    class Gone(Exception):
        pass

    def leave(on: int, raw: bytes) -> list[bytes]:
        if on == stream:
            raise Gone
        return [raw]

    owner, querier = errors_of(start(LIST, ASKED, ots=REAL, owner=leave))
    assert isinstance(owner, Gone)
    assert isinstance(querier, CrypsisError)


def test_what_the_querier_refuses_stops_before_the_first_query() -> None:
    def refuse(agreed: Agreed) -> None:
        raise DataError("no")

    options = options_of("id", {})

    def owner(channel: Any) -> Any:
        prepared = prepare_list(TableSource(LIST), options, OwnerOptions())
        return run_owner(prepared, channel, options, OwnerOptions())

    def querier(channel: Any) -> Any:
        return run_querier(TableSource(ASKED), channel, options, QuerierOptions(), accept=refuse)

    ran = both(owner, querier)
    assert isinstance(errors_of(ran)[1], DataError)
    assert set(ran[3].sent) == {0}


# What each party sees


def test_the_owner_sees_the_prefix_and_nothing_else() -> None:
    """Two identifiers of one prefix, one on the list and one not: the querier's messages on the agreement, the buckets
    and the OTs have the same lengths in the same order, and the buckets are the same."""
    options = options_of("id", {"prefix_bits": 2})
    names = [f"acct-{i:05}" for i in range(200)]
    digests = digest_keys(TableSource(pa.table({"id": names})), options.keys, salt=options.salt)
    bucket = dict(
        zip([names[int(row)] for row in digests.rows], ot_query.bucket_of(digests.digests, 2), strict=True)
    )
    on_list = next(name for name in names[:40] if bucket[name] == 1)
    others = [name for name in names[40:] if bucket[name] == 1][:2]
    views = []
    for name in (on_list, *others):
        _, _, _, channel = start(LIST, pa.table({"id": [name]}), prefix_bits=2, ots=REAL)
        views.append((channel.order, channel.sent[ot_query.BUCKETS], channel.ended))
    assert views[0] == views[1] == views[2]


def test_the_answer_shows_no_list() -> None:
    """The bytes that the querier gets have the same sizes for any two lists of one capacity."""
    sizes = set()
    for rows in (LIST.slice(0, 0), LIST.slice(0, 1), LIST):
        _, _, channel, _ = start(rows, ASKED, capacity=40, prefix_bits=1)
        sizes.add(tuple(length for stream, length in channel.order if stream == ot_query.ANSWERS))
    assert len(sizes) == 1


def test_no_identifier_and_no_digest_travels() -> None:
    ran = start(LIST, ASKED, ots=REAL)
    ran[0].result()
    options = options_of("id", {})
    digests = digest_keys(TableSource(LIST), options.keys, salt=options.salt).digests
    sent = b"".join(
        raw for c in ran[2:] if isinstance(c, Recorder) for raws in c.sent.values() for raw in raws
    )
    assert b"acct-" not in sent
    assert not any(row.tobytes() in sent for row in digests)
    assert not any(row.tobytes()[:8] in sent for row in digests)


def test_queries_do_not_come_in_the_order_of_digests() -> None:
    """The rank among one's own digests would tell more than the prefix."""
    n = 64
    asked = pa.table({"id": [f"x{i}" for i in range(n)]})
    orders = set()
    for _ in range(2):
        _, _, _, channel = start(LIST, asked, prefix_bits=8)
        buckets = np.frombuffer(channel.sent[ot_query.BUCKETS][0], "<u4")
        assert (np.diff(buckets.astype(np.int64)) < 0).any()
        orders.add(buckets.tobytes())
    assert len(orders) == 2


def test_counted_bytes_equal_the_formula() -> None:
    n = ot_query.BATCH_QUERIES + 5
    asked = pa.table({"id": [f"x{i}" for i in range(n)]})
    owner, querier, owner_channel, querier_channel = start(LIST, asked, prefix_bits=2, ots=REAL)
    shape = owner.result().agreed.shape
    querier.result()

    def total(channel: Recorder, stream: int) -> int:
        return sum(map(len, channel.sent.get(stream, [])))

    assert total(owner_channel, ot_query.ANSWERS) == n * shape.answer_bytes
    assert shape.answer_bytes == shape.bound * (shape.width + 24)
    assert shape.width == 2 + 1 + 8
    assert total(querier_channel, ot_query.BUCKETS) == 4 * n
    extension = sum(
        softspoken.extension_bytes(size * 128, 4, MALICIOUS, chosen=True)
        for size in (ot_query.BATCH_QUERIES, 5)
    )
    setup = softspoken.setup_message_bytes(4, MALICIOUS) + 32 * 128
    assert total(querier_channel, ot_query.OTS) == setup + extension
    assert total(owner_channel, ot_query.OTS) == 64 * 128
    for channel, other in ((owner_channel, querier_channel), (querier_channel, owner_channel)):
        assert channel.stats.payload_bytes_sent == sum(total(channel, s) for s in range(4))
        assert channel.stats.payload_bytes_sent == other.stats.payload_bytes_received


def test_serve_and_ask_on_tables() -> None:
    owner, querier, _, _ = both(
        lambda c: serve(LIST, "id", c, list_name="x", prefix_bits=2, max_queries=3, threads=1),
        lambda c: ask(ASKED, "id", c, list_name="x", prefix_bits=2, min_bucket=10, threads=1),
    )
    assert owner.result().agreed.as_dict() == querier.result().agreed.as_dict()
    assert querier.result().n_found == 2


def test_unknown_options() -> None:
    channel = memory_pair()[0]
    with pytest.raises(TypeError, match="bits"):
        serve(LIST, "id", channel, list_name="x", bits=2)


def test_the_place_of_an_entry() -> None:
    rng = np.random.default_rng(4)
    found = rng.integers(0, 256, (50, 30), np.uint8)
    finder = np.ascontiguousarray(found[:, :8])
    assert [ot_query._place_of(finder[i], found) for i in range(50)] == list(range(50))
    assert ot_query._place_of(finder[3] ^ np.uint8(1), found) == 0
    found[40, :8] = found[7, :8]
    assert ot_query._place_of(finder[7], found) == 40
    assert ot_query._place_of(finder[0], found[:1]) == 0
