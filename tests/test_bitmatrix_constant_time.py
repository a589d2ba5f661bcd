# SPDX-License-Identifier: Apache-2.0
"""bitmatrix is constant-time: memcheck on undefined secrets, equal traces for different ones: `native_programs`."""

from __future__ import annotations

from native_programs import ConstantTime


class TestBitmatrix(ConstantTime):
    slug = "bitmatrix"
    operations = ("transpose", "gf128_multiply", "gf64_multiply", "inner_products", "gf128_powers", "gf2k")
