# SPDX-License-Identifier: Apache-2.0
"""Encrypted vectors and tensors, and numbers in the clear."""

from crypsis.compat.tenseal.tensors.ckkstensor import CKKSTensor
from crypsis.compat.tenseal.tensors.ckksvector import CKKSVector
from crypsis.compat.tenseal.tensors.plaintensor import PlainTensor

__all__ = ["CKKSTensor", "CKKSVector", "PlainTensor"]
