# SPDX-License-Identifier: Apache-2.0
"""Models trained on data that two or more parties hold and do not show each other.

Vertical: the parties have different columns of the same rows. The guest has the labels, hosts have features.
Horizontal: the parties have different rows of the same columns. See docs/learning.md.
"""

from crypsis.mpc.learning.ciphers import CipherOptions
from crypsis.mpc.learning.frame import Frame
from crypsis.mpc.learning.session import Session

__all__ = ["CipherOptions", "Frame", "Session"]
