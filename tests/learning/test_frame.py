# SPDX-License-Identifier: Apache-2.0
"""Tables as numbers, and model parts as files."""

from __future__ import annotations

import datetime
import decimal
import json
import stat

import numpy as np
import pyarrow as pa
import pytest

from crypsis.errors import CorruptData, DataError
from crypsis.mpc.learning.frame import Frame
from crypsis.mpc.learning.model_files import ModelPart

TABLE = pa.table(
    {
        "id": ["c1", "c2", "c3"],
        "age": pa.array([30, None, 50], pa.int32()),
        "income": [1.5, float("nan"), -2.0],
        "home": pa.array(["own", None, "rent"]).dictionary_encode(),
        "since": [datetime.date(1970, 1, 2), datetime.date(1970, 1, 11), None],
        "member": [True, False, None],
        "limit": pa.array([decimal.Decimal("1.25"), None, decimal.Decimal("2.50")]),
        "bad": [0, 1, 0],
    }
)


def test_columns_become_numbers():
    frame = Frame.from_arrow(TABLE, id="id", label="bad")
    assert frame.names == ("age", "income", "home", "since", "member", "limit")
    nan = np.nan
    expected = [[30, 1.5, 0, 1, 1, 1.25], [nan, nan, nan, 10, 0, nan], [50, -2, 1, nan, nan, 2.5]]
    np.testing.assert_array_equal(frame.values, expected)
    assert frame.labels.tolist() == [0, 1, 0]
    assert dict(frame.categories) == {"home": ("own", "rent")}
    part = frame.take([2, 0]).select(["home", "age"])
    assert part.ids.to_pylist() == ["c3", "c1"]
    np.testing.assert_array_equal(part.values, [[1, 50], [0, 30]])
    assert len(frame.take(frame.labels == 0)) == 2


def test_chunked_columns_and_chosen_ones():
    table = pa.concat_tables([TABLE, TABLE.slice(0, 0), TABLE.slice(1)])
    frame = Frame.from_arrow(table, columns=["home", "income"])
    assert frame.values.shape == (5, 2)
    assert frame.ids is None
    assert frame.labels is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Frame.from_arrow(TABLE, id="key"), "no column 'key'; the table has 'id'"),
        (lambda: Frame.from_arrow(TABLE, label="home"), "is text; give numbers"),
        (lambda: Frame.from_arrow(pa.table({"x": [[1]]})), "'x' is list"),
        (
            lambda: Frame.from_arrow(pa.table({"i": ["a", "a"], "x": [1, 2]}), id="i"),
            "more than once, .* 'a'",
        ),
        (lambda: Frame.from_arrow(pa.table({"i": ["a", None], "x": [1, 2]}), id="i"), "row 1 is missing"),
        (lambda: Frame.from_arrow(pa.table({"i": [0.5], "x": [1]}), id="i"), "ids are double"),
        (lambda: Frame.from_arrow(pa.table({"x": [float("inf")]})), "'x' is infinite in row 0"),
        (lambda: Frame.from_arrow(pa.table({"x": [1.0], "y": [None]}), label="y"), "label"),
        (lambda: Frame.from_arrow(pa.table({"x": [1.0], "y": [float("nan")]}), label="y"), "label of row 0"),
        (lambda: Frame.from_numpy(np.zeros((2, 2)), names=["a", "a"]), "'a' is there twice"),
    ],
)
def test_tables_that_cannot_be_used(make, message):
    with pytest.raises(DataError, match=message):
        make()


def test_wrong_lengths():
    for arguments in ({"labels": [1]}, {"ids": [1]}, {"names": ["a"]}):
        with pytest.raises(ValueError, match="give one each"):
            Frame.from_numpy(np.zeros((2, 2)), **arguments)
    with pytest.raises(ValueError, match="float64"):
        Frame(("a",), np.zeros((2, 1), dtype=np.float32))


