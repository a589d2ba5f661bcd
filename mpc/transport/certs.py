# SPDX-License-Identifier: Apache-2.0
"""Development certificates: a throw-away authority and one certificate a party, all made in one place.

For trying things out and for tests. Whoever runs this knows every party's private key, and the authority's
key lies beside them; two institutions that do not trust each other use the certificates of their own public
key infrastructure, and keep their keys to themselves.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from crypsis.errors import BackendUnavailable, ConfigError
from crypsis.mpc.transport.channel import check_party_name
from crypsis.mpc.transport.tls import TlsFiles

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

_CLOCK_SKEW = datetime.timedelta(minutes=5)


def party_files(directory: str | os.PathLike[str], party: str) -> TlsFiles:
    """Where `make_development_certificates` puts the files of `party`."""
    folder = Path(directory)
    return TlsFiles(ca=folder / "ca.crt", certificate=folder / f"{party}.crt", key=folder / f"{party}.key")


def make_development_certificates(
    directory: str | os.PathLike[str], parties: Iterable[str], *, days: float = 30, overwrite: bool = False
) -> dict[str, TlsFiles]:
    """An authority and one certificate a party in `directory`, good for `days`; what each party needs, by
    name.

    Everything is checked before the first file is written. Raises ConfigError when a file exists and not
    `overwrite`.
    """
    names = [check_party_name(party) for party in parties]
    if len({name.lower() for name in names} | {"ca"}) <= len(names):
        raise ValueError(
            f"party names {names} must differ from each other and from 'ca', without regard to case"
        )
    if not names:
        raise ValueError("no party was named")
    folder = Path(directory)
    if not overwrite:
        _refuse_existing(folder / f"{name}{suffix}" for name in ("ca", *names) for suffix in (".crt", ".key"))
    create_ca(folder, days=days, overwrite=overwrite)
    return {name: issue(folder, name, days=days, overwrite=overwrite) for name in names}


def create_ca(
    directory: str | os.PathLike[str],
    *,
    days: float = 30,
    overwrite: bool = False,
    start: datetime.datetime | None = None,
) -> tuple[Path, Path]:
    """Write `ca.crt` and `ca.key` (development only); their paths. `start` of validity is now by default."""
    _require_cryptography()
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = Path(directory)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Crypsis development, not for production"),
            # Two authorities with one name would be tried for each other's certificates.
            x509.NameAttribute(x509.NameOID.COMMON_NAME, f"development CA {os.urandom(4).hex()}"),
        ]
    )
    builder = (
        _builder(name, name, key.public_key(), key.public_key(), days, start)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True), critical=True)
    )
    return _write_pair(folder, "ca", key, builder, key, overwrite)


def issue(
    directory: str | os.PathLike[str],
    party: str,
    *,
    hosts: Iterable[str] = (),
    days: float = 30,
    overwrite: bool = False,
    start: datetime.datetime | None = None,
) -> TlsFiles:
    """Write `PARTY.crt` and `PARTY.key` signed by the authority in `directory` (development only).

    The certificate names the party, and `hosts` (DNS names or addresses) for other software that checks them.
    """
    _require_cryptography()
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509.oid import ExtendedKeyUsageOID

    check_party_name(party)
    folder = Path(directory)
    try:
        ca_key = load_pem_private_key((folder / "ca.key").read_bytes(), None)
        ca = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
    except OSError as error:
        raise ConfigError(
            f"no development authority in {folder} ({error.strerror}); create one first"
        ) from None
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey) or ca.public_key() != ca_key.public_key():
        raise ConfigError(
            f"{folder / 'ca.key'} is not the key of {folder / 'ca.crt'}; create the authority anew"
        )
    names: list[x509.GeneralName] = [x509.DNSName(party)]
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, party)])
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    builder = (
        _builder(subject, ca.subject, key.public_key(), ca_key.public_key(), days, start)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(key_cert_sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    certificate, key_file = _write_pair(folder, party, key, builder, ca_key, overwrite)
    return TlsFiles(ca=folder / "ca.crt", certificate=certificate, key=key_file)


def _require_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise BackendUnavailable(
            "certificates need the package cryptography: pip install cryptography"
        ) from None


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    days: float,
    start: datetime.datetime | None,
) -> x509.CertificateBuilder:
    from cryptography import x509

    if not 0 < days <= 3650:
        raise ValueError(f"days={days} is outside 0 to 3650")
    begin = start or datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin - _CLOCK_SKEW)
        .not_valid_after(begin + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
    )


def _key_usage(*, key_cert_sign: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _write_pair(
    folder: Path,
    name: str,
    key: ec.EllipticCurvePrivateKey,
    builder: x509.CertificateBuilder,
    signing_key: ec.EllipticCurvePrivateKey,
    overwrite: bool,
) -> tuple[Path, Path]:
    from cryptography.hazmat.primitives import hashes, serialization

    certificate_file, key_file = folder / f"{name}.crt", folder / f"{name}.key"
    if not overwrite:
        _refuse_existing((certificate_file, key_file))
    key_text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate = builder.sign(signing_key, hashes.SHA256())
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(key_file, key_text, 0o600)
        _write(certificate_file, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    except OSError as error:
        raise ConfigError(f"certificates cannot be written to {folder}: {error.strerror}") from None
    return certificate_file, key_file


def _refuse_existing(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.exists():
            raise ConfigError(
                f"{path} exists already; take another directory, or say that it may be overwritten"
            )


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write a file under its final name only when complete; mkstemp opens it with mode 0600."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            os.fchmod(file.fileno(), mode)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
