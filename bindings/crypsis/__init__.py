# SPDX-License-Identifier: Apache-2.0
"""Crypsis: cryptographic kernels over arrays, and protocols on top of them.

`crypsis.<slug>` are the kernels (`hashing`, `curve25519`, `bigint`), `crypsis.mpc` the protocols; `crypsis.backends`
says what runs.
"""

from importlib.metadata import version as _version

__version__ = _version("crypsis")
__all__ = ["__version__"]
