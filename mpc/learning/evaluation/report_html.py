# SPDX-License-Identifier: Apache-2.0
"""Building blocks of the report's HTML. Texts from outside go through `text`; markup is only made here."""

from __future__ import annotations

import base64
import hashlib
import html
import math
import re
from collections.abc import Iterable, Sequence

from crypsis.mpc.learning.evaluation.plots import Plot, dark
from crypsis.mpc.learning.evaluation.report_style import STYLE

# Control characters, lone surrogates, and those that turn the direction of what follows: all can make a name lie.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


class Markup(str):
    """Finished HTML; every other string is text that `text` escapes."""

    __slots__ = ()


def text(value: object) -> Markup:
    """`value` as text in an element or an attribute in double quotes."""
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(_UNSEEN.sub("\ufffd", str(value)), quote=True))


def number(value: float, digits: int = 4) -> str:
    """A figure with `digits` decimals, "n/a" for NaN."""
    if math.isnan(value):
        return "n/a"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:,.{digits}f}".replace("-", "−")


def count(value: float) -> str:
    """A count, or a sum of weights: with decimals only where it has any."""
    return number(value, 0 if float(value).is_integer() else 2)


def per_cent(value: float, digits: int = 1) -> str:
    """A share in per cent."""
    return "n/a" if math.isnan(value) else f"{value * 100:.{digits}f}%".replace("-", "−")


def score(value: float) -> str:
    """A score, to four digits."""
    return number(value) if not math.isfinite(value) else f"{value:.4g}".replace("-", "−")


def join(parts: Iterable[str]) -> Markup:
    """Pieces of markup (others are escaped), a line each."""
    return Markup("\n".join(text(part) for part in parts))


def paragraph(words: str, *, note: bool = False) -> Markup:
    kind = ' class="note"' if note else ""
    return Markup(f"<p{kind}>{text(words)}</p>")


def table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, texts: Sequence[int] = (0,)
) -> Markup:
    """A table whose first column names its rows; the columns in `texts` are words, the others figures. It scrolls
    within itself where the page is narrow, and takes the keyboard for that."""
    kinds = ["" if i in texts else ' class="n"' for i in range(len(columns))]
    head = "".join(f'<th scope="col"{kind}>{text(c)}</th>' for kind, c in zip(kinds, columns, strict=True))
    lines = []
    for row in rows:
        cells = [f'<th scope="row"{kinds[0]}>{text(row[0])}</th>']
        cells += [f"<td{kind}>{text(cell)}</td>" for kind, cell in zip(kinds[1:], row[1:], strict=True)]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    wide = ' class="wide"' if len(columns) > 4 else ""
    return Markup(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(caption)}">\n'
        f"<table{wide}>\n<caption>{text(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n"
        + "\n".join(lines)
        + "\n</tbody>\n</table>\n</div>"
    )


def _source(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def figure(title: str, plot: Plot, caption: str) -> Markup:
    """A figure with its heading, its alternative text, and a dark form for those who read so."""
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', plot.svg)
    if size is None:
        raise ValueError("the figure has no viewBox")
    width, height = (round(float(side) * 4 / 3) for side in size.groups())  # points to pixels
    return Markup(
        f"<figure>\n<h3>{text(title)}</h3>\n<picture>\n"
        f'<source media="screen and (prefers-color-scheme: dark)" srcset="{_source(dark(plot.svg))}">\n'
        f'<img src="{_source(plot.svg)}" alt="{text(plot.alternative)}" width="{width}" height="{height}">\n'
        f"</picture>\n<figcaption>{text(caption)}</figcaption>\n</figure>"
    )


def card(name: str, value: str, about: str) -> Markup:
    return Markup(
        f'<div><dt>{text(name)}</dt><dd class="value">{text(value)}</dd><dd class="about">{text(about)}</dd></div>'
    )


def reading(word: str) -> Markup:
    """The reading of a stability index, coloured; the word itself says it."""
    return Markup(f'<span class="{text(word)}">{text(word)}</span>')


def section(anchor: str, title: str, *content: str) -> Markup:
    return Markup(
        f'<section aria-labelledby="{anchor}">\n<h2 id="{anchor}">{text(title)}</h2>\n{join(content)}\n</section>'
    )


def page(title: str, head: Markup, contents: Sequence[tuple[str, str]], body: Markup, foot: str) -> str:
    """The document. Its policy forbids scripts, forms and every address but data in images; the one style sheet is
    admitted by its hash."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    links = "".join(f'<li><a href="#{anchor}">{text(name)}</a></li>' for anchor, name in contents)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="color-scheme" content="light dark">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#content">Skip to the content</a>\n'
        f'<header>\n<h1>{text(title)}</h1>\n{head}\n<nav aria-label="Contents"><ul>{links}</ul></nav>\n</header>\n'
        f'<main id="content">\n{body}\n</main>\n<footer>\n{paragraph(foot)}\n</footer>\n</body>\n</html>\n'
    )
