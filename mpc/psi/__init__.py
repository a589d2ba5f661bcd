# SPDX-License-Identifier: Apache-2.0
"""Private set intersection: which of one's own keys the other party has too, and nothing else about its set.

`intersect` works on Arrow tables, `run` on any `crypsis.mpc.data` source; `ecdh` holds the protocol.
"""

from crypsis.mpc.psi.job import PsiOutcome, PsiResult, intersect, run
from crypsis.mpc.psi.options import PsiOptions

__all__ = ["PsiOptions", "PsiOutcome", "PsiResult", "intersect", "run"]
