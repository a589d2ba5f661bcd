# SPDX-License-Identifier: Apache-2.0
"""What every step of preprocessing has in common: parameters in scikit-learn's manner, a state for model files."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from crypsis.errors import CorruptData, DataError
from crypsis.mpc.learning.frame import Floats, Frame


class Fitted:
    """Base: `get_params`, `set_params`, `to_dict`, `from_dict`. What `fit` finds has names that end with "_"."""

    kind: ClassVar[str]
    """Names the step in a model file."""

    @classmethod
    def _parameter_names(cls) -> list[str]:
        return [name for name in inspect.signature(cls.__init__).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments."""
        return {name: getattr(self, name) for name in self._parameter_names()}

    def set_params(self, **params: Any) -> Self:
        """Changes arguments of the constructor, checked as it does; what was fitted is forgotten. ValueError for an
        unknown one."""
        unknown = sorted(set(params) - set(self._parameter_names()))
        if unknown:
            raise ValueError(
                f"{type(self).__name__} has no parameter {unknown[0]!r}; it has {', '.join(self._parameter_names())}"
            )
        fresh = type(self)(**{**self.get_params(), **params})
        self.__dict__.clear()
        self.__dict__.update(fresh.__dict__)
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_params().items())})"

    def _state(self) -> dict[str, Any]:
        """What `fit` found, as JSON values."""
        raise NotImplementedError

    def _restore(self, state: Mapping[str, Any]) -> None:
        """Takes what `_state` gave; KeyError, TypeError, ValueError where it is not that."""
        raise NotImplementedError

    def _check_fitted(self) -> None:
        if not any(name.endswith("_") and not name.startswith("_") for name in self.__dict__):
            raise ValueError(f"this {type(self).__name__} is not fitted: call fit first")

    def to_dict(self) -> dict[str, Any]:
        """Parameters and what was fitted, as JSON values for a model file. ValueError before `fit`."""
        self._check_fitted()
        return {"kind": self.kind, "params": self.get_params(), "state": self._state()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """What `to_dict` gave. CorruptData for anything else."""
        try:
            if stored["kind"] != cls.kind:
                raise CorruptData(f"a part of kind {str(stored['kind'])[:40]!r} is no {cls.kind!r}")
            made = cls(**stored["params"])
            made._restore(stored["state"])
        except (KeyError, TypeError, ValueError, AttributeError, DataError) as error:
            if isinstance(error, CorruptData):
                raise
            raise CorruptData(
                f"the stored {cls.kind} is damaged; take the file that the training wrote"
            ) from error
        return made


def named(columns: Sequence[str]) -> str:
    """Up to ten names in quotes, for messages."""
    more = f" and {len(columns) - 10} more" if len(columns) > 10 else ""
    return ", ".join(map(repr, columns[:10])) + more


def refuse_all_missing(frame: Frame) -> None:
    """DataError naming the columns without any value."""
    if not len(frame):
        raise DataError("the table has no rows; nothing can be fitted to it")
    lost = [frame.names[i] for i in np.flatnonzero(np.isnan(frame.values).all(axis=0))]
    if lost:
        raise DataError(f"no row has a value in {named(lost)}: leave out what is missing everywhere")


def refuse_text(frame: Frame, doing: str) -> None:
    """DataError naming categorical columns, where only numbers make sense."""
    texts = [name for name in frame.names if name in frame.categories]
    if texts:
        raise DataError(f"{named(texts)} hold categories, for which there is no {doing}: encode them first"
                        " (WoeEncoder), or leave them out")  # fmt: skip


def refuse_missing(frame: Frame) -> None:
    """DataError naming columns in which a value is missing."""
    holes = [frame.names[i] for i in np.flatnonzero(np.isnan(frame.values).any(axis=0))]
    if holes:
        raise DataError(f"values are missing in {named(holes)}: fill them first (Imputer, WoeEncoder)")


def finite_list(values: Any, length: int) -> Floats:
    """A stored list of finite numbers as float64[length]. ValueError, TypeError."""
    if not isinstance(values, list) or len(values) != length:
        raise ValueError("another number of values")
    if not all(type(v) in (int, float) and math.isfinite(v) for v in values):
        raise ValueError("not finite")
    return np.array(values, dtype=np.float64)


def name_tuple(values: Any) -> tuple[str, ...]:
    """A stored list of distinct names. ValueError."""
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise ValueError("no names")
    if len(set(values)) != len(values):
        raise ValueError("names twice")
    return tuple(values)


def stored_categories(frame_categories: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """Categories as JSON values."""
    return {name: list(texts) for name, texts in frame_categories.items()}


def read_categories(values: Any) -> dict[str, tuple[str, ...]]:
    """What `stored_categories` gave. ValueError, AttributeError."""
    return {str(name): name_tuple(texts) for name, texts in values.items()}
