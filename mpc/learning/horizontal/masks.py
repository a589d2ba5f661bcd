# SPDX-License-Identifier: Apache-2.0
"""Sums of many clients' vectors under pairwise masks, also when clients drop out [BIK+17, BBGLR20].

n clients C_i with a vector x_i over Z_2^32 or Z_2^64 each (fixed point, see `Plan`), a server S with a channel to each.
Every two clients share a mask that one adds and the other subtracts, so the masks cancel in the sum; every client adds
one more of its own. Both secrets of a client are shared among the others, any t of whom recover one of them.

    C_i -> S     c_i^PK, s_i^PK                    64 bytes     X25519 keys for shares and for masks
    S -> C_i     those of all                      68 n
    C_i -> S     H(b_i), Enc(shares of b_i, s_i)   32 + 98 n    ChaCha20-Poly1305 under the keys of C_i and C_j
    S -> C_i     those for C_i                     98 n
    C_i -> S     x_i + PRG(b_i) +- sum PRG(s_ij)   4 or 8 bytes a number
    S -> C_i     who is in the sum                 4 n
    C_i -> S     (active: signed, and all signatures seen by all: 64 and 68 n)
    C_i -> S     a share of b_j of each C_j that is in the sum, of s_j^SK of each that is not: 38 n

PRG is AES-128 in counter mode; seeds are HKDF-SHA256 of X25519, with the digest of the plan, so with the session.
With `degree` k, n above is k, from `graph.degree`.

Assumes   X25519 (gap Diffie-Hellman in the random oracle model), AES-128, ChaCha20-Poly1305, SHA-256. Without
          identities: a semi-honest server that relays what it is given, pooling what it sees with up to t - 1
          clients. With
          identities, all clients and t > 2/3: a server and up to n/3 clients that deviate, for privacy only; then it
          learns at most the sum of at least t - n/3 honest clients.
Leaks     to the server: the sum over those that survived, the sum of their weights, who dropped out and when. To a
          client: who takes part and who dropped out. To an eavesdropper without TLS: the same as to a client, sizes,
          times, and the sum, since shares for unmasking go to the server in clear: run it over TLS.
Refused   by clients: a list with fewer than t clients or without itself, any second question in a round; so no client
          shows a share of both secrets of anybody.
Fails     with fewer than t survivors, or a share that does not fit its commitment; nothing of anybody is known then. A
          client can shift the sum by sending a wrong vector: that is not prevented.
Rounds    4, active 5. Work of a client: n masks. Of the server: one mask a survivor, n a client that dropped out after
          sharing.
"""

from crypsis.mpc.learning.horizontal.graph import degree
from crypsis.mpc.learning.horizontal.mask_client import MaskClient
from crypsis.mpc.learning.horizontal.mask_server import MaskServer
from crypsis.mpc.learning.horizontal.plan import Plan

__all__ = ["MaskClient", "MaskServer", "Plan", "degree"]
