# SPDX-License-Identifier: Apache-2.0
"""`import tenseal` means `crypsis.compat.tenseal`: entries in `sys.modules`, and nothing else."""

from __future__ import annotations

from crypsis.compat import _modules

_OURS = "crypsis.compat.tenseal"
_SUBMODULES = (
    "enc_context",
    "version",
    "tensors",
    "tensors.abstract_tensor",
    "tensors.ckkstensor",
    "tensors.ckksvector",
    "tensors.plaintensor",
)


def install() -> None:
    """Make `import tenseal` mean this package, in this process, from now on.

    Call it before the first `import tenseal`: ImportError where the real one is imported already. Twice is harmless.
    """
    _modules.install("tenseal", _OURS, _SUBMODULES)


def uninstall() -> None:
    """Undo `install`: the next `import tenseal` finds what is installed under that name. Harmless where nothing is."""
    _modules.uninstall("tenseal", _OURS, _SUBMODULES)
