# SPDX-License-Identifier: Apache-2.0
"""One party's scorecard part as a JSON document (read back whole) and as a CSV table (for a spreadsheet)."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from typing import Any, Final

from crypsis.errors import CorruptData, DataError
from crypsis.mpc.jobs.workdir import write_durably
from crypsis.mpc.learning.evaluation.scorecard import Scaling, ScorecardBin, ScorecardFeature, ScorecardPart

FORMAT: Final = "crypsis scorecard"
FORMAT_VERSION: Final = 1
_MAX_BYTES: Final = 1 << 26
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_CSV_COLUMNS: Final = ("party", "feature", "bin", "label", "coefficient", "woe", "points")


def to_json(part: ScorecardPart) -> str:
    """The part as one JSON object, the same text for the same part."""
    scaling = part.scaling
    document = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "party": part.party,
        "scaling": {
            "base_score": scaling.base_score,
            "base_odds": scaling.base_odds,
            "pdo": scaling.pdo,
            "decimals": scaling.decimals,
            "higher_score": scaling.higher_score,
        },
        "base_points": part.base_points,
        "features": [
            {
                "name": feature.name,
                "coefficient": feature.coefficient,
                "bins": [{"label": b.label, "woe": b.woe, "points": b.points} for b in feature.bins],
            }
            for feature in part.features
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _fields(value: Any, names: tuple[str, ...], where: str) -> list[Any]:
    if not isinstance(value, dict) or set(value) != set(names):
        raise CorruptData(f"scorecard: {where} must have exactly {', '.join(names)}")
    return [value[name] for name in names]


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CorruptData(f"scorecard: {where} must be a finite number, not {value!r}")
    return float(value)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise CorruptData(f"scorecard: {where} must be a text, not {value!r}")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise CorruptData(f"scorecard: {where} must be a list")
    return value


def _feature(value: Any, i: int) -> ScorecardFeature:
    name, coefficient, bins = _fields(value, ("name", "coefficient", "bins"), f"feature {i}")
    found = []
    for j, each in enumerate(_list(bins, f"bins of feature {i}")):
        label, woe, points = _fields(each, ("label", "woe", "points"), f"feature {i}, bin {j}")
        where = f"feature {i}, bin {j}"
        found.append(ScorecardBin(_text(label, where), _number(woe, where), _number(points, where)))
    if not found:
        raise CorruptData(f"scorecard: feature {i} has no bins")
    return ScorecardFeature(_text(name, f"name {i}"), _number(coefficient, f"coefficient {i}"), tuple(found))


def from_json(text: str) -> ScorecardPart:
    """The part that `to_json` wrote. Raises CorruptData for anything else, naming what and another version as such."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorruptData(f"scorecard: not JSON: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise CorruptData(f"scorecard: not a {FORMAT} document")
    if document.get("version") != FORMAT_VERSION:
        raise CorruptData(
            f"scorecard: version {document.get('version')!r} is not {FORMAT_VERSION}: export it again with this release"
        )
    names = ("format", "version", "party", "scaling", "base_points", "features")
    _, _, party, scaling, base, features = _fields(document, names, "the document")
    told = ("base_score", "base_odds", "pdo", "decimals", "higher_score")
    score, odds, pdo, decimals, higher = _fields(scaling, told, "scaling")
    try:
        scale = Scaling(
            base_score=_number(score, "base_score"),
            base_odds=_number(odds, "base_odds"),
            pdo=_number(pdo, "pdo"),
            decimals=decimals,
            higher_score=higher,
        )
    except (ValueError, TypeError) as error:
        raise CorruptData(f"scorecard: {error}") from error
    parts = tuple(_feature(value, i) for i, value in enumerate(_list(features, "features")))
    if len({feature.name for feature in parts}) < len(parts):
        raise CorruptData("scorecard: two features have the same name")
    return ScorecardPart(
        _text(party, "party"), scale, parts, None if base is None else _number(base, "base_points")
    )


def _cell(text: str) -> str:
    """A text that a spreadsheet shows and does not compute: names come from elsewhere."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def to_csv(part: ScorecardPart) -> str:
    """The part as CSV with a header, one line a bin; base points are a line with the feature "(base points)".

    A text that a spreadsheet would take for a formula begins with an apostrophe. JSON is what is read back.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    party = _cell(part.party)
    if part.base_points is not None:
        writer.writerow((party, "(base points)", "", "", "", "", part.base_points))
    for feature in part.features:
        for number, each in enumerate(feature.bins):
            writer.writerow(
                (
                    party,
                    _cell(feature.name),
                    number,
                    _cell(each.label),
                    feature.coefficient,
                    each.woe,
                    each.points,
                )
            )
    return out.getvalue()


def write_scorecard(path: str | os.PathLike[str], part: ScorecardPart) -> None:
    """Writes the part under a name that ends in .json or .csv: whole or not at all, mode 0600.

    Raises ValueError for another ending, DataError where it cannot be written.
    """
    name = os.fspath(path)
    form = {".json": to_json, ".csv": to_csv}.get(os.path.splitext(name)[1].lower())
    if form is None:
        raise ValueError(f"{name}: a scorecard is written as .json or .csv")
    write_durably(name, form(part).encode())


def read_scorecard(path: str | os.PathLike[str]) -> ScorecardPart:
    """The part in a JSON file. Raises DataError where it cannot be read, CorruptData where it is something else."""
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror}") from error
    if len(data) > _MAX_BYTES:
        raise CorruptData(f"{name}: larger than {_MAX_BYTES} bytes: no scorecard")
    try:
        return from_json(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise CorruptData(f"{name}: not UTF-8 text") from error
    except CorruptData as error:
        raise CorruptData(f"{name}: {error}") from error
