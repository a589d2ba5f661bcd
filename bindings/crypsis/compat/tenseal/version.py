# SPDX-License-Identifier: Apache-2.0
"""What `tenseal.version` tells: the version is that of the interface, not of Crypsis."""

__version__ = "0.3.18"
