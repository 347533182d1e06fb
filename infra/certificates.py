"""`python -m infra.certificates BUNDLE`: take the roots of AWS's databases from a file of certificates.

BUNDLE is what AWS publishes at https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem.
The roots that have not expired become `chalicelib/sources/aws_databases.pem`, which is packaged with the code.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

TARGET = Path(__file__).parent.parent / "chalicelib" / "sources" / "aws_databases.pem"
HEAD = """\
# The root certificates of AWS's databases (RDS, Aurora), as AWS publishes them at
# https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem. python -m infra.certificates writes this file.
"""


# AWS's own trials; no database of a customer has a certificate of these.
TRIALS = (" Beta ", " Preview ")


def roots(content: bytes, now: datetime) -> list[x509.Certificate]:
    """The certificates of a bundle that sign themselves and have not expired, by name. `ValueError` without one."""
    with warnings.catch_warnings():
        # Old certificates of the bundle have a serial number that RFC 5280 does not allow.
        warnings.simplefilter("ignore")
        every = x509.load_pem_x509_certificates(content)
    found = {
        each
        for each in every
        if each.issuer == each.subject and each.not_valid_after_utc > now and not any(w in _name(each) for w in TRIALS)
    }
    if not found:
        raise ValueError("there is no root certificate in it that has not expired")
    return sorted(found, key=_name)


def written(certificates: list[x509.Certificate]) -> str:
    each = (f"# {_name(one)}\n{one.public_bytes(Encoding.PEM).decode()}" for one in certificates)
    return HEAD + "".join(each)


def _name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.certificates", description=__doc__)
    parser.add_argument("bundle", type=Path)
    bundle = parser.parse_args().bundle
    try:
        found = roots(bundle.read_bytes(), datetime.now(UTC))
    except (OSError, ValueError) as error:
        print(f"error: {bundle} cannot be used: {error}", file=sys.stderr)
        return 1
    TARGET.write_text(written(found), encoding="utf-8")
    print(f"{len(found)} roots in {TARGET.name}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
