# SPDX-License-Identifier: Apache-2.0
"""vole is constant-time: memcheck on undefined secrets, equal traces for different ones: `native_programs`."""

from __future__ import annotations

from native_programs import ConstantTime, Traces


class TestVole(ConstantTime):
    slug = "vole"
    operations = (
        "expand_trees",
        "reconstruct_trees",
        "full_field",
        "punctured_field",
        "extend_full",
        "extend_punctured",
        "columns_to_rows",
        "hash_columns",
        "random_keys",
        "noise_trees",
        "correlated_trees",
        "place_noise",
        "primal_encode",
        "expand_convolute",
    )
    memcheck_slow = ("avx2",)  # its AES-NI and PCLMUL are known to valgrind; the VAES of other slugs is not
    traces = (Traces(steps=100_000, slow=True),)
