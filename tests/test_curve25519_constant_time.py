# SPDX-License-Identifier: Apache-2.0
"""curve25519 is constant-time: memcheck on undefined secrets, equal traces for different ones: `native_programs`."""

from __future__ import annotations

from crypsis import backends
from native_programs import ConstantTime, Traces

BACKENDS = backends.runnable("curve25519")


class TestCurve25519(ConstantTime):
    slug = "curve25519"
    operations = (
        "scalars",
        "one_scalar",
        "points",
        "elements",
        "messages",
        "ristretto_scalars",
        "ristretto_base",
        "ristretto_derive",
        "ristretto_reduce",
    )
    # The quick run has the loading, the clamping and some twenty bits of the ladder; and the map up to its inversion.
    traces = (
        Traces(("scalars", "elements"), ("avx512",), 30_000),
        Traces(("scalars", "one_scalar", "points", "elements"), BACKENDS, None, slow=True),
    )
