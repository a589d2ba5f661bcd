# SPDX-License-Identifier: Apache-2.0
"""Products of secret vectors mod 2^128 with somebody else's small integers: BGV [BGV12] with packed coefficients.

    secret = bgv.SecretKey.generate()                       # RING128: Z[x]/(x^8192 + 1), values mod 2^128
    layout = bgv.Layout(bgv.RING128, rows=5000, columns=20)

    ciphertexts = secret.encrypt(layout.spread(w))          # the owner of the key and of w, uint64[20, 2]
    data, key = ciphertexts.to_bytes(), secret.public_key.to_bytes()

    public = bgv.PublicKey.from_bytes(key)                  # the owner of the matrix, int16[5000, 20]
    ciphertexts = bgv.Ciphertexts.from_bytes(data, public, layout.groups)
    products = bgv.matmul(layout.plains(matrix), ciphertexts)
    bits = layout.forward_noise_bits(1 << 15, ciphertexts=layout.pieces)
    hidden = bgv.hide(products, public, masks, bits, coefficients=layout.forward_coefficients)

    layout.join(secret.decrypt(hidden))                     # matrix @ w + masks, mod 2^128

A plaintext is a polynomial with coefficients mod t = 2^plain_bits, a ciphertext a pair with c_0 + c_1 s = m + t e mod
q, which is odd. A product with a polynomial of small integers has inner products in coefficients that are chosen for
them [HLHD22]. Nothing else is here: no product of ciphertexts, no rotation.

Security: ring learning with errors with ternary secrets and noise of standard deviation 3.24, 128 bits by the tables of
[ACC+18], anything weaker is refused. **Products show their plains to the owner of the key**; `hide` takes that away up
to a statistical distance of 2^-40 over as many products as `Parameters.noise_bits` was told, towards an owner who keeps
to the protocol (semi-honest), and only `Hidden` products can be sent. docs/bgv.md has the bounds.

All is constant-time in secrets, values and plains. Arrays are the host's; `CRYPSIS_BACKEND` and `CRYPSIS_NUM_THREADS`
choose how it is computed, and results are bit-identical given the same random numbers.
"""

from crypsis._bgv.ciphertexts import Ciphertexts, Hidden, Products
from crypsis._bgv.hiding import hide
from crypsis._bgv.keys import PublicKey, SecretKey
from crypsis._bgv.layout import Layout
from crypsis._bgv.parameters import RING128, Parameters
from crypsis._bgv.plains import Plains, matmul, multiply_sum, plain

__all__ = [
    "RING128",
    "Ciphertexts",
    "Hidden",
    "Layout",
    "Parameters",
    "Plains",
    "Products",
    "PublicKey",
    "SecretKey",
    "hide",
    "matmul",
    "multiply_sum",
    "plain",
]
