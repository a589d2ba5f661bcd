# SPDX-License-Identifier: Apache-2.0
"""The steps before a training, as a configuration names them: made, fitted under the protocol, applied, stored.

    preprocess:
      - impute: {strategy: median}
      - woe: {max_bins: 8}
      - select: {min_iv: 0.02}
      - standardise

The configuration is the same at both parties, and so is the order in which they exchange messages.
"""

from __future__ import annotations

import importlib
import inspect
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from crypsis.errors import ConfigError, CorruptData, DataError
from crypsis.mpc.learning.frame import Frame
from crypsis.mpc.learning.job_input import RefusedData, check_labels, check_values
from crypsis.mpc.learning.session import Session

_MODULE: Final = "crypsis.mpc.learning.preprocess"
STEPS: Final = {
    "impute": "Imputer",
    "standardise": "StandardScaler",
    "min-max": "MinMaxScaler",
    "bin": "Binner",
    "woe": "WoeEncoder",
    "select": "FeatureSelector",
}

_OWN: Final = ("by_column", "edges", "share_names")
"""Options about a party's own columns, in which the parties may differ."""


def check_steps(steps: Sequence[Mapping[str, Any] | str]) -> list[Any]:
    """The steps, made but not fitted. ConfigError naming the step and the option that will not do."""
    made = [_made(place, step) for place, step in enumerate(steps)]
    for place, step in enumerate(made):
        if _encoder_before(made, place) is None and _wants_encoder(step):
            raise ConfigError(
                f"preprocess.{place}.select: goes by IV, which the step woe finds; add woe before it"
            )
    return made


def _made(place: int, step: Mapping[str, Any] | str) -> Any:
    where = f"preprocess.{place}"
    if isinstance(step, str):
        step = {step: {}}
    if len(step) != 1:
        raise ConfigError(
            f"{where}: write one step, `- impute: {{strategy: median}}`; steps are {', '.join(STEPS)}"
        )
    ((name, options),) = step.items()
    if name not in STEPS:
        raise ConfigError(f"{where}: there is no step {name!r}; steps are {', '.join(STEPS)}")
    if options is None or options is True:
        options = {}
    if not isinstance(options, Mapping):
        raise ConfigError(f"{where}.{name}: give its options by name, as in `- impute: {{strategy: median}}`")
    kind = _class(name)
    known = list(inspect.signature(kind).parameters)
    for option in options:
        if option not in known:
            told = ", ".join(known) or "no options"
            raise ConfigError(f"{where}.{name}: no option {option!r}; it has {told}")
    try:
        return kind(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}.{name}: {error}") from error


def _wants_encoder(step: Any) -> bool:
    return "encoder" in inspect.signature(step.fit).parameters


def _encoder_before(steps: Sequence[Any], place: int) -> Any:
    """The step woe that a selection goes by: the last one before it."""
    found = [one for one in steps[:place] if one.kind == _class("woe").kind]
    return found[-1] if found else None


def public_steps(steps: Sequence[Mapping[str, Any] | str]) -> list[dict[str, Any]]:
    """Every step with its options, as JSON values: what both parties must have the same. What names own columns is
    left out."""
    told = []
    for name, made in zip(step_names(steps), check_steps(steps), strict=True):
        options = {key: value for key, value in made.get_params().items() if key not in _OWN}
        # An infinite limit has no JSON.
        told.append({name: json.loads(json.dumps(_finite(options)))})
    return told


def step_names(steps: Sequence[Mapping[str, Any] | str]) -> list[str]:
    """The name of each step, of those that `check_steps` takes."""
    return [next(iter(step)) if isinstance(step, Mapping) else step for step in steps]


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def fit_steps(steps: Sequence[Any], frame: Frame, session: Session) -> Frame:
    """Fits each step to what the one before gives, together with the peer where it needs it; the last one's frame.

    RefusedData for columns that a step cannot take, told to the peer without their names.
    """
    names = {_class(name).kind: name for name in STEPS}
    for place, step in enumerate(steps):
        session.progress("preprocess", place, len(steps), {})
        name = names[step.kind]
        if name == "woe":
            check_labels(frame, "binary", f"the step {name}")
        check_values(frame)
        if _wants_encoder(step):
            step.fit(frame, _encoder_before(steps, place), session=session)
        elif "session" in inspect.signature(step.fit).parameters:
            step.fit(frame, session=session)
        else:
            try:
                step.fit(frame)
            except DataError as error:
                raise RefusedData(
                    f"preprocess.{place}.{name}: {error}",
                    public=f"its columns will not do for the step {name}",
                ) from error
        frame = step.transform(frame)
    session.progress("preprocess", len(steps), len(steps), {})
    return frame


def told_steps(steps: Sequence[Any]) -> list[dict[str, Any]]:
    """What the report says of fitted steps: parameters, IV, which columns stayed and why others did not."""
    found = []
    for step in steps:
        told: dict[str, Any] = {"step": step.kind, "parameters": _finite(step.get_params())}
        for name in ("iv_", "peer_iv_", "kept_", "peer_kept_", "dropped_"):
            if hasattr(step, name):
                told[name.rstrip("_")] = getattr(step, name)
        found.append(json.loads(json.dumps(told)))
    return found


def apply_steps(steps: Sequence[Any], frame: Frame) -> Frame:
    """The frame as the model takes it. DataError for a column that is missing or of another type."""
    for step in steps:
        frame = step.transform(frame)
    return frame


def stored_steps(steps: Sequence[Any]) -> list[dict[str, Any]]:
    """Fitted steps as JSON values, for model files and checkpoints."""
    return [step.to_dict() for step in steps]


def restored_steps(stored: Any) -> list[Any]:
    """What `stored_steps` gave. CorruptData for anything else."""
    kinds = {_class(name).kind: _class(name) for name in STEPS}
    if not isinstance(stored, list) or any(
        not isinstance(one, dict) or one.get("kind") not in kinds for one in stored
    ):
        raise CorruptData("the stored preprocessing is damaged; take the file that the training wrote")
    return [kinds[one["kind"]].from_dict(one) for one in stored]


def _class(name: str) -> Any:
    return getattr(importlib.import_module(_MODULE), STEPS[name])
