# SPDX-License-Identifier: Apache-2.0
"""bigint is constant-time and wipes: memcheck on undefined secrets, equal instruction traces for different ones.

How: `native_programs`. The code that computes addresses, which traces do not show, is in lanes.h, tables.h and joint.h,
which both backends share.
"""

from __future__ import annotations

import pytest

from crypsis import backends
from native_programs import ConstantTime, Programs, Traces

BACKENDS = backends.runnable("bigint")


class TestBigint(ConstantTime):
    slug = "bigint"
    operations = (
        "mul",
        "sqr",
        "mul_plain",
        "powm_bases",
        "powm_exponents",
        "powm_one_exponent",
        "fixed_base",
        "multi_powm",
        "segmented_prod",
        "cumulative_prod",
    )
    traces = (
        Traces(("mul", "powm_exponents", "fixed_base", "range_check"), BACKENDS[:1], 40_000),
        Traces(backends=BACKENDS, steps=None, slow=True),
    )

    @pytest.mark.parametrize("name", BACKENDS)
    @pytest.mark.parametrize("on", [*operations, "modulus"])
    def test_freed_memory_holds_no_secrets(self, programs: Programs, name: str, on: str) -> None:
        done = programs.run("residue", name, on)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_residue_catches_a_planted_leak(self, programs: Programs) -> None:
        assert programs.run("residue", BACKENDS[0], "leak_by_free").returncode == 1
