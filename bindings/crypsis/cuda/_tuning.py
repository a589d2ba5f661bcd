# SPDX-License-Identifier: Apache-2.0
"""Launch shapes: kernels/<slug>/tuning.json, so that a measurement on a GPU changes a number and its provenance alone.

    {"kernels": {"permute": {"block": 256, "blocks": 4, "provenance": "counted: 40 registers, ..."}}}

`provenance` says where the figures come from: "counted: ..." from registers, shared memory and the limits of a
multiprocessor, or "measured: ..." with the row of benchmarks/results that a GPU wrote. `block` is the threads of a
block, `blocks` how many of them a multiprocessor is to hold. "*" stands for all kernels without an entry of their own,
and "permute@13" or "*@13" for size 13 alone, whatever the slug calls a size. An entry for several kernels names them:
"of": ["grow_ggm", "grow_half"].
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

from crypsis.cuda._source import kernels_root

PROVENANCES = ("counted: ", "measured: ")
ANY = "*"


@cache
def _entries(slug: str) -> Mapping[str, Mapping[str, Any]]:
    path = kernels_root() / slug / "tuning.json"
    entries: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["kernels"]
    for kernel, entry in entries.items():
        for name, value in entry.items():
            if name not in ("provenance", "of") and (type(value) is not int or value < 1):
                raise ValueError(
                    f"kernels/{slug}/tuning.json: {name} of {kernel} is {value!r}: a positive whole number"
                )
        if not str(entry.get("provenance", "")).startswith(PROVENANCES):
            raise ValueError(
                f"kernels/{slug}/tuning.json: {kernel} has no provenance 'counted: ...' or 'measured: ...'"
            )
    return entries


@cache
def launch_shapes(slug: str) -> Mapping[str, Mapping[str, int]]:
    """By entry, what its kernels' launches take: whole numbers by name. Read once a process.

    Raises:
        ValueError: a figure that is no positive whole number, or has no provenance; names the entry.
    """
    return MappingProxyType(
        {
            name: MappingProxyType({k: v for k, v in entry.items() if k not in ("provenance", "of")})
            for name, entry in _entries(slug).items()
        }
    )


@cache
def launch_shape(slug: str, kernel: str = ANY, size: int | None = None) -> Mapping[str, int]:
    """What the launch of a kernel takes: its own entry, before one that names it, before that of all; its size's first.

    Raises:
        ValueError: as `launch_shapes`, and where no entry is for the kernel.
    """
    groups = [name for name, entry in _entries(slug).items() if kernel in entry.get("of", ())]
    for name in (f"{kernel}@{size}", kernel, *groups, f"{ANY}@{size}", ANY):
        if name in _entries(slug):
            return launch_shapes(slug)[name]
    raise ValueError(f"kernels/{slug}/tuning.json has no entry for {kernel}")


def block_of(slug: str, kernel: str) -> int:
    """Threads of a block of the kernel."""
    return launch_shape(slug, kernel)["block"]
