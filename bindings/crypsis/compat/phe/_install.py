# SPDX-License-Identifier: Apache-2.0
"""`import phe` means `crypsis.compat.phe`: entries in `sys.modules`, and nothing else."""

from __future__ import annotations

import importlib
import sys

_OURS = "crypsis.compat.phe"
_NAMES = ("", ".__about__", ".encoding", ".util", ".paillier", ".command_line", ".serialise")


def install() -> None:
    """Make `import phe`, `from phe import paillier` and so on mean this package, in this process, from now on.

    Call it before the first `import phe`: ImportError where the real one is imported already. Twice is harmless.
    """
    other = sys.modules.get("phe")
    if other is not None and other is not sys.modules[_OURS]:
        raise ImportError(
            f"phe is imported already (from {getattr(other, '__file__', None)}): call crypsis.compat.phe.install()"
            " before anything imports phe"
        )
    modules = {"phe" + name: importlib.import_module(_OURS + name) for name in _NAMES}
    sys.modules.update(modules)


def uninstall() -> None:
    """Undo `install`: the next `import phe` finds what is installed under that name. Harmless where nothing is."""
    for name in _NAMES:
        if name == "" or "phe" + name in sys.modules:
            found = sys.modules.get("phe" + name)
            if found is not None and found is sys.modules.get(_OURS + name):
                del sys.modules["phe" + name]
