# SPDX-License-Identifier: Apache-2.0
"""Protocols between parties, the data they read and write, and the `crypsis` command. Pure Python over the kernels."""
