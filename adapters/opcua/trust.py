"""Certificates: our own, made on first use, and the folder of servers that are trusted (Part 4, 6.1; Part 12).

own/certificate.der, own/key.pem    ours
trusted/*.der                       servers, or authorities whose servers are trusted as well
refused/*.der                       what servers showed and nobody has approved yet
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.sdk import AuthFault, ConfigFault
from gateway.sdk.trust import Certificate

YEARS: Final = 10
LARGEST: Final = 64 * 1024
"""Bytes of a certificate that is looked at."""
KEPT: Final = 64
"""Refused certificates that are kept for approval: anyone can show us another."""


def thumbprint(der: bytes) -> str:
    """SHA-256 of a certificate, in hexadecimal."""
    return hashlib.sha256(der).hexdigest()


class Pki:
    """One such folder."""

    def __init__(self, folder: Path, application_uri: str) -> None:
        self.folder = folder
        self._uri = application_uri

    # ours

    def own(self) -> tuple[bytes, rsa.RSAPrivateKey]:
        """Our certificate (DER) and its key, made when there is none. Raises ConfigFault."""
        certificate, key = self.folder / "own/certificate.der", self.folder / "own/key.pem"
        try:
            if not certificate.exists() and not key.exists():
                self._make(certificate, key)
            der = certificate.read_bytes()
            own = x509.load_der_x509_certificate(der)
            private = serialization.load_pem_private_key(key.read_bytes(), None)
        except (OSError, ValueError, TypeError) as error:
            raise ConfigFault(f"own certificate in {self.folder}/own: {error}", code="certificate_files") from error
        if not isinstance(private, rsa.RSAPrivateKey) or own.public_key() != private.public_key():
            raise ConfigFault(f"{key} is not the key of {certificate}", code="certificate_files")
        return der, private

    def _make(self, certificate: Path, key: Path) -> None:
        """Make a self-signed application instance certificate (Part 6, 6.2.2)."""
        private = rsa.generate_private_key(65_537, 2048)
        host = socket.gethostname()
        name = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, f"Xingsha Gateway at {host}"[:64]),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Xingsha"),
            ]
        )
        usage = x509.KeyUsage(
            digital_signature=True, content_commitment=True, key_encipherment=True, data_encipherment=True,
            key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        today = datetime.now(UTC)
        names = [x509.UniformResourceIdentifier(self._uri), x509.DNSName(host)]
        key_id = x509.SubjectKeyIdentifier.from_public_key(private.public_key())
        issuer_id = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id)
        made = (
            x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
            .not_valid_before(today - timedelta(days=1))
            .not_valid_after(today + timedelta(days=365 * YEARS))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]),
                critical=False,
            )
            .add_extension(key_id, critical=False)
            .add_extension(issuer_id, critical=False)
            .sign(private, hashes.SHA256())
        )
        certificate.parent.mkdir(parents=True, exist_ok=True)
        _write(key, private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ), 0o600)  # fmt: skip
        _write(certificate, made.public_bytes(serialization.Encoding.DER), 0o644)

    # theirs

    def check(self, der: bytes, where: str) -> None:
        """Accept a server's certificate, or raise AuthFault with its thumbprint; a refused one is kept for approval."""
        print_ = thumbprint(der)
        try:
            shown = x509.load_der_x509_certificate(der)
        except ValueError as error:
            raise AuthFault(f"{where}: what the server shows is no certificate", code="certificate_invalid") from error
        trusted = list(self._folder("trusted"))
        if not any(known == der or _issued(shown, known) for _, known in trusted):
            self.keep(der)
            message = (
                f"{where}: the certificate of {_name(shown)} is not trusted; compare its thumbprint, "
                f"SHA-256 {print_}, SHA-1 {hashlib.sha1(der).hexdigest()}, then: xingsha trust"  # noqa: S324 - shown
            )
            raise AuthFault(message, code="certificate_not_trusted")
        today = datetime.now(UTC)
        if not shown.not_valid_before_utc <= today <= shown.not_valid_after_utc:
            span = f"{shown.not_valid_before_utc:%Y-%m-%d} to {shown.not_valid_after_utc:%Y-%m-%d}"
            raise AuthFault(f"{where}: the certificate of the server is valid from {span}", code="certificate_expired")

    def approve(self, print_: str) -> None:
        """Trust a refused certificate by the beginning of its thumbprint. Raises ConfigFault."""
        wanted = print_.replace(":", "").replace(" ", "").lower()
        found = [
            (path, der)
            for path, der in self._folder("refused")
            if len(wanted) >= 8 and any(one.startswith(wanted) for one in (thumbprint(der), _sha1(der)))
        ]
        if len(found) != 1:
            raise ConfigFault(f"{print_}: no refused certificate has this thumbprint", code="certificate_unknown")
        path, der = found[0]
        _write(self.folder / "trusted" / path.name, der, 0o644)
        path.unlink()

    def listed(self) -> Iterator[Certificate]:
        """All certificates in the folder."""
        for state in ("own", "trusted", "refused"):
            for _, der in self._folder(state):
                yield described(der, state)

    def _folder(self, name: str) -> Iterator[tuple[Path, bytes]]:
        for path in sorted((self.folder / name).glob("*.der")):
            with suppress(OSError):
                if path.stat().st_size <= LARGEST:
                    yield path, path.read_bytes()

    def keep(self, der: bytes) -> None:
        """Keep a certificate that is not trusted, for approval."""
        kept = list(self._folder("refused"))
        if len(der) <= LARGEST and len(kept) < KEPT and all(known != der for _, known in kept):
            with suppress(OSError):  # approval is then not possible; the refusal itself is told all the same
                _write(self.folder / "refused" / f"{thumbprint(der)}.der", der, 0o644)


def described(der: bytes, state: str) -> Certificate:
    """What people want to know of a certificate."""
    try:
        parsed = x509.load_der_x509_certificate(der)
    except ValueError:
        return Certificate(state, thumbprint(der), _sha1(der), "not readable", "", "")
    return Certificate(
        state,
        thumbprint(der),
        _sha1(der),
        _name(parsed),
        f"{parsed.not_valid_before_utc:%Y-%m-%d}",
        f"{parsed.not_valid_after_utc:%Y-%m-%d}",
    )


def _sha1(der: bytes) -> str:
    return hashlib.sha1(der).hexdigest()  # noqa: S324 - how other tools name certificates, not what is trusted


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "nobody"


def _issued(certificate: x509.Certificate, authority: bytes) -> bool:
    """True when an authority signed a certificate."""
    try:
        issuer = x509.load_der_x509_certificate(authority)
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False
    return constraints.ca


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write a file that is either whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
    beside.replace(path)
