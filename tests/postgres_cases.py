# SPDX-License-Identifier: Apache-2.0
"""What the tests of PostgreSQL inputs share: tables, and how a query is expected to fail."""

from __future__ import annotations

import os
import traceback

import pytest

from crypsis.errors import DataError
from crypsis.mpc.data import open_database
from postgres_server import PASSWORD, QUOTED

UUID = "550e8400-e29b-41d4-a716-446655440000"
SETUP = """
create type plan as enum ('basic', 'family');
create table every (
  i2 int2, i4 int4, i8 int8, t text, v varchar(10), u uuid, b bytea, d date, n numeric(10, 2), ts timestamp,
  tz timestamptz, j jsonb, js json, bo bool, f8 float8, c char(5), a int4[], e plan, o oid, mo money);
insert into every values (
  -1, 2, 3, 'x,"y"', 'é', '550E8400-E29B-41D4-A716-446655440000', '\\x00ff', '2026-02-28', 12.50,
  '2026-02-28 10:00:00.5', '2026-02-28 10:00:00+01', '{"a":1}', '{"a":  1}', true, 1.5, 'ab', '{1,2}', 'family', 7, 1);
insert into every select from generate_series(1, 1);
create table customers as select i as id, 'customer-' || i as name from generate_series(1, 200000) i;
"""


def rows(source, columns=None):
    return [row for batch in source.batches(columns) for row in batch.to_pylist()]


def fails(query, uri, folder, *words, error=DataError, **options):
    """The message; nothing is left in the folder, and no password anywhere in the traceback."""
    before = sorted(os.listdir(folder))
    with pytest.raises(error) as caught:
        open_database(query, uri, folder, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert all(word in text for word in words), text
    told = "".join(traceback.format_exception(caught.value))
    for secret in (PASSWORD, QUOTED, "s3cret", "hunter2"):
        assert secret not in told, told
    assert sorted(os.listdir(folder)) == before
    return text
