# SPDX-License-Identifier: Apache-2.0
"""Kernel sources as one text: NVRTC has no files, and a cache keyed by the text sees every change."""

from __future__ import annotations

import re
from pathlib import Path

_INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')
_ONCE = re.compile(r"^\s*#\s*pragma\s+once\b")


def kernels_root() -> Path:
    """The folder that `#include "common/arith.cuh"` counts from: of the wheel, or of the checkout.

    Raises:
        FileNotFoundError: neither is there.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "kernels", package.parent.parent / "kernels"):
        if (folder / "common").is_dir():
            return folder
    raise FileNotFoundError(f"no kernels folder beside {package}: reinstall crypsis")


def inline_includes(path: Path, *, root: Path | None = None) -> str:
    """The text of `path` with every `#include "..."` replaced by that file's text, each file once.

    Args:
        path: a `.cu` or `.cuh` file; a relative path counts from `root`.
        root: where include paths count from; the project's `kernels/` folder by default.

    Returns:
        One text without includes. `#line` directives name the files as `kernels/...` (relative to the parent
        of `root`; a file elsewhere by its name), so that errors point at the right line and the text is the
        same on every machine.

    Raises:
        FileNotFoundError: a file that is not there, naming who includes it.
        ValueError: a file outside `root`, or an include of `<...>`: NVRTC has no host headers.
    """
    base = (kernels_root() if root is None else Path(root)).resolve()
    start = (base / path).resolve()
    if not start.is_file():
        raise FileNotFoundError(f"no kernel source {path}")
    return _inlined(start, start.read_text(encoding="utf-8"), base, {start})


def inline_text(text: str, *, name: str = "source.cu", root: Path | None = None) -> str:
    """As `inline_includes` for a text that is no file; `name` stands in its `#line` directives."""
    base = (kernels_root() if root is None else Path(root)).resolve()
    return _inlined(Path(name), text, base, set())


def _inlined(path: Path, text: str, root: Path, seen: set[Path]) -> str:
    name = _shown(path, root)
    lines = [f'#line 1 "{name}"']
    for number, line in enumerate(text.splitlines(), start=1):
        match = _INCLUDE.match(line)
        if match:
            included = (root / match.group(1)).resolve()
            if not included.is_relative_to(root):
                raise ValueError(f"{name}:{number}: includes {match.group(1)}, which is outside {root.name}/")
            if not included.is_file():
                raise FileNotFoundError(f"{name}:{number}: includes {match.group(1)}: not in {root.name}/")
            if included not in seen:
                seen.add(included)
                lines.append(_inlined(included, included.read_text(encoding="utf-8"), root, seen))
            lines.append(f'#line {number + 1} "{name}"')
        elif re.match(r"^\s*#\s*include\b", line):
            raise ValueError(f"{name}:{number}: {line.strip()}: kernels include only files of {root.name}/")
        else:
            lines.append("" if _ONCE.match(line) else line)
    return "\n".join(lines) + "\n"


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root.parent).as_posix() if path.is_relative_to(root) else path.name
