# SPDX-License-Identifier: Apache-2.0
"""Private parts that the additively homomorphic schemes share: `crypsis.paillier` and `crypsis.okamoto_uchiyama`."""
