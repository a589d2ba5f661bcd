# SPDX-License-Identifier: Apache-2.0
"""Approximate arithmetic on encrypted vectors: CKKS [CKKS17] in residue number systems [CHKKS18].

    secret = ckks.SecretKey.generate(ckks.SHALLOW)
    public = secret.public_key(rotations=(1, 2, 4))   # for whoever computes
    x = public.encrypt(numpy.random.rand(100, 4096))  # 100 ciphertexts of 4,096 numbers
    y = (3 * x * x + 0.5).rotate(1)
    secret.decrypt(y)                                 # float64[100, 4096]
    z = x.sigmoid(3)                                  # and `Matrix`, `dot`, `inner_sum`, `polynomial`, `chebyshev`
    public.load(y.to_bytes())                         # what travels; pickle does the same

A ciphertext holds up to N/2 real or complex numbers, its slots, as integers of `scale` times their value, modulo a
product of primes. A product multiplies the scales; dividing by the last prime, rescaling, brings the scale back and
uses up a level. Levels and scales are kept for the user: every operator returns ciphertexts at the scale of their
level, and operands of different levels are brought to one. Key switching is hybrid with `dnum` digits [HK20].

Security: ring learning with errors with ternary secrets and noise of standard deviation 3.24, 128 bits by the tables of
[ACC+18], anything weaker is refused. Nothing is promised against who sends chosen ciphertexts and learns decryptions.
**A decrypted result that others see can give the secret key away** [LM21]: `SecretKey.decrypt(..., share_safe=True)`.

Key generation, encryption and decryption are constant-time in keys, noise and numbers (but for the largest magnitude).
Results are bit-identical on all backends, given the same random numbers.
"""

from crypsis._ckks import threshold
from crypsis._ckks.array import CkksArray, stack
from crypsis._ckks.encoder import Plaintext, encode
from crypsis._ckks.keys import PublicKey, SecretKey
from crypsis._ckks.linear import Matrix, rotations_for
from crypsis._ckks.noise import Estimate
from crypsis._ckks.parameters import AGGREGATE, DEEP, JOINT, SHALLOW, SHARED, Literal, Parameters
from crypsis._ckks.polynomials import Series, chebyshev, depth_of, sigmoid_series
from crypsis._ckks.precision import Precision, compare

__all__ = [
    "AGGREGATE",
    "DEEP",
    "JOINT",
    "SHALLOW",
    "SHARED",
    "CkksArray",
    "Estimate",
    "Literal",
    "Matrix",
    "Parameters",
    "Plaintext",
    "Precision",
    "PublicKey",
    "SecretKey",
    "Series",
    "chebyshev",
    "compare",
    "depth_of",
    "encode",
    "rotations_for",
    "sigmoid_series",
    "stack",
    "threshold",
]
