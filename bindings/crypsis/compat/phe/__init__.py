# SPDX-License-Identifier: Apache-2.0
"""python-paillier's interface (`phe` 1.5) on the kernels of Crypsis.

    import crypsis.compat.phe as phe          # in place of: import phe

    public_key, private_key = phe.generate_paillier_keypair()
    numbers = [public_key.encrypt(x) for x in (3.14, 100, -4.6e-12)]
    private_key.decrypt(sum(numbers) * 2)

Or leave the program as it is: `crypsis.compat.phe.install()` makes `import phe` mean this package, and
`python -m crypsis.compat.phe program.py` runs a program so. Keys, ciphertexts, exponents and the files of `pheutil`
are those of python-paillier, both ways. docs/phe.md tells what is faster and what differs.

Provenance: python-paillier is under the GPL. This package was written from its published documentation and from the
behaviour of the installed package (results, types, exceptions, names), never from its source or tests.
"""

from __future__ import annotations

import importlib
from typing import Any

from crypsis.compat.phe import encoding, paillier, util
from crypsis.compat.phe.__about__ import (
    __author__,
    __copyright__,
    __email__,
    __license__,
    __summary__,
    __title__,
    __uri__,
    __version__,
)
from crypsis.compat.phe._arrays import from_cipher_array, to_cipher_array
from crypsis.compat.phe._install import install, uninstall
from crypsis.compat.phe.encoding import EncodedNumber
from crypsis.compat.phe.paillier import (
    EncryptedNumber,
    InsecureKeyWarning,
    PaillierPrivateKey,
    PaillierPrivateKeyring,
    PaillierPublicKey,
    generate_paillier_keypair,
)

__all__ = [
    "EncodedNumber",
    "EncryptedNumber",
    "InsecureKeyWarning",
    "PaillierPrivateKey",
    "PaillierPrivateKeyring",
    "PaillierPublicKey",
    "__author__",
    "__copyright__",
    "__email__",
    "__license__",
    "__summary__",
    "__title__",
    "__uri__",
    "__version__",
    "encoding",
    "from_cipher_array",
    "generate_paillier_keypair",
    "install",
    "paillier",
    "to_cipher_array",
    "uninstall",
    "util",
]


def __getattr__(name: str) -> Any:
    if name == "command_line":  # imports typer: not for every program
        return importlib.import_module("crypsis.compat.phe.command_line")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
