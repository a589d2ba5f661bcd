# SPDX-License-Identifier: Apache-2.0
"""Imported by the process that `warm.Warm` forks from, and by no other."""

from __future__ import annotations

import importlib

from .warm import prepare

for _name in (
    "cli.app",
    "learning.job",
    "learning.predict_job",
    "learning.linear",
    "transport.grpc_listener",
):
    importlib.import_module(f"crypsis.mpc.{_name}")
prepare()
