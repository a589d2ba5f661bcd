# SPDX-License-Identifier: Apache-2.0
"""The table of rates in docs/gpu.md: what each case needs, its limit on an H100, its code, predicted and measured.

    python tools/gpu_table.py [--update]

Operations, bytes and limits come from benchmarks/gpu/limits.py, instructions from kernels/SLUG/resources.json (nvcc,
sm_90), measured rates from benchmarks/results/gpu-h100*.json, which only a GPU writes. `ROWS` below has predictions;
each slug's NOTES.md says how they follow from the machine code. Exits 1 where the page has another table.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from benchmarks.gpu import cases  # noqa: E402

PAGE = ROOT / "docs" / "gpu.md"
BEGIN, END = "<!-- table of tools/gpu_table.py -->", "<!-- end of the table -->"
MULTIPROCESSORS, CLOCK, BANDWIDTH = 132, 1.98e9, 3.35e12
"""Of an H100 SXM."""
ARCHITECTURE = "sm_90"
UNITS = {"wide": "`IMAD.WIDE`", "alu": "ALU", "lds": "`LDS`"}


CODE = ("draw_columns", "to_planes", "convolute", "pass_carries", "from_planes", "gather_rows")
SPLIT = ("count_digits", "scatter_digits")
MATCH = (*SPLIT, "sort_tiles", "find_matches", "write_matches")
GROUP = (*SPLIT, "sort_tiles", "write_groups")
ONE_PASS = ("decompose", "divide")
TWO_PASSES = ("decompose_columns", "decompose_rows", "divide_columns", "divide_rows")


@dataclass(frozen=True)
class Row:
    """A line: what an item is, the case that measures it, and where its machine code is counted."""

    what: str
    case: str
    instance: str
    """Of kernels/SLUG/instances.json."""
    kernels: tuple[str, ...]
    """None where the work of many slugs is meant."""
    predicted: float | None
    """Items a second, kernels alone; None where no notes have a prediction."""
    slug: str = ""
    """By default the case's."""


# fmt: off
ROWS: tuple[Row, ...] = (
    Row("product mod 2048 bits, Montgomery form", "bigint/mod_mul/2048", "2048", ("mul",), 9.7e8),
    Row("product mod 4096 bits, Montgomery form", "bigint/mod_mul/4096", "4096", ("mul",), 2.4e8),
    Row("power mod 2048 bits, full exponent", "bigint/powm/2048", "2048", ("powm",), 4.4e5),
    Row("the same, exponent not secret", "bigint/powm_vartime/2048", "2048", ("powm_vartime",), 4.7e5),
    Row("Paillier-2048 blinding h^a", "paillier/blinding/2048", "4096", ("table_powm",), 1.6e6, "bigint"),
    Row("h^a by direct look-ups", "bigint/fixed_base_vartime/4096", "4096", ("table_powm_vartime",), 2.8e6),
    Row("Paillier-2048 encryption", "paillier/encrypt/2048", "4096", ("table_powm",), 1.4e6, "bigint"),
    Row("Paillier-2048 decryption", "paillier/decrypt/2048", "2048", ("powm",), None, "bigint"),
    Row("Paillier-2048 addition", "paillier/add/2048", "4096", ("mul",), 2.4e8, "bigint"),
    Row("SHA-256 of 16 bytes", "hashing/sha256/16", "sha256-16", ("digest_width",), 1.5e10),
    Row("SM3 of 16 bytes", "hashing/sm3/16", "sm3-16", ("digest_width",), 1.4e10),
    Row("BLAKE3 of 16 bytes", "hashing/blake3/16", "blake3-16", ("digest_width",), 3.1e10),
    Row("transform, a limb of N = 2^13", "ntt/forward/13", "13", ("forward",), 1.5e7),
    Row("back, a limb of N = 2^13", "ntt/inverse/13", "13", ("inverse",), 1.5e7),
    Row("transform, a limb of N = 2^16", "ntt/forward/16", "16", ("forward_columns", "forward_rows"), 1.3e6),
    Row("key switch, N = 2^14, 8 + 2 moduli, 4 digits", "rns/switch_key/14", "14", TWO_PASSES, 8e4),
    Row("CKKS product, rescaled, N = 2^13, 4 + 1 moduli", "ckks/multiply/13", "13", ONE_PASS, 2.9e5, "rns"),
    Row("CKKS rotation, the same", "ckks/rotate/13", "13", ONE_PASS, 3.5e5, "rns"),
    Row("CKKS product, rescaled, N = 2^15, 13 + 5 moduli", "ckks/multiply/15", "15", TWO_PASSES, 1.9e4, "rns"),
    Row("CKKS rotation, the same", "ckks/rotate/15", "15", TWO_PASSES, 2.3e4, "rns"),
    Row("X25519", "curve25519/scalar_mult", "256", ("scalar_mult",), 5.4e7),
    Row("Elligator 2", "curve25519/map_to_curve", "256", ("map_to_curve",), 5.3e8),
    Row("AES, MMO hash of a block", "aes/mmo", "aes", ("mmo",), 3.6e10),
    Row("AES, TMMO hash of a block", "aes/tmmo", "aes", ("tmmo",), 1.8e10),
    Row("AES in counter mode, a block", "aes/ctr", "aes", ("ctr",), 3.5e10),
    Row("level of a GGM tree, a child", "aes/ggm_level", "aes", ("ggm_level",), 3.6e10),
    Row("128 rows of bits transposed, 16 bytes", "bitmatrix/transpose", "bits", ("transpose_wide",), 9e10),
    Row("product in GF(2^128)", "bitmatrix/gf128_multiply", "fields", ("gf128_products",), 4.6e10),
    Row("GGM trees of 2^10, a leaf", "vole/expand_trees", "trees", ("grow_ggm",), 1.8e10),
    Row("noise trees of 2^10, a leaf", "vole/expand_noise", "trees", ("grow_ggm",), 1.8e10),
    Row("Ferret's code, an output", "vole/primal_encode", "lpn", ("gather_rows",), 1.3e10),
    Row("expand-convolute, weight 7, an output", "vole/expand_convolute", "lpn", CODE, 1.2e8),
    Row("OKVS of 50,000 keys encoded, a key", "okvs/encode", "peel", ("add_rows", "peel"), 5e9),
    Row("OKVS of 50,000 keys decoded, a key", "okvs/decode", "values-128", ("decode",), 9e9),
    Row("keys to bins of 50,000, a key", "partition/by_bin", "all", SPLIT, 4.3e10),
    Row("records grouped by key, a record", "partition/group", "all", GROUP, 1.0e10),
    Row("tags sorted in bins, a tag", "partition/sort_tags", "all", (*SPLIT, "sort_tiles"), 1.2e10),
    Row("an own and a peer tag matched", "partition/match", "all", MATCH, 9e9),
    Row("VOLE-PSI, both parties on one GPU, a key of each", "psi/vole", "", (), None),
    Row("ECDH-PSI, the same", "psi/ecdh", "", (), None),
)
# fmt: on


