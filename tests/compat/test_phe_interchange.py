# SPDX-License-Identifier: Apache-2.0
"""Keys, ciphertexts and files go from python-paillier to here and back."""

from __future__ import annotations

import copy
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import crypsis.compat.phe as ours
from crypsis.compat.phe import command_line, serialise
from crypsis.errors import CorruptData, InvalidCiphertext

VALUES = [0, 1, -1, 3.14159, -2.5e-7, 10**20, -(2**53), 1e18, 0.1]


def carried(numbers: list[Any], to: Any) -> list[Any]:
    """The numbers as the other side gets them."""
    return [to.phe.EncryptedNumber(to.public, number.ciphertext(), number.exponent) for number in numbers]


@pytest.mark.parametrize("way", ["to", "from"])
def test_ciphertexts(our_side: Any, their_side: Any, way: str) -> None:
    here, there = (our_side, their_side) if way == "to" else (their_side, our_side)
    numbers = carried([here.public.encrypt(value) for value in VALUES], there)
    assert [there.private.decrypt(number) for number in numbers] == VALUES
    back = carried([number * 2 + 0.5 for number in numbers], here)
    expected = [here.private.decrypt(here.public.encrypt(value) * 2 + 0.5) for value in VALUES]
    assert [here.private.decrypt(number) for number in back] == expected
    assert sum(back).exponent == sum(numbers).exponent


def test_keys_of_python_paillier(real: Any) -> None:
    public, private = real.generate_paillier_keypair(n_length=512)
    mine = ours.PaillierPrivateKey(ours.PaillierPublicKey(public.n), private.p, private.q)
    for name in ("p", "q", "psquare", "qsquare", "p_inverse", "hp", "hq"):
        assert getattr(mine, name) == getattr(private, name)
    for name in ("n", "g", "nsquare", "max_int"):
        assert getattr(mine.public_key, name) == getattr(public, name)
    for key in ("public", "private"):
        a, b = (public, mine.public_key) if key == "public" else (private, mine)
        assert (repr(a), hash(a)) == (repr(b), hash(b))
    assert mine.decrypt(ours.EncryptedNumber(mine.public_key, public.encrypt(-7).ciphertext())) == -7
    assert private.raw_decrypt(mine.public_key.raw_encrypt(99)) == 99


def test_helpers_of_the_private_key(our_side: Any, their_side: Any) -> None:
    a, b = our_side.private, their_side.private
    assert a.h_function(a.p, a.psquare) == b.h_function(b.p, b.psquare) == a.hp
    assert a.l_function(1 + 5 * a.p, a.p) == b.l_function(1 + 5 * a.p, a.p) == 5
    assert a.crt(5, 7) == b.crt(5, 7)
    totient = (a.p - 1) * (a.q - 1)
    assert ours.PaillierPrivateKey.from_totient(our_side.public, totient) == a


def test_a_key_with_primes_of_any_residue(real: Any) -> None:
    """Primes that are 1 mod 4: not of the form our generator makes."""
    p, q = (ours.util.getprimeover(256) for _ in range(2))
    while p % 4 != 1:
        p = ours.util.getprimeover(256)
    while q % 4 != 1 or q == p:
        q = ours.util.getprimeover(256)
    mine = ours.PaillierPrivateKey(ours.PaillierPublicKey(p * q), p, q)
    theirs = real.PaillierPrivateKey(real.PaillierPublicKey(p * q), p, q)
    for value in VALUES:
        encrypted = mine.public_key.encrypt(value)
        assert (
            theirs.decrypt(
                real.EncryptedNumber(theirs.public_key, encrypted.ciphertext(), encrypted.exponent)
            )
            == value
        )


def test_the_list_form(our_side: Any, their_side: Any) -> None:
    text = serialise.numbers_to_json([our_side.public.encrypt(value) for value in VALUES])
    # What python-paillier's documentation does with it.
    received = json.loads(text)
    public = their_side.phe.PaillierPublicKey(n=int(received["public_key"]["n"]))
    numbers = [their_side.phe.EncryptedNumber(public, int(x[0]), int(x[1])) for x in received["values"]]
    assert [their_side.private.decrypt(number) for number in numbers] == VALUES
    answer = {"public_key": {"n": public.n}, "values": [(str(x.ciphertext()), x.exponent) for x in numbers]}
    back = serialise.numbers_from_json(json.dumps(answer), our_side.public)
    assert [our_side.private.decrypt(number) for number in back] == VALUES
    assert serialise.numbers_from_json(json.dumps(answer))[0].public_key == our_side.public


