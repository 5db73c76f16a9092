"""A throw-away certificate authority and one server certificate, made by openssl; never for anything but tests."""

from __future__ import annotations

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from threadline_runtime.testing.requirements import find_program

_NAMES = "subjectAltName=DNS:localhost,DNS:mail.test,IP:127.0.0.1"

__all__ = ["Certificates", "make_certificates"]


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where the authority's certificate and the server's certificate and key lie (PEM)."""

    authority: Path
    certificate: Path
    key: Path

    def client_context(self) -> ssl.SSLContext:
        """A context that trusts this authority and nobody else, and checks the host name."""
        return ssl.create_default_context(cafile=str(self.authority))

    def server_context(self) -> ssl.SSLContext:
        """A context for an own server that shows this certificate."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificate, self.key)
        return context


def make_certificates(folder: Path) -> Certificates:
    """Make an authority and a certificate for localhost, 127.0.0.1 and mail.test, valid for two days."""
    authority, authority_key = folder / "ca.pem", folder / "ca.key"
    certificate, key = folder / "server.pem", folder / "server.key"
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    ca_usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _openssl("req", "-x509", *new_key, "-subj", "/CN=Test CA", *ca_usage, "-keyout", authority_key, "-out", authority)
    signed_by = ("-CA", authority, "-CAkey", authority_key)
    leaf = ("-addext", _NAMES, "-addext", "basicConstraints=critical,CA:FALSE")
    _openssl("req", "-x509", *new_key, "-subj", "/CN=mail.test", *leaf, *signed_by, "-keyout", key, "-out", certificate)
    return Certificates(authority, certificate, key)


def _openssl(*arguments: str | Path) -> None:
    program = find_program("openssl")
    if program is None:
        raise FileNotFoundError("openssl is missing: apt-get install openssl")
    subprocess.run([program, *map(str, arguments)], check=True, capture_output=True)  # noqa: S603 - arguments are ours
