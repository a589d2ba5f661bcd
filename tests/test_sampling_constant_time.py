# SPDX-License-Identifier: Apache-2.0
"""sampling is constant-time: memcheck on undefined secrets, equal traces for different ones: `native_programs`."""

from __future__ import annotations

from native_programs import ConstantTime


class TestSampling(ConstantTime):
    slug = "sampling"
    operations = ("wide", "ternary", "binomial")
