# SPDX-License-Identifier: Apache-2.0
"""The JSON forms that python-paillier documents, as dictionaries and text: keys as JSON Web Keys, lists of numbers.

    public key    {"kty": "DAJ", "alg": "PAI-GN1", "key_ops": ["encrypt"], "n": base64url, "kid": text}
    private key   {"kty": "DAJ", "key_ops": ["decrypt"], "p": .., "q": .., "pub": the public key, "kid": text}
                  or, as its documentation has it, "lambda" (and "mu") in place of "p" and "q": read, not written
    numbers       {"public_key": {"n": integer or its text}, "values": [[text of the ciphertext, exponent], ...]}
    one number    {"v": text of the ciphertext, "e": exponent}, as the files of `pheutil` have it

python-paillier has no functions for these. Everything read is checked: `crypsis.errors.CorruptData` names what is
missing or wrong, `InvalidCiphertext` a ciphertext out of range. A private key in this form is not encrypted:
`crypsis.paillier.PrivateKey.save` writes one that is.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from math import gcd
from typing import Any

from crypsis.compat.phe._encrypted import EncryptedNumber
from crypsis.compat.phe.paillier import PaillierPrivateKey, PaillierPublicKey
from crypsis.compat.phe.util import base64_to_int, int_to_base64
from crypsis.errors import CorruptData, InvalidCiphertext

KEY_TYPE, ALGORITHM = "DAJ", "PAI-GN1"
MAX_EXPONENT = 1 << 20
MAX_DIGITS = 20_000
"""Of a ciphertext in decimal: 66,000 bits. Reading longer ones would only cost time."""
TRIES = 64


def public_key_to_jwk(key: PaillierPublicKey, kid: str = "") -> dict[str, Any]:
    """The public key as a JSON Web Key, `kid` its comment."""
    return {"kty": KEY_TYPE, "alg": ALGORITHM, "key_ops": ["encrypt"], "n": int_to_base64(key.n), "kid": kid}


def public_key_from_jwk(jwk: Mapping[str, Any]) -> PaillierPublicKey:
    """The public key of a JSON Web Key. CorruptData for what is none."""
    _check_type(jwk, "public key")
    if jwk.get("alg") != ALGORITHM:
        raise CorruptData(
            f"the public key has alg {jwk.get('alg')!r}, not {ALGORITHM!r}: it is of another scheme"
        )
    return PaillierPublicKey(_number(jwk, "n", "public key"))


def private_key_to_jwk(
    key: PaillierPrivateKey, kid: str = "", public_kid: str | None = None
) -> dict[str, Any]:
    """The private key as a JSON Web Key, in the clear."""
    public = public_key_to_jwk(key.public_key, kid if public_kid is None else public_kid)
    p, q = int_to_base64(key.p), int_to_base64(key.q)
    return {"kty": KEY_TYPE, "key_ops": ["decrypt"], "p": p, "q": q, "pub": public, "kid": kid}


def private_key_from_jwk(jwk: Mapping[str, Any]) -> PaillierPrivateKey:
    """The private key of a JSON Web Key with p and q, or with lambda. CorruptData for what is none."""
    _check_type(jwk, "private key")
    if "pub" not in jwk:
        raise CorruptData("the private key lacks its public key ('pub'): is it a public key?")
    public = public_key_from_jwk(jwk["pub"])
    if "p" in jwk or "lambda" not in jwk:
        p, q = _number(jwk, "p", "private key"), _number(jwk, "q", "private key")
    else:
        p, q = _factors(public.n, _number(jwk, "lambda", "private key"))
    try:
        return PaillierPrivateKey(public, p, q)
    except (ValueError, ZeroDivisionError):
        raise CorruptData("the private key does not fit its public key: it is damaged") from None


def numbers_to_json(numbers: Iterable[EncryptedNumber]) -> str:
    """Encrypted numbers of one key as JSON text; ciphertexts are blinded anew where they need it."""
    items = list(numbers)
    if not items:
        raise ValueError("there are no numbers: the list form needs one to know the key")
    key = items[0].public_key
    for i, number in enumerate(items):
        if number.public_key != key:
            raise ValueError(
                f"number {i} is encrypted under another key than number 0: write a list for each key"
            )
    values = [[str(number.ciphertext()), number.exponent] for number in items]
    return json.dumps({"public_key": {"n": key.n}, "values": values})


def numbers_from_json(
    text: str | bytes, public_key: PaillierPublicKey | None = None
) -> list[EncryptedNumber]:
    """The encrypted numbers of JSON text. public_key: the key that they must be for; None takes that of the text."""
    found = parse(text, "list of numbers")
    values, named = found.get("values"), found.get("public_key")
    if not isinstance(values, list) or not isinstance(named, dict):
        raise CorruptData("the list of numbers lacks 'public_key' or 'values': it is in another form")
    n = _decimal(named.get("n"), "n of the public key")
    if public_key is None:
        public_key = PaillierPublicKey(n)
    elif public_key.n != n:
        raise InvalidCiphertext("the numbers are encrypted under another key than public_key")
    result = []
    for i, pair in enumerate(values):
        if not isinstance(pair, list) or len(pair) != 2:
            raise CorruptData(f"value {i} is no pair of a ciphertext and an exponent")
        result.append(_encrypted(public_key, pair[0], pair[1], f"value {i}"))
    return result


def number_to_dict(number: EncryptedNumber) -> dict[str, Any]:
    """One number as `pheutil` writes it; the ciphertext is blinded anew where it needs it."""
    return {"v": str(number.ciphertext()), "e": number.exponent}


def number_from_dict(public_key: PaillierPublicKey, found: Mapping[str, Any]) -> EncryptedNumber:
    """One number as `pheutil` writes it."""
    if "v" not in found or "e" not in found:
        raise CorruptData("the encrypted number lacks 'v' or 'e': it is in another form")
    return _encrypted(public_key, found["v"], found["e"], "the encrypted number")


def parse(text: str | bytes, what: str) -> dict[str, Any]:
    """The JSON object in `text`. CorruptData for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorruptData(f"the {what} is no JSON ({error}): it is damaged, or in another form") from None
    if not isinstance(found, dict):
        raise CorruptData(
            f"the {what} is a JSON {type(found).__name__}, not an object: it is in another form"
        )
    return found