def _instructions(row: Row) -> int:
    """Of the row's kernels, all together."""
    path = ROOT / "kernels" / (row.slug or row.case.split("/")[0]) / "resources.json"
    kernels = json.loads(path.read_text(encoding="utf-8"))["instances"][row.instance][ARCHITECTURE]
    return sum(kernels[kernel]["instructions"] for kernel in row.kernels)


def measured(results: Path = ROOT / "benchmarks" / "results") -> dict[str, float]:
    """Rates of kernels by case, of the H100s that wrote rows; the last file's where several did."""
    rates: dict[str, float] = {}
    for path in sorted(results.glob("gpu-h100*.json")):
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["rows"]
        rates |= {row["name"]: row["kernel"]["per_second"] for row in rows if "kernel" in row}
    return rates


def _short(value: float) -> str:
    """Three digits; below 100,000 as an integer."""
    return f"{value:,.0f}" if value < 1e5 else _exponent(f"{value:.2e}")


def _rate(value: float | None) -> str:
    return "-" if value is None else _exponent(f"{value:.1e}")


def _exponent(text: str) -> str:
    return text.replace("e+0", "e").replace("e+", "e")


def table(rates: dict[str, float]) -> str:
    """The table as the page has it."""
    lines = [
        "| an item | case | operations | bytes | instructions | limit/s | predicted/s | measured/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in ROWS:
        need = cases.CASES[row.case].need
        limit = need.per_second(MULTIPROCESSORS, CLOCK, bandwidth=BANDWIDTH)
        by_memory = limit < need.of_unit(MULTIPROCESSORS, CLOCK)
        operations = f"{_short(need.per_item)} {UNITS[need.unit]}" if need.per_item else "-"
        kernels = ", ".join(f"`{kernel}`" for kernel in row.kernels)
        cells = (
            row.what,
            f"`{row.case}`",
            operations,
            _short(need.n_bytes),
            f"{_instructions(row):,} {kernels}" if row.kernels else "-",
            _exponent(f"{limit:.2e}") + (" memory" if by_memory else ""),
            _rate(row.predicted),
            _rate(rates.get(row.case)),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN + "\n")
    old, after = rest.split(END)
    new = table(measured())
    if "--update" in arguments:
        PAGE.write_text(before + BEGIN + "\n" + new + END + after, encoding="utf-8")
        return 0
    if old != new:
        print("docs/gpu.md has another table: run tools/gpu_table.py --update", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