def test_web_keys(our_side: Any) -> None:
    private = our_side.private
    jwk = serialise.private_key_to_jwk(private, "mine")
    assert serialise.private_key_from_jwk(jwk) == private
    assert serialise.public_key_from_jwk(jwk["pub"]) == our_side.public
    pm, qm = private.p - 1, private.q - 1
    for multiple in (pm * qm, pm * qm // 2):  # the totient; the least common multiple, or twice that
        text = ours.util.int_to_base64(multiple)
        documented = {"kty": "DAJ", "key_ops": ["decrypt"], "lambda": text, "mu": text, "pub": jwk["pub"]}
        assert serialise.private_key_from_jwk(documented) == private


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "RSA"}, {"kty": None}, {"key_ops": ["encrypt"]}, {"pub": None}, {"p": None}, {"p": "!!"}, {"p": 5},
        {"p": "AQ"}, {"p": "AA"}, {"q": "_w"}, {"p": None, "lambda": "Bw"}, {"p": None, "lambda": "_____w"},
        {"pub": {"kty": "DAJ", "alg": "PAI-GN1", "key_ops": ["encrypt"]}}, {"pub": []}, {"pub": {"kty": "DAJ"}},
        {"pub": {"kty": "DAJ", "alg": "other", "key_ops": ["encrypt"], "n": "_w"}},
    ],
)  # fmt: skip
def test_damaged_web_keys(our_side: Any, change: dict[str, Any]) -> None:
    jwk = {**serialise.private_key_to_jwk(our_side.private), **change}
    jwk = {name: value for name, value in jwk.items() if value is not None}
    with pytest.raises(CorruptData):
        serialise.private_key_from_jwk(jwk)


@pytest.mark.parametrize(
    "text",
    ["", "x", "[]", "{}", '{"public_key": {}, "values": []}', '{"public_key": {"n": "N"}, "values": [["1"]]}',
     '{"public_key": {"n": "N"}, "values": 3}', '{"public_key": {"n": "N"}, "values": [["a", 1]]}',
     '{"public_key": {"n": "N"}, "values": [["5", 1.5]]}', '{"public_key": {"n": "N"}, "values": [["5", 99999999]]}',
     '{"public_key": {"n": 1.5}, "values": []}', "[" * 100_000],
)  # fmt: skip
def test_damaged_lists(our_side: Any, text: str) -> None:
    with pytest.raises(CorruptData):
        serialise.numbers_from_json(text.replace("N", str(our_side.public.n)), our_side.public)


def test_numbers_that_are_no_ciphertexts(our_side: Any) -> None:
    public = our_side.public
    for value in (0, public.nsquare, public.n, our_side.private.p):
        text = json.dumps({"public_key": {"n": public.n}, "values": [[str(value), 0]]})
        with pytest.raises(InvalidCiphertext):
            serialise.numbers_from_json(text, public)
    with pytest.raises(InvalidCiphertext, match="another key"):
        serialise.numbers_from_json('{"public_key": {"n": 15}, "values": []}', public)


def test_copies(our_side: Any, their_side: Any) -> None:
    """Through the state that pickling and multiprocessing use too."""
    number = our_side.public.encrypt(2.5) + 1
    other = copy.deepcopy(number)
    assert our_side.private.decrypt(other) == 3.5
    assert other.public_key == our_side.public
    assert copy.deepcopy(our_side.private) == our_side.private
    state = number.__getstate__()
    assert set(state) == {
        "public_key",
        "exponent",
        "_EncryptedNumber__ciphertext",
        "_EncryptedNumber__is_obfuscated",
    }
    # The state of python-paillier's objects is read too.
    theirs = their_side.public.encrypt(-2.5) * 3
    mine = ours.EncryptedNumber.__new__(ours.EncryptedNumber)
    mine.__setstate__({**vars(theirs), "public_key": our_side.public})
    assert our_side.private.decrypt(mine) == -7.5
    key = ours.PaillierPrivateKey.__new__(ours.PaillierPrivateKey)
    key.__setstate__({**vars(their_side.private), "public_key": our_side.public})
    assert key.decrypt(mine) == -7.5
    bare = ours.PaillierPublicKey.__new__(ours.PaillierPublicKey)
    bare.__setstate__(vars(their_side.public))
    assert bare == our_side.public
    public, _ = ours.generate_paillier_keypair(n_length=512)
    assert copy.deepcopy(public).h == public.h is not None


