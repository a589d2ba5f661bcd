# SPDX-License-Identifier: Apache-2.0
"""kernels/<slug>/tuning.json: the loader refuses bad entries, every kernel has a shape, and every shape fits a GPU."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crypsis import hashing, ntt
from crypsis.cuda import _ntt_tables, _tuning
from crypsis.cuda import hashing as on_device
from crypsis.cuda._bigint_kernels import SQUARING, shape_of
from crypsis.cuda._modules import source_text
from crypsis.cuda._ntt_tables import Shape
from crypsis.cuda._registry import registered
from crypsis.cuda._signature import kernels_of
from crypsis.cuda._source import kernels_root
from cuda_on_cpu.device import ShimDevice

KERNELS = kernels_root()
SLUGS = sorted(path.parent.name for path in KERNELS.glob("*/instances.json"))
REGISTERS, THREADS, MOST_BLOCKS = 65536, 2048, 32
SHARED = {"sm_80": 163 << 10, "sm_90": 227 << 10, "sm_100": 227 << 10}
COUNTED_FOR = "sm_90"
"""Where the blocks of a multiprocessor must all fit. Elsewhere one must: more registers there mean more waves."""
RESERVED = 1 << 10
"""Shared memory that the driver takes of each block."""


def sources(slug: str) -> list[Path]:
    return [path.relative_to(KERNELS) for path in sorted((KERNELS / slug).glob("*.cu"))]


def kernels_in(slug: str) -> set[str]:
    return {name for source in sources(slug) for name in kernels_of(source_text(source))}


def resources(slug: str) -> Iterator[tuple[str, int | None, str, str, dict[str, int]]]:
    """(file, size, architecture, kernel, what it takes) of every instance that was compiled."""
    for path in sorted((KERNELS / slug).glob("resources*.json")):
        for instance, targets in json.loads(path.read_text())["instances"].items():
            for architecture, kernels in targets.items():
                for kernel, takes in kernels.items():
                    size = int(instance) if instance.isdecimal() else None
                    yield f"{path.name} {instance}", size, architecture, kernel, takes


# ---- the loader ---------------------------------------------------------------------------------------------------


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """plant(entries): the tuning.json of slug `toy`."""
    monkeypatch.setattr(_tuning, "kernels_root", lambda: tmp_path)

    def plant(entries: Any) -> None:
        (tmp_path / "toy").mkdir(exist_ok=True)
        (tmp_path / "toy" / "tuning.json").write_text(json.dumps({"kernels": entries}))

    yield plant
    for cached in (_tuning._entries, _tuning.launch_shapes, _tuning.launch_shape):
        cached.cache_clear()


COUNTED = {"provenance": "counted: 40 registers"}


def test_figures_without_their_provenance(planted: Any) -> None:
    planted({"a": {"block": 256, "blocks": 4, **COUNTED}, "b": {"block": 1, "provenance": "measured: row 3"}})
    assert _tuning.launch_shapes("toy") == {"a": {"block": 256, "blocks": 4}, "b": {"block": 1}}
    assert _tuning.block_of("toy", "a") == 256
    with pytest.raises(TypeError):
        _tuning.launch_shapes("toy")["a"]["block"] = 1  # type: ignore[index]


@pytest.mark.parametrize("value", [0, -1, 1.5, 256.0, "256", True, None, [256], {}])
def test_a_figure_is_a_positive_whole_number(planted: Any, value: Any) -> None:
    planted({"good": {"block": 1, **COUNTED}, "bad": {"block": value, **COUNTED}})
    with pytest.raises(
        ValueError, match=r"kernels/toy/tuning\.json: block of bad is .*positive whole number"
    ):
        _tuning.launch_shapes("toy")


@pytest.mark.parametrize("provenance", [None, "", "guessed: it looked good", "counted", 7, ["counted: "]])
def test_a_figure_has_a_provenance(planted: Any, provenance: Any) -> None:
    entry: dict[str, Any] = {"block": 128}
    planted({"bad": entry if provenance is None else entry | {"provenance": provenance}})
    with pytest.raises(ValueError, match="bad has no provenance 'counted: "):
        _tuning.launch_shapes("toy")


def test_the_closest_entry_is_taken(planted: Any) -> None:
    names = ("*", "*@13", "a", "a@13")
    planted({name: {"block": i + 1, **COUNTED} for i, name in enumerate(names)})
    found = [
        _tuning.launch_shape("toy", kernel, size)["block"]
        for kernel, size in (("b", None), ("b", 12), ("b", 13), ("a", None), ("a", 12), ("a", 13))
    ]
    assert found == [1, 1, 2, 3, 3, 4]
    assert _tuning.launch_shape("toy", size=13)["block"] == 2


def test_an_entry_of_several_kernels(planted: Any) -> None:
    planted({"both": {"block": 1, "of": ["a", "b"], **COUNTED}, "b": {"block": 2, **COUNTED}})
    assert [_tuning.block_of("toy", name) for name in ("a", "b")] == [1, 2]
    assert _tuning.launch_shapes("toy")["both"] == {"block": 1}


def test_a_kernel_without_an_entry_is_named(planted: Any) -> None:
    planted({"a": {"block": 128, **COUNTED}})
    with pytest.raises(ValueError, match=r"kernels/toy/tuning\.json has no entry for b"):
        _tuning.launch_shape("toy", "b")


# ---- what is shipped ----------------------------------------------------------------------------------------------


def test_every_slug_with_kernels_declares_them() -> None:
    assert sorted({path.parent.name for path in KERNELS.glob("*/*.cu")}) == SLUGS


@pytest.mark.parametrize("slug", SLUGS)
def test_entries_are_of_kernels_and_every_kernel_has_one(slug: str) -> None:
    there = kernels_in(slug)
    named: set[str] = set()
    for name, entry in _tuning._entries(slug).items():
        named |= set(entry.get("of", (name.partition("@")[0],)))
    named -= {"*"}
    assert named <= there, f"kernels/{slug} has no {named - there}"
    assert all(_tuning.block_of(slug, kernel) >= 1 for kernel in there)


@pytest.mark.parametrize("slug", SLUGS)
def test_blocks_are_within_the_launch_bounds(slug: str) -> None:
    """A bound in figures; where it is a macro the launch passes the shape itself."""
    bounded = re.compile(r"__global__\s+void\s+__launch_bounds__\((\d+)[^)]*\)\s*(\w+)\s*\(")
    for source in sources(slug):
        for bound, kernel in bounded.findall(source_text(source)):
            assert _tuning.block_of(slug, kernel) <= int(bound), kernel


@pytest.mark.parametrize("slug", SLUGS)
def test_shapes_fit_a_multiprocessor(slug: str) -> None:
    seen = set()
    for where, size, architecture, kernel, takes in resources(slug):
        shape = _tuning.launch_shape(slug, kernel, size)
        block = -(-shape["block"] // 32) * 32  # whole warps
        blocks = shape.get("blocks", 1) if architecture == COUNTED_FOR else 1
        registers = -(-takes["registers"] // 8) * 8
        assert registers * block * blocks <= REGISTERS, (where, architecture, kernel)
        assert block * blocks <= THREADS, (where, architecture, kernel)
        assert blocks <= MOST_BLOCKS, (where, architecture, kernel)
        assert blocks * (takes["shared"] + RESERVED) <= SHARED[architecture] + RESERVED, (
            where,
            architecture,
            kernel,
        )
        seen.add(kernel)
    assert seen == kernels_in(slug)


@pytest.mark.parametrize("slug", ["ntt", "rns"])
def test_shared_memory_of_transforms_fits(slug: str) -> None:
    for log_n in range(2, 17):
        shape, blocks = Shape(log_n, slug), _tuning.launch_shape(slug, size=log_n)["blocks"]
        shared = max(shape.row_bytes, 0 if shape.one_pass else shape.column_bytes)
        assert blocks * (shared + RESERVED) <= SHARED["sm_80"] + RESERVED, log_n


@pytest.mark.parametrize("slug", ["ntt", "rns"])
def test_declared_instances_are_the_launch_shapes(slug: str) -> None:
    declared = json.loads((KERNELS / slug / "instances.json").read_text())
    of_degrees = {name: entry["defines"] for name, entry in declared.items() if name.isdecimal()}
    assert of_degrees == {str(log_n): Shape(log_n, slug).defines for log_n in range(10, 17)}


def test_shared_memory_of_big_integers_fits() -> None:
    for limbs in range(4, 129, 4):
        shape = shape_of(limbs)
        for kernel in ("mul", *SQUARING):
            shared = shape.blocks * (shape.shared_bytes(kernel) + RESERVED)
            assert shared <= SHARED["sm_90"] + RESERVED, (limbs, kernel)


# ---- other figures: what a measurement would change ---------------------------------------------------------------


@pytest.mark.parametrize(("log_n", "block"), [(5, 128), (5, 512), (11, 128), (14, 128), (14, 512)])
def test_transforms_in_other_blocks(monkeypatch: pytest.MonkeyPatch, log_n: int, block: int) -> None:
    monkeypatch.setattr(
        _ntt_tables, "launch_shape", lambda *_, **__: {"block": block, "blocks": 512 // block}
    )
    basis = ntt.Basis(log_n, ntt.find_primes(log_n, [40]))
    values = np.random.default_rng(1).integers(0, basis.primes[0], (5, 1, basis.n), dtype=np.uint64)
    with registered(ShimDevice()) as device:
        there = ntt.forward(device.from_host(values), basis)
        assert {launch.block[0] for launch in device.launches} == {block, 256}
        assert (there.get() == ntt.forward(values, basis)).all()
        assert (ntt.inverse(there, basis).get() == values).all()


def test_digests_in_other_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = np.random.default_rng(1).integers(0, 256, (131, 16), dtype=np.uint8)
    monkeypatch.setattr(on_device, "block_of", lambda *_: 64)
    with registered(ShimDevice()) as device:
        assert (hashing.sha256(device.from_host(messages)).get() == hashing.sha256(messages)).all()
        assert device.launches[-1].grid == (3, 1, 1)
