# SPDX-License-Identifier: Apache-2.0
"""Sequence diagrams of mermaid as SVG, so that the site needs no program from elsewhere to show them.

The part of the language that our pages use:

    sequenceDiagram
        participant A as words
        A->>B: words            an arrow, with its words above it (B left of A, too)
        A-->>B: words           the same, dashed: only with an option
        Note over A: words      a box at A's line
        Note over A,B: words    a box from A's line to B's
        loop words / opt words  a frame around what follows, up to `end`

`<br/>` breaks words into lines. Anything else raises ValueError: the build fails, rather than the page lie.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field

WIDTH, MARGIN = 860, 20
LINE, GAP = 17, 16
_PARTICIPANT = re.compile(r"participant (\w+)(?: as (.+))?")
_ARROW = re.compile(r"(\w+)\s*(-{1,2}>>)\s*(\w+)\s*:\s*(.+)")
_NOTE = re.compile(r"Note over (\w+)(?:\s*,\s*(\w+))?\s*:\s*(.+)")
_FRAME = re.compile(r"(loop|opt)\b\s*(.*)")


@dataclass
class _Drawing:
    places: dict[str, float]
    y: float = 0.0
    parts: list[str] = field(default_factory=list)

    def words(self, x: float, lines: list[str], anchor: str = "middle", kind: str = "") -> None:
        """Lines of text from `y` on, which moves below them."""
        for line in lines:
            self.y += LINE
            text = html.escape(line.strip())
            self.parts.append(
                f'<text x="{x:.0f}" y="{self.y:.0f}" text-anchor="{anchor}"{kind}>{text}</text>'
            )

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        self.parts.append(f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" class="{kind}"/>')

    def box(self, x: float, y: float, width: float, height: float, kind: str) -> None:
        size = f'width="{width:.0f}" height="{height:.0f}"'
        self.parts.append(f'<rect x="{x:.0f}" y="{y:.0f}" {size} rx="4" class="{kind}"/>')


def _split(words: str) -> list[str]:
    return re.split(r"\s*<br\s*/?>\s*", words)


def _statements(source: str) -> list[str]:
    lines = [line.strip() for line in source.splitlines()]
    lines = [line for line in lines if line and not line.startswith("%%")]
    if not lines or lines[0] != "sequenceDiagram":
        raise ValueError("a diagram begins with 'sequenceDiagram'")
    for line in lines:
        if ";" in line or "#" in line:  # GitHub's mermaid would end the statement there
            raise ValueError(f"a line of a diagram has ';' or '#': {line!r}")
    return lines[1:]


def svg(source: str) -> str:
    """The diagram as an SVG element, in the colours of the page. ValueError for what it does not know."""
    statements = _statements(source)
    titles: dict[str, str] = {}
    while statements and (match := _PARTICIPANT.fullmatch(statements[0])):
        titles[match[1]] = match[2] or match[1]
        statements.pop(0)
    if len(titles) < 2:
        raise ValueError("a diagram begins with its participants, two at least")
    step = (WIDTH - 2 * MARGIN) / len(titles)
    drawing = _Drawing({name: MARGIN + step * (i + 0.5) for i, name in enumerate(titles)})
    drawing.y = 8
    for name, title in titles.items():
        drawing.y = 8
        drawing.words(drawing.places[name], _split(title), kind=' class="title"')
    top = drawing.y = 8 + LINE * max(len(_split(title)) for title in titles.values()) + 8
    frames: list[float] = []
    for statement in statements:
        _draw(drawing, statement, frames)
    if frames:
        raise ValueError("a frame is not closed: 'end' is missing")
    height = drawing.y + GAP
    lives = _Drawing(drawing.places)
    for x in drawing.places.values():
        lives.line(x, top, x, height - 4, "life")
    label = html.escape(" and ".join(titles.values()).replace("<br/>", " "), quote=True)
    body = "\n".join(lives.parts + drawing.parts)
    size = f'viewBox="0 0 {WIDTH} {height:.0f}"'
    return f'<div class="sequence"><svg {size} role="img" aria-label="Messages between {label}">\n{body}\n</svg></div>'


def _draw(drawing: _Drawing, statement: str, frames: list[float]) -> None:
    places = drawing.places
    if statement == "end":
        if not frames:
            raise ValueError("'end' without a frame")
        begin = frames.pop()
        drawing.y += GAP
        inset = 4 + 6 * len(frames)
        drawing.box(inset, begin, WIDTH - 2 * inset, drawing.y - begin, "frame")
    elif match := _ARROW.fullmatch(statement):
        start, end = _at(places, match[1], statement), _at(places, match[3], statement)
        drawing.y += GAP - 6
        drawing.words((start + end) / 2, _split(match[4]))
        drawing.y += 7
        drawing.line(start, drawing.y, end, drawing.y, "arrow" if match[2] == "->>" else "arrow dashed")
        back = -8 if end > start else 8
        points = f"{end:.0f},{drawing.y:.0f} {end + back:.0f},{drawing.y - 4:.0f} {end + back:.0f},{drawing.y + 4:.0f}"
        drawing.parts.append(f'<polygon points="{points}" class="head"/>')
    elif match := _NOTE.fullmatch(statement):
        first = _at(places, match[1], statement)
        last = _at(places, match[2], statement) if match[2] else first
        lines = _split(match[3])
        # Latin letters are some 7 wide; Chinese ones twice that.
        longest = max(sum(7 if ord(letter) < 0x2E80 else 14 for letter in line) for line in lines)
        middle, width = (first + last) / 2, max(longest + 24, abs(last - first) + 60)
        width = min(width, WIDTH - 8)
        left = min(max(4, middle - width / 2), WIDTH - 4 - width)
        drawing.y += GAP
        drawing.box(left, drawing.y, width, LINE * len(lines) + 12, "note")
        drawing.y += 2
        drawing.words(left + width / 2, lines)
        drawing.y += 10
    elif match := _FRAME.fullmatch(statement):
        drawing.y += GAP
        frames.append(drawing.y)
        drawing.words(14 + 6 * len(frames), [f"{match[1]}: {match[2]}"], "start", ' class="label"')
    else:
        raise ValueError(f"a diagram has a line that cannot be drawn: {statement!r}")


def _at(places: dict[str, float], name: str, statement: str) -> float:
    if name not in places:
        raise ValueError(f"{name!r} is no participant: {statement!r}")
    return places[name]
