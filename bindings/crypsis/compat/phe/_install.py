# SPDX-License-Identifier: Apache-2.0
"""`import phe` means `crypsis.compat.phe`: entries in `sys.modules`, and nothing else."""

from __future__ import annotations

from crypsis.compat import _modules

_OURS = "crypsis.compat.phe"
_SUBMODULES = ("__about__", "encoding", "util", "paillier", "command_line", "serialise")


def install() -> None:
    """Make `import phe`, `from phe import paillier` and so on mean this package, in this process, from now on.

    Call it before the first `import phe`: ImportError where the real one is imported already. Twice is harmless.
    """
    _modules.install("phe", _OURS, _SUBMODULES)


def uninstall() -> None:
    """Undo `install`: the next `import phe` finds what is installed under that name. Harmless where nothing is."""
    _modules.uninstall("phe", _OURS, _SUBMODULES)
