# SPDX-License-Identifier: Apache-2.0
"""Our docstrings are plain text; what Markdown would run together is taken apart here.

- A list may follow its sentence without an empty line between, as on GitHub.
- Labels before aligned text, as protocols and parameters have them ("Leaks     the number of items", "C         the
  strength of the penalty"), begin paragraphs of their own.
"""

from __future__ import annotations

import re

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor

_ITEM = re.compile(r" {0,3}[-*] \S")
_LABEL = re.compile(r"([A-Za-z][\w, ]{0,70}?) {2,}(?=\S)")
_AFTER_FENCES = 20  # superfences have put fenced blocks aside at 25


def spaced(lines: list[str]) -> list[str]:
    """`lines` with empty lines where a list or a label begins."""
    done: list[str] = []
    for line in lines:
        before = done[-1] if done else ""
        label = _LABEL.match(line)
        if label:
            line = f"**{label[1]}:** {line[label.end() :]}"
        in_list = bool(_ITEM.match(before)) or before.startswith("  ")
        if before.strip() and (label or (_ITEM.match(line) and not in_list)):
            done.append("")
        done.append(line)
    return done


class _Spaced(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        return spaced(lines)


class Prose(Extension):
    """The Markdown extension."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 (Markdown's name)
        md.preprocessors.register(_Spaced(md), "crypsis-prose", _AFTER_FENCES)
