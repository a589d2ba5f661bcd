# SPDX-License-Identifier: Apache-2.0
"""The CUDA kernels on a CPU, for tests: see launcher.py."""
