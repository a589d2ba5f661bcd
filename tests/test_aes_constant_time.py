# SPDX-License-Identifier: Apache-2.0
"""aes is constant-time: memcheck on undefined secrets, equal traces for different ones: `native_programs`."""

from __future__ import annotations

from native_programs import ConstantTime, Traces


class TestAes(ConstantTime):
    slug = "aes"
    operations = ("keys", "permute", "mmo", "tmmo", "ctr", "ggm_level")
    # The portable code takes most of a minute.
    traces = (Traces(steps=None), Traces(backends=("portable",), steps=None, slow=True))
