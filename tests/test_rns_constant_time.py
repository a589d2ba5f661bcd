# SPDX-License-Identifier: Apache-2.0
"""rns is constant-time: memcheck on undefined secrets, equal traces for different ones: `native_programs`."""

from __future__ import annotations

from native_programs import ConstantTime, Traces


class TestRns(ConstantTime):
    slug = "rns"
    operations = (
        "mixed_radix",
        "convert",
        "inner_product",
        "combine",
        "compose",
        "switch_key",
        "rescale",
        "rotated_sums",
        "pair_products",
        "pack",
        "unpack",
    )
    memcheck = ("portable", "avx2")
    traces = (Traces(), Traces(backends=("avx512ifma", "avx512"), steps=None, slow=True))
