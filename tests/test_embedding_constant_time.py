# SPDX-License-Identifier: Apache-2.0
"""embedding is constant-time: memcheck on undefined secrets, equal traces for different ones: `native_programs`."""

from __future__ import annotations

from native_programs import ConstantTime


class TestEmbedding(ConstantTime):
    slug = "embedding"
    operations = ("to_coefficients", "to_slots", "residues", "words", "largest")
