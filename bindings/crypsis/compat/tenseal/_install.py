# SPDX-License-Identifier: Apache-2.0
"""`import tenseal` means `crypsis.compat.tenseal`: entries in `sys.modules`, and nothing else."""

from __future__ import annotations

import importlib
import sys

_OURS = "crypsis.compat.tenseal"
_NAMES = (
    "",
    ".enc_context",
    ".version",
    ".tensors",
    ".tensors.abstract_tensor",
    ".tensors.ckkstensor",
    ".tensors.ckksvector",
    ".tensors.plaintensor",
)


def install() -> None:
    """Make `import tenseal` mean this package, in this process, from now on.

    Call it before the first `import tenseal`: ImportError where the real one is imported already. Twice is harmless.
    """
    other = sys.modules.get("tenseal")
    if other is not None and other is not sys.modules[_OURS]:
        raise ImportError(
            f"tenseal is imported already (from {getattr(other, '__file__', None)}): call"
            " crypsis.compat.tenseal.install() before anything imports tenseal"
        )
    modules = {"tenseal" + name: importlib.import_module(_OURS + name) for name in _NAMES}
    sys.modules.update(modules)


def uninstall() -> None:
    """Undo `install`: the next `import tenseal` finds what is installed under that name. Harmless where nothing is."""
    for name in _NAMES:
        found = sys.modules.get("tenseal" + name)
        if found is not None and found is sys.modules.get(_OURS + name):
            del sys.modules["tenseal" + name]
