# SPDX-License-Identifier: Apache-2.0
"""Protocols on values and keys that several parties hold in additive shares.

threshold_ckks: keys of CKKS that n parties hold together, and sums that only all of them decrypt.
"""
