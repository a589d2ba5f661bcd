# SPDX-License-Identifier: Apache-2.0
"""From the results of a job's bins to the rows of its output."""

from __future__ import annotations
