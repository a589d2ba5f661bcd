# SPDX-License-Identifier: Apache-2.0
"""Launch shapes: kernels/<slug>/tuning.json. A measurement on a GPU changes a number and its provenance, no code.

    {"kernels": {"permute": {"block": 256, "blocks": 4, "provenance": "counted: 40 registers, ..."}}}

`provenance` says where the figures come from: "counted: ..." from registers, shared memory and the limits of a
multiprocessor, or "measured: ..." with the row of benchmarks/results that a GPU wrote.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from crypsis.cuda._source import kernels_root

PROVENANCES = ("counted: ", "measured: ")


@cache
def launch_shapes(slug: str) -> Mapping[str, Mapping[str, int]]:
    """By kernel, what its launch takes: whole numbers by name. Read once a process.

    Raises:
        ValueError: a figure that is no positive whole number, or has no provenance; names the kernel.
    """
    path = kernels_root() / slug / "tuning.json"
    shapes = {}
    for kernel, entry in json.loads(path.read_text(encoding="utf-8"))["kernels"].items():
        figures = {name: value for name, value in entry.items() if name != "provenance"}
        for name, value in figures.items():
            if type(value) is not int or value < 1:
                raise ValueError(
                    f"kernels/{slug}/tuning.json: {name} of {kernel} is {value!r}: a positive whole number"
                )
        if not str(entry.get("provenance", "")).startswith(PROVENANCES):
            raise ValueError(
                f"kernels/{slug}/tuning.json: {kernel} has no provenance 'counted: ...' or 'measured: ...'"
            )
        shapes[kernel] = MappingProxyType(figures)
    return MappingProxyType(shapes)