def _encrypted(key: PaillierPublicKey, ciphertext: Any, exponent: Any, what: str) -> EncryptedNumber:
    value = _decimal(ciphertext, what)
    if not isinstance(exponent, int) or isinstance(exponent, bool) or abs(exponent) > MAX_EXPONENT:
        raise CorruptData(f"{what} has exponent {exponent!r}: it must be an integer")
    if not 0 < value < key.nsquare or gcd(value, key.n) != 1:
        raise InvalidCiphertext(f"{what} is no ciphertext of this key: it is damaged, or of another key")
    return EncryptedNumber(key, value, exponent)


def _decimal(value: Any, what: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) <= MAX_DIGITS and value.isascii() and value.isdigit():
        # int() refuses more than 4300 digits at a time.
        digits = 4000
        result = 0
        for i in range(0, len(value), digits):
            part = value[i : i + digits]
            result = result * 10 ** len(part) + int(part)
        return result
    raise CorruptData(f"{what} is no integer: it is damaged, or in another form")


def _number(jwk: Mapping[str, Any], name: str, what: str) -> int:
    text = jwk.get(name)
    if not isinstance(text, str):
        raise CorruptData(f"the {what} lacks {name!r}: it is in another form")
    try:
        value = base64_to_int(text)
    except ValueError:
        raise CorruptData(f"{name!r} of the {what} is no base64url number: it is damaged") from None
    if value < 2:
        raise CorruptData(f"{name!r} of the {what} is {value}: it is damaged")
    return value


def _check_type(jwk: Any, what: str) -> None:
    if not isinstance(jwk, Mapping) or jwk.get("kty") != KEY_TYPE:
        raise CorruptData(f"the {what} is no JSON Web Key with kty {KEY_TYPE!r}: it is in another form")
    operation = "encrypt" if what == "public key" else "decrypt"
    if operation not in jwk.get("key_ops", ()):
        raise CorruptData(f"key_ops of the {what} lacks {operation!r}: it is another kind of key")


def _factors(n: int, multiple: int) -> tuple[int, int]:
    """The primes of n from a multiple of lcm(p - 1, q - 1): a square root of 1 other than 1 and -1 [Miller 1976]."""
    odd = multiple
    while odd % 2 == 0:
        odd //= 2
    if multiple.bit_length() > 2 * n.bit_length():
        raise CorruptData("'lambda' of the private key is too large for its n: it is damaged")
    for _ in range(TRIES):
        x = pow(2 + secrets.randbelow(n - 3), odd, n) if n > 4 else 1
        for _ in range(multiple.bit_length()):
            if x in (1, n - 1):
                break
            square = x * x % n
            if square == 1:
                p = gcd(x - 1, n)
                return p, n // p
            x = square
    raise CorruptData("'lambda' of the private key does not fit its n: it is damaged")
