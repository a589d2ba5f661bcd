# SPDX-License-Identifier: Apache-2.0
"""Rows: written and read again, refused where they are of another version or no rows; and what changed between two."""

from __future__ import annotations

import contextlib
import io
import json
import statistics
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from crypsis.errors import CorruptData, DataError
from crypsis.mpc.bench import rows, table
from crypsis.mpc.bench.compare import compare

from .cases import row, scaling


def test_rows_are_appended_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rows.jsonl"
    made = [row("a"), row("b", peers={"p": {"ratio": 2.0}}), scaling("threads", 2, 100, 1.0)]
    for one in made:
        rows.append(path, one)
    assert rows.read(path) == made


def test_a_row_goes_behind_a_line_without_an_end(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row("a")))
    rows.append(path, row("b"))
    rows.append(path, row("c"))
    assert [one["name"] for one in rows.read(path)] == ["a", "b", "c"]


def test_a_full_disk_is_said() -> None:
    with pytest.raises(DataError, match="/dev/full: cannot be written: No space left"):
        rows.append(Path("/dev/full"), row())


def test_rows_of_before_there_was_a_version_are_read(tmp_path: Path) -> None:
    old = row()
    del old["schema"], old["suite"]
    rows.append(tmp_path / "old", old)
    assert rows.read(tmp_path / "old") == [old]


def test_the_rows_of_the_checkout_are_read() -> None:
    for path in sorted((Path(__file__).parents[2] / "benchmarks" / "results").glob("2026-*.jsonl")):
        assert rows.read(path)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"schema": 2}, "schema version 2, this release reads 1"),
    ({"schema": "1"}, "schema version '1'"),
    ({"schema": True}, "schema version True"),
    ({"name": 7}, "no usable 'name'"),
    ({"per_second": 0}, "per_second is 0"),
    ({"per_second": "fast"}, "no usable 'per_second'"),
    ({"items": 10**400}, "items is 1"),
    ({"items": True}, "no usable 'items'"),
    ({"seconds_median": -1.0}, "seconds_median is -1"),
    ({"seconds_iqr": -1.0}, "seconds_iqr is -1"),
    ({"spread": -0.1}, "spread is -0.1"),
    ({"spread": "wide"}, "spread is 'wide'"),
    ({"spread": 1e400}, "spread is inf"),
    ({"peers": {"p": {"ratio": 2, "ratio_spread": -1}}}, "peer 'p' has no usable ratio_spread"),
    ({"peers": []}, "no usable 'peers'"),
    ({"peers": {"p": {}}}, "peer 'p' has no usable ratio"),
    ({"peers": {"p": {"ratio": 0}}}, "peer 'p' has no usable ratio"),
    ({"limit": {"percent": 3}}, "no usable 'limit'"),
    ({"limit": 3}, "no usable 'limit'"),
    ({"extra": 3}, "no usable 'extra'"),
    ({"suite": "scale"}, "no usable 'axis' and 'at'"),
    ({"extra": {"axis": "threads", "at": "two"}}, "no usable 'axis' and 'at'"),
    ({"extra": {"axis": "threads", "at": 0}}, "no usable 'axis' and 'at'"),
    ({"extra": {"axis": "rows", "at": True}}, "no usable 'axis' and 'at'"),
    ({"extra": {"axis": "rows", "at": 10**400}}, "no usable 'axis' and 'at'"),
]


@pytest.mark.parametrize(("changed", "told"), BAD)
def test_a_row_that_cannot_be_used_is_refused_with_its_line(
    tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row()) + "\n" + json.dumps(row() | changed) + "\n")
    with pytest.raises(CorruptData, match="line 2") as error:
        rows.read(path)
    assert told in str(error.value)


@pytest.mark.parametrize("text", ["", "\n\n", "[]", "{", "null", '{"schema": 1}', "\x00"])
def test_what_is_no_file_of_rows_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(CorruptData):
        rows.read(tmp_path / "x")


def test_bytes_and_missing_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(CorruptData, match="UTF-8"):
        rows.read(tmp_path / "x")
    with pytest.raises(DataError, match="No such file"):
        rows.read(tmp_path / "gone")


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=4), st.data())
def test_any_value_in_any_field_is_read_or_refused(value: Any, data: Any) -> None:
    field = data.draw(st.sampled_from([*row(), "limit"]))
    with contextlib.suppress(CorruptData):  # nothing else
        rows._checked(Path("x"), 1, json.dumps(row() | {field: value}))


def test_the_environment_names_no_person_or_place() -> None:
    found = rows.environment()
    assert {"date", "commit", "dirty", "cpu", "cpus", "cpu_flags", "versions"} <= set(found)
    assert str(Path.home()) not in json.dumps(found)


