# SPDX-License-Identifier: Apache-2.0
"""CKKS keys that several parties hold together: sums are decrypted by all of them or not at all [AJL+12, MTBH21].

    agreement = threshold.Agreement(
        ckks.JOINT, ["north", "south", "west"], session=b"16 bytes or more", n_summands=3, n_ciphertexts=1 << 16
    )
    maker = threshold.KeyMaker(agreement, "north")    # four rounds, see there; crypsis.mpc.sharing runs them
    share = maker.finish()                            # this party's, secret; share.joint is public

    array = share.joint.encrypt(values, packed=True)  # by whoever has something to add
    total = north + south + west                      # by anyone
    part = share.share(total)                         # by every party that added up itself
    threshold.combine(share.joint, total, parts)      # by whoever gets all parts: float64

Each party has a ternary s_i of its own; the secret key is their sum, which exists nowhere. The public key is
(sum of b_i, a), b_i = e_i - a s_i, with a from a seed that all parties contributed to. Seeds and b_i are committed to
before any is shown. A party's answer to a ciphertext (c0, c1) is c1 s_i + f with f large enough to hide s_i (see
`flooding`); c0 and all answers add up to the value, plus noise.

Where someone else adds up, a party vouches for its summand and answers the sum of what all vouched for, nothing else:

    voucher = share.vouch(array, context)             # goes with the summand; context: which sum
    proof = threshold.add_vouchers(agreement, vouchers)
    part = share.answer(total, proof, context)        # ProtocolAbort for any other ciphertexts

Assumes   semi-honest parties, of which all but one may pool what they see; ring learning with errors. Commitments stop
          a party that waits to see the others' key parts, nothing else is proved: who sends a wrong part or share makes
          results wrong, unnoticed. Who adds up may deviate as it likes as long as no party helps it (`vouchers`), and
          the parties compared `JointKey.fingerprint` where it was between them in key generation too.
Leaks     the sums that are decrypted, with their noise, to whoever gets all shares.
Needs     all parties for every decryption: no one may be missing. A new key for a new set of parties.
Not       products and rotations: no evaluation keys are made together.
"""

from crypsis._ckks.threshold.agreement import Agreement
from crypsis._ckks.threshold.decryption import Combiner, DecryptionShare, ciphertext_digest, combine
from crypsis._ckks.threshold.key_share import KeyMaker, KeyShare
from crypsis._ckks.threshold.messages import residue_bytes
from crypsis._ckks.threshold.transcript import JointKey, Transcript
from crypsis._ckks.threshold.vouchers import add_vouchers, proof_bytes, sealed_bytes, voucher_bytes

__all__ = [
    "Agreement",
    "Combiner",
    "DecryptionShare",
    "JointKey",
    "KeyMaker",
    "KeyShare",
    "Transcript",
    "add_vouchers",
    "ciphertext_digest",
    "combine",
    "proof_bytes",
    "residue_bytes",
    "sealed_bytes",
    "voucher_bytes",
]
