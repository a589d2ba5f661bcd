# SPDX-License-Identifier: Apache-2.0
"""The CUDA half of crypsis: kernels compiled at run time, and the arrays that live on a GPU."""
