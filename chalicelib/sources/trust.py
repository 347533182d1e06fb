"""Whose certificates a source's server may show: those of AWS's databases and of the public authorities, or the
source's own.

The public ones are Mozilla's list as the AWS SDK carries it, which is the list that systems install, and the same in
Lambda as on every machine. OpenSSL wants them in a file, so they are written once per process, to a folder of its own.
"""

from __future__ import annotations

import hashlib
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

AWS_DATABASES = Path(__file__).with_name("aws_databases.pem")


def roots() -> bytes:
    """The certificates that are trusted unless a source brings its own, in PEM."""
    sdk = find_spec("botocore")
    if sdk is None or sdk.origin is None:
        raise LookupError("botocore is not installed, whose list of public authorities is used")
    return AWS_DATABASES.read_bytes() + Path(sdk.origin).with_name("cacert.pem").read_bytes()


@cache
def trusted_file(own: str | None) -> Path:
    """The path of a file of the trusted certificates: `own` (PEM) alone where a source brings them."""
    content = roots() if own is None else own.encode()
    path = Path(_folder().name) / f"{hashlib.sha256(content).hexdigest()}.pem"
    path.write_bytes(content)
    return path


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Only this process's user may write there. It goes when the process ends."""
    return tempfile.TemporaryDirectory(prefix="carillon-trust-", ignore_cleanup_errors=True)


def accept_certificates(pem: str) -> str:
    """The text of one or more certificates in PEM. `ValueError` when it is not, or holds a private key."""
    from cryptography import x509

    if "PRIVATE KEY" in pem:
        raise ValueError("a certificate is wanted, and this has a private key in it")
    try:
        x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        raise ValueError("the text is not one or more certificates in PEM") from None
    return pem