# The command lines: each side's commands on the files of the other.


def pheutil() -> str:
    found = shutil.which("pheutil", path=str(Path(sys.executable).parent))
    if found is None or importlib.util.find_spec("click") is None:
        pytest.skip("needs python-paillier's command line as the peer: pip install 'phe[cli]'")
    return found


Call = Callable[..., str]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """call(side, *arguments, rc=0): what the command of a side writes to standard output."""

    def run(side: str, *arguments: object, rc: int = 0) -> str:
        words = [str(argument) for argument in arguments]
        if side == "theirs":
            done = subprocess.run([pheutil(), *words], capture_output=True, text=True, check=False)
            assert done.returncode == rc
            return done.stdout
        monkeypatch.setattr(sys, "argv", ["crypsis-pheutil", *words])
        capfd.readouterr()
        try:
            command_line.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        out, err = capfd.readouterr()
        assert code == rc, err
        assert "Traceback" not in err
        return out

    return run


@pytest.mark.parametrize(("one", "other"), [("ours", "theirs"), ("theirs", "ours"), ("ours", "ours")])
def test_commands(tmp_path: Path, call: Call, one: str, other: str) -> None:
    private, public, a, b, c = (tmp_path / name for name in ("private", "public", "a", "b", "c"))
    call(one, "genpkey", "--keysize", 512, private)
    call(other, "extract", private, public)
    assert call(one, "extract", private, "-") == public.read_text()
    call(one, "encrypt", public, "5.5", "--output", a)
    call(other, "encrypt", "--output", b, public, "--", "-2.25")
    assert json.loads(a.read_text())["e"] == json.loads(b.read_text())["e"] == -32
    assert call(other, "decrypt", private, a) == "5.5\n"
    assert call(one, "decrypt", private, b) == "-2.25\n"
    call(other, "addenc", public, a, b, "--output", c)
    assert call(one, "decrypt", private, c) == "3.25\n"
    call(one, "add", public, c, "10", "--output", a)
    assert call(other, "decrypt", private, a) == "13.25\n"
    call(one, "multiply", "--output", b, public, a, "--", "-3")
    assert json.loads(b.read_text())["e"] == -45
    call(other, "decrypt", private, b, "--output", c)
    assert c.read_text() == "-39.75\n"


def test_commands_refuse(tmp_path: Path, call: Call, our_side: Any) -> None:
    private, number = tmp_path / "private", tmp_path / "number"
    private.write_text(json.dumps(serialise.private_key_to_jwk(our_side.private)))
    public = tmp_path / "public"
    public.write_text(json.dumps(serialise.public_key_to_jwk(our_side.public)))
    for text in ("", "{}", '{"v": "0", "e": 0}', '{"v": "abc", "e": 0}', '{"v": "5", "e": "x"}'):
        number.write_text(text)
        assert call("ours", "decrypt", private, number, rc=1) == ""
    assert call("ours", "decrypt", public, number, rc=1) == ""
    assert call("ours", "encrypt", private, 5, rc=1) == ""
    for plain in ("abc", "nan", "inf", "1e300"):
        assert call("ours", "encrypt", public, plain, rc=1) == ""
    for arguments in (
        ["encrypt", tmp_path / "missing", "5"],
        ["genpkey"],
        ["genpkey", "--keysize", "x", private],
        [],
    ):
        call("ours", *arguments, rc=2)
    output = tmp_path / "output"
    call("ours", "encrypt", public, "nan", "--output", output, rc=1)
    assert not output.exists()
