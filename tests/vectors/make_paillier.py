# SPDX-License-Identifier: Apache-2.0
"""Writes paillier.json: fixed TEST keys, and what python-paillier (`phe`, run as a program) answers with one of them.

    pip install phe gmpy2 && python tests/vectors/make_paillier.py

The keys are public here: never use them. Keys and random numbers are fresh in every run.
"""

import json
import secrets
from pathlib import Path

import phe

from crypsis import okamoto_uchiyama, paillier

VALUES = [0, 1, -1, 2**63 - 1, -(2**63), 123456789123456789, 3.141592653589793, -4.6e-12, 1e300, 5e-324, -0.0]


def main() -> None:
    public, private = paillier.generate_keypair(2048)
    p, q = private._p.p, private._q.p
    key = phe.PaillierPublicKey(public.n)
    cases = []
    for value in VALUES:
        r = secrets.randbelow(public.n - 1) + 1
        number = key.encrypt(value, r_value=r)
        case = {"value": repr(value), "r": hex(r), "exponent": number.exponent}
        cases.append(case | {"ciphertext": hex(number.ciphertext(be_secure=False))})
    ou_public, ou_private = okamoto_uchiyama.generate_keypair(2048)
    data = {
        "source": "make_paillier.py: test keys made here; cases by python-paillier "
        + phe.__about__.__version__,
        "key": {"p": hex(p), "q": hex(q), "h": hex(public.h or 0)},
        "okamoto_uchiyama_key": {
            "n": hex(ou_public.n),
            "g": hex(ou_public.g),
            "h": hex(ou_public.h),
            "p": hex(ou_private._p.p),
            "t": hex(ou_private._t),
        },
        "cases": cases,
    }
    path = Path(__file__).with_name("paillier.json")
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
