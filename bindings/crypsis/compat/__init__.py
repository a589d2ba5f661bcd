# SPDX-License-Identifier: Apache-2.0
"""Modules with the interfaces of other libraries, computing with the kernels of Crypsis."""
