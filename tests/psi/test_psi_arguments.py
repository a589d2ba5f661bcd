# SPDX-License-Identifier: Apache-2.0
"""Wrong arguments of `intersect` and `PsiOptions`: refused by name before a byte is sent."""

from __future__ import annotations

import logging
from typing import Any

import pyarrow as pa
import pytest

from crypsis.errors import ConfigError, DataError
from crypsis.mpc.data import KeySpec
from crypsis.mpc.psi import PsiOptions, intersect
from crypsis.mpc.transport import memory_pair

from .pair import psi_pair

TABLE = pa.table({"id": ["a", "b"], "flag": ["x", "y"]})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"role": "both"}, "role is 'both'"),
        ({"broadcast": "false"}, "broadcast is 'false': use True or False"),
        ({"align": 1}, "align is 1: use True or False"),
        ({"keys": ["id"]}, r"keys is \['id'\]: give a tuple of KeySpec"),
        ({"keys": ("id",)}, "give a tuple of KeySpec"),
        ({"keys": ()}, "keys is empty"),
        ({"keys": (KeySpec("id"), KeySpec("id", "int"))}, "'id' is named twice"),
        ({"batch_size": 0}, "batch_size is 0: use a whole number from 1 to 131072"),
        ({"batch_size": 1.5}, "batch_size is 1.5"),
        ({"batch_size": True}, "batch_size is True"),
        ({"threads": 0}, "threads is 0: use a whole number from 1 to 4096"),
        ({"threads": "2"}, "threads is '2'"),
        ({"max_output_rows": -1}, "max_output_rows is -1"),
        ({"job": 7}, "job is 7: give a text"),
        ({"job": "x" * 257}, "job is 257 bytes long"),
    ],
)
def test_options(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        PsiOptions(**{"role": "receiver", "keys": (KeySpec("id"),), **fields})


def test_intersect() -> None:
    here, there = memory_pair("bank", "telco")
    wrong: list[tuple[tuple[Any, ...], dict[str, Any], type[Exception], str]] = [
        (({"id": ["a"]}, "id", here), {}, TypeError, "table is dict: give a pyarrow Table"),
        ((TABLE, "id", "telco:7400"), {}, TypeError, "channel is str"),
        ((TABLE, 7, here), {}, TypeError, "KeySpec.name"),
        ((TABLE, ["id", "id"], here), {}, ConfigError, "named twice"),
        ((TABLE, "id", here), {"broadcast": "yes"}, ConfigError, "broadcast is 'yes'"),
        ((TABLE, "id", here), {"indicator": "flag"}, DataError, "'flag' exists already"),
        ((TABLE, "mail", here), {}, DataError, "mail"),
    ]
    for arguments, options, kind, named in wrong:
        with pytest.raises(kind, match=named):
            intersect(*arguments, role="receiver", **options)
    assert here.stats.messages_sent == 0
    there.abort("the test is over")


def test_several_keys_may_come_as_any_sequence_and_phases_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, logger="crypsis.psi"):
        bank, _ = psi_pair(TABLE, TABLE, on=("id", "flag"))
    assert len(bank.rows) == 2
    told = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("exchange: begun") for line in told)
    assert any(line.startswith("exchange: 0.") for line in told)
