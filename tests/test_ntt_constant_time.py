# SPDX-License-Identifier: Apache-2.0
"""ntt is constant-time: memcheck on undefined secrets, equal traces for different ones: `native_programs`."""

from __future__ import annotations

from native_programs import ConstantTime


class TestNtt(ConstantTime):
    slug = "ntt"
    operations = ("forward", "inverse", "pointwise", "permute", "from_signed")
    memcheck = ("portable", "avx2")