@pytest.mark.parametrize(("forced", "told"), [("avx2", "avx2"), ("", None), (None, None)])
def test_the_environment_says_which_backend_was_forced(
    forced: str | None, told: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row of `avx2` on a CPU with AVX-512 is none of another CPU."""
    monkeypatch.delenv("CRYPSIS_BACKEND", raising=False)
    if forced is not None:
        monkeypatch.setenv("CRYPSIS_BACKEND", forced)
    assert rows.environment()["forced_backend"] == told


def test_a_change_within_the_spread_is_none() -> None:
    (change,) = compare([row(per_second=100, iqr=0.06)], [row(per_second=109, iqr=0.05)]).changes
    assert change.verdict == "within the noise"
    assert change.noise == pytest.approx(0.11)


@pytest.mark.parametrize(
    ("after", "verdict"),
    [
        (100, "within the noise"),
        (101.9, "within the noise"),
        (103, "faster"),
        (98.5, "within the noise"),
        (95, "slower"),
    ],
)
def test_two_per_cent_are_noise_however_still_the_rounds_were(after: float, verdict: str) -> None:
    (change,) = compare([row(per_second=100)], [row(per_second=after)]).changes
    assert change.verdict == verdict


def test_the_noise_is_the_spread_that_was_printed() -> None:
    before, after = row(per_second=100) | {"spread": 0.03}, row(per_second=107) | {"spread": 0.05}
    (change,) = compare([before], [after]).changes
    assert change.noise == pytest.approx(0.08)
    assert change.verdict == "within the noise"
    (change,) = compare([before], [after | {"spread": 0.03}]).changes
    assert change.verdict == "faster"


def test_the_spread_is_what_a_pass_or_half_the_quartiles_are_off_by() -> None:
    steady = [1.0, 1.0, 1.0]
    assert rows.spread_of([2.0]) == 0
    assert rows.spread_of([0.9, 1.0, 1.1]) == pytest.approx(0.05)
    assert rows.spread_of(steady + [1.2] * 3 + steady, (3, 3, 3)) == pytest.approx(0.2)  # a slow phase
    assert rows.spread_of(steady + [0.7] * 3 + steady, (3, 3, 3)) == pytest.approx(3 / 7)  # a fast one
    assert rows.spread_of([1.0, 1.0, 9.0] * 3, (3, 3, 3)) > 1  # passes agree, rounds do not
    three = [rows.Timing(steady), rows.Timing([1.2] * 3), rows.Timing(steady)]
    made = rows.Measurement(
        "x", 6, "items", rows.Timing.joined(three), {"p": rows.Timing.joined(three[::-1])}
    )
    found = made.as_row()
    assert (found["rounds"], found["passes"]) == (9, 3)
    assert found["spread"] == pytest.approx(0.2)
    assert found["peers"]["p"]["ratio_spread"] == 0  # both were slow at once
    assert "±20 %" in made.as_text()


@given(st.lists(st.lists(st.floats(0.1, 10), min_size=1, max_size=5), min_size=1, max_size=5))
def test_every_pass_lies_within_the_spread(passes: list[list[float]]) -> None:
    joined = rows.Timing.joined([rows.Timing(one) for one in passes])
    spread = joined.as_row(1)["spread"]
    for one in passes:
        assert joined.median / (1 + spread) <= statistics.median(one) * (1 + 1e-9)
        assert statistics.median(one) <= joined.median * (1 + spread) * (1 + 1e-9)


def test_runs_that_differ_among_themselves_are_noisy() -> None:
    (change,) = compare([row(per_second=n) for n in (80, 100, 120)], [row(per_second=130)]).changes
    assert change.before == 100
    assert change.noise == pytest.approx(0.4)
    assert change.verdict == "within the noise"


@given(st.floats(1, 1e9), st.floats(1, 1e9), st.floats(0, 1), st.floats(0, 1))
def test_the_other_way_round_the_verdict_is_the_opposite(a: float, b: float, x: float, y: float) -> None:
    opposite = {"faster": "slower", "slower": "faster", "within the noise": "within the noise"}
    one, two = row(per_second=a, iqr=x), row(per_second=b, iqr=y)
    (there,), (back,) = compare([one], [two]).changes, compare([two], [one]).changes
    assert back.verdict == opposite[there.verdict]


def test_a_small_share_is_not_none() -> None:
    shares = [table.share(row(limit={"percent": p, "what": "AES: x"})) for p in (0, 0.031, 1.4, 99.6)]
    assert shares == ["0 % of AES", "0.03 % of AES", "1 % of AES", "100 % of AES"]


@pytest.mark.parametrize("width", [60, 80])
def test_a_narrow_terminal_loses_nothing_of_a_name(width: int) -> None:
    names = ["paillier/encrypt, by the key's owner/2048", "bigint/powm/2048, one 1024-bit exponent"]
    made = [row(name, unit="encryptions", peers={"cryptography": {"ratio": 7.5}}) for name in names]
    for shown in (table.results(made), table.changes(compare(made, made).changes)):
        console = Console(file=io.StringIO(), width=width)
        console.print(shown)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        assert "\u2026" not in text
        assert max(map(len, text.splitlines())) <= width


def test_cases_of_one_side_and_other_machines_are_told() -> None:
    found = compare(
        [row("a"), row("b"), row("c", items=5)], [row("b", cpu="Other"), row("c", items=6, dirty=True)]
    )
    assert [one.name for one in found.changes] == ["b x 1"]
    assert found.only_before == ["a x 1", "c x 5"]
    assert found.only_after == ["c x 6"]
    assert "processors differ" in found.remarks[0]
    assert "B has rows of a checkout with uncommitted changes" in found.remarks[-1]
