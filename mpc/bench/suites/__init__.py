# SPDX-License-Identifier: Apache-2.0
"""The suites by name, each in the module of that name."""

from __future__ import annotations

import importlib

from crypsis.errors import ConfigError
from crypsis.mpc.bench.suite import Suite

NAMES = ("kernels", "paillier", "ckks", "ot", "psi", "train")


def load(name: str) -> Suite:
    """The suite. ConfigError where there is none of that name."""
    if name not in NAMES:
        raise ConfigError(f"suite {name!r} does not exist: there are {', '.join(NAMES)}")
    suite: Suite = importlib.import_module(f"{__name__}.{name}").SUITE
    return suite
