# SPDX-License-Identifier: Apache-2.0
"""CUDA devices: kernels compiled at run time, and the arrays that live on a GPU.

    gpu = crypsis.cuda.get_device("cuda:0")
    rows = gpu.from_host(host_rows)              # or any CuPy array on that GPU
    digests = crypsis.hashing.sha256(rows)       # the device follows the data: a CuPy array

Needs an NVIDIA GPU of compute capability 8.0 (A100) or newer, a driver for CUDA 12 or 13, and CuPy: `pip install
"crypsis[cuda13]"` or `"crypsis[cuda12]"`. `why_not()` says what is missing. Importing this module imports no CuPy.

Kernels are compiled for the GPU at hand when they are first used, some seconds, and kept in CuPy's cache on disk. All
results are those of the CPU, byte for byte. Array functions queue their work on CuPy's current stream and return
at once where they can; `CRYPSIS_BACKEND` concerns host arrays only.
"""

from __future__ import annotations

from crypsis.cuda._device import Device, DeviceInfo
from crypsis.cuda._dispatch import device_of
from crypsis.cuda._errors import ErrorCode
from crypsis.cuda._registry import devices, get_device, why_not

__all__ = [
    "Device",
    "DeviceInfo",
    "ErrorCode",
    "device_of",
    "devices",
    "get_device",
    "is_available",
    "why_not",
]


def is_available() -> bool:
    """Whether a CUDA device can be used; `why_not` gives the reason where not. Never raises."""
    return why_not() is None
