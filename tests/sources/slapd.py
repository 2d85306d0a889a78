"""A directory for tests: OpenLDAP's server on loopback, with a certificate of its own."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.ports import unused

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = "/usr/sbin/slapd"
ROOT = "cn=root,dc=acme,dc=com"
READER = "cn=reader,dc=acme,dc=com"
SMALL = "cn=small,dc=acme,dc=com"
PASSWORD = "secret-of-the-directory"  # noqa: S105  a test's own
BASE = "ou=staff,dc=acme,dc=com"

CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl'
  EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 2.16.840.1.113730.3.1.610 NAME 'nsAccountLock'
  EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.4203.666.1 NAME 'accountState' SUP top AUXILIARY MAY ( userAccountControl $ nsAccountLock ) )
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/pid
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
database mdb
suffix "dc=acme,dc=com"
rootdn "{root}"
rootpw {password}
directory {folder}/db
limits dn.exact="{small}" size=3
access to attrs=userPassword by anonymous auth
access to * by dn.exact="{reader}" read by dn.exact="{small}" read by * none
"""


@dataclass(frozen=True)
class Directory:
    """A server that runs: its addresses, and the certificate to trust."""

    folder: Path
    port: int
    tls_port: int

    @property
    def url(self) -> str:
        return f"ldap://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"ldaps://localhost:{self.tls_port}"

    @property
    def ca_file(self) -> str:
        return str(self.folder / "server.pem")

    def add(self, ldif: str) -> None:
        """Add entries as an administrator does."""
        command = ["ldapadd", "-x", "-M", "-H", self.url, "-D", ROOT, "-w", PASSWORD]
        ran = subprocess.run(command, input=ldif, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr


def person(uid: str, *lines: str, mail: str | None = None, under: str = BASE) -> str:
    text = (f"dn: uid={uid},{under}", "objectClass: inetOrgPerson", "objectClass: accountState", f"uid: {uid}", "cn: x",
            "sn: x", f"mail: {mail or uid + '@acme.com'}", *lines)  # fmt: skip
    return "\n".join(text) + "\n\n"


def group(cn: str, *members: str, under: str = BASE) -> str:
    return "\n".join((f"dn: cn={cn},{under}", "objectClass: groupOfNames", *(f"member: {m}" for m in members))) + "\n\n"


def uid(name: str) -> str:
    return f"uid={name},{BASE}"


def cn(name: str) -> str:
    return f"cn={name},{BASE}"


def _certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.2"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "server.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


STARTS = 5


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[Directory]:
    if not Path(SERVER).exists() or shutil.which("ldapadd") is None:
        pytest.skip("slapd or ldapadd is not installed (packages slapd, ldap-utils)")
    (folder / "db").mkdir()
    _certificate(folder)
    config = CONFIG.format(folder=folder, root=ROOT, password=PASSWORD, reader=READER, small=SMALL)
    (folder / "slapd.conf").write_text(config, encoding="utf-8")
    made, server = _started(folder)
    with server:
        try:
            made.add(f"dn: dc=acme,dc=com\nobjectClass: dcObject\nobjectClass: organization\ndc: acme\no: Acme\n\n"
                     f"dn: {BASE}\nobjectClass: organizationalUnit\nou: staff\n\n")  # fmt: skip
            for dn in (READER, SMALL):
                made.add(f"dn: {dn}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
                         f"userPassword: {PASSWORD}\n\n")  # fmt: skip
            yield made
        finally:
            server.terminate()


def _started(folder: Path) -> tuple[Directory, subprocess.Popen[bytes]]:
    """Start a server; with other ports where somebody else takes one before it does."""
    for _ in range(STARTS):
        made = Directory(folder, unused(), unused())
        tls = " ".join(f"ldaps://127.0.0.{host}:{made.tls_port}/" for host in (1, 2))
        # `-d 0` keeps it in the foreground.
        command = [SERVER, "-f", str(folder / "slapd.conf"), "-h", f"ldap://127.0.0.1:{made.port}/ {tls}", "-d", "0"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if _answers(made.port, server):
            return made, server
        server.kill()
        server.wait()
    raise AssertionError("slapd did not start")


def _answers(port: int, server: subprocess.Popen[bytes]) -> bool:
    for _ in range(2000):
        if server.poll() is not None:
            return False
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.05):
            return server.poll() is None
    return False
