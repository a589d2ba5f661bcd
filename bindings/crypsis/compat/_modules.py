# SPDX-License-Identifier: Apache-2.0
"""A drop-in under the name of what it replaces: entries in `sys.modules`, and nothing else. Private."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence


def install(name: str, ours: str, submodules: Sequence[str]) -> None:
    """`import name` means the package `ours` from now on, `name.x` its module x. ImportError where another one is
    imported already. Twice is harmless."""
    other = sys.modules.get(name)
    if other is not None and other is not sys.modules[ours]:
        raise ImportError(
            f"{name} is imported already (from {getattr(other, '__file__', None)}): call {ours}.install() before"
            f" anything imports {name}"
        )
    names = ("", *(f".{submodule}" for submodule in submodules))
    sys.modules.update({name + suffix: importlib.import_module(ours + suffix) for suffix in names})


def uninstall(name: str, ours: str, submodules: Sequence[str]) -> None:
    """Undo `install`. Harmless where nothing is."""
    for suffix in ("", *(f".{submodule}" for submodule in submodules)):
        found = sys.modules.get(name + suffix)
        if found is not None and found is sys.modules.get(ours + suffix):
            del sys.modules[name + suffix]