def test_columns_as_they_were_trained():
    then = Frame.from_arrow(TABLE, id="id", label="bad")
    now = pa.table({"home": ["rent", "boat", None, "own"], "age": [1, 2, 3, 4], "more": [0, 0, 0, 0]})
    frame, unknown = Frame.from_arrow(now).as_trained(["age", "home"], then.categories)
    assert unknown == 1
    np.testing.assert_array_equal(frame.values, [[1, 1], [2, np.nan], [3, np.nan], [4, 0]])
    with pytest.raises(DataError, match="'income' is missing; the model"):
        Frame.from_arrow(now).as_trained(["income"], {})
    with pytest.raises(DataError, match="'home' is text and was numbers"):
        Frame.from_arrow(now).as_trained(["home"], {})
    with pytest.raises(DataError, match="'age' is numbers and was text"):
        Frame.from_arrow(now).as_trained(["age"], {"age": ("x",)})


def test_digests_of_ids():
    def digest(ids, salt=b"s", **options):
        return Frame.from_numpy(np.zeros((len(ids), 1)), ids=ids).id_digest(salt, **options)

    assert digest(["a", "b"]) != digest(["b", "a"])
    assert digest(["a", "b"], ordered=False) == digest(["b", "a"], ordered=False)
    assert digest(["ab", "c"]) != digest(["a", "bc"])
    assert digest([1, 2]) != digest(["1", "2"])
    assert digest([1], b"s") != digest([1], b"t")
    with pytest.raises(ValueError, match="no ids"):
        Frame.from_numpy([[1.0]]).id_digest(b"")


PART = ModelPart(kind="lr", role="guest", party="bank", job="j1", body={"w": [1.5, -2.25], "é": "x"})


def test_a_model_part_comes_back(tmp_path):
    path = tmp_path / "model.json"
    PART.save(path)
    assert ModelPart.load(path, kind="lr", role="guest") == PART
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(DataError, match="is there already"):
        PART.save(path)
    PART.save(path, overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.json"]
    with pytest.raises(DataError, match="kind 'lr', and 'boosting'"):
        ModelPart.load(path, kind="boosting")
    with pytest.raises(DataError, match="role 'guest', and 'host'"):
        ModelPart.load(path, role="host")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw | {"version": 2}, "version 2, this crypsis reads 1"),
        (lambda raw: raw | {"format": "onnx"}, "no model of crypsis"),
        (lambda raw: raw | {"body": {"w": [9]}}, "damaged or was edited"),
        (lambda raw: raw | {"role": "boss"}, "damaged"),
        (lambda raw: [raw], "no model"),
    ],
)
def test_other_model_files_are_refused(tmp_path, change, message):
    path = tmp_path / "model.json"
    PART.save(path)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(CorruptData, match=message):
        ModelPart.load(path)


def test_model_files_that_cannot_be_read_or_written(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        ModelPart.load(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("{")
    with pytest.raises(CorruptData, match="not JSON"):
        ModelPart.load(tmp_path / "text.json")
    with pytest.raises(DataError, match="cannot be written"):
        PART.save(tmp_path / "no" / "model.json")
    with pytest.raises(ValueError, match="JSON"):
        ModelPart(kind="lr", role="guest", party="p", job="j", body={"w": float("nan")}).save(
            tmp_path / "m.json"
        )
    assert not (tmp_path / "m.json").exists()


def test_columns_and_ids_that_arrow_itself_would_stumble_over():
    twice = pa.table([[1.0], [2.0], [3]], names=["a", "a", "id"])
    with pytest.raises(DataError, match="'a' is there twice"):
        Frame.from_arrow(twice, id="id")
    far = pa.table({"a": [1.0], "id": pa.array([2**63], pa.uint64())})
    with pytest.raises(DataError, match="2\\^63 or more"):
        Frame.from_arrow(far, id="id")
    near = pa.table({"a": [1.0], "id": pa.array([2**63 - 1], pa.uint64())})
    assert len(Frame.from_arrow(near, id="id").id_digest(b"")) == 32
