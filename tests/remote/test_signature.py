from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from stguard.errors import ConfigurationError
from stguard.remote.signature import HASHED, PLAIN, PublicKey, SignatureError

if TYPE_CHECKING:
    from pathlib import Path

FILE = b"policy: 1\n"


class Signer:
    """Sign as minisign does, and in ways in which it does not."""

    def __init__(self, key_id: bytes = b"12345678") -> None:
        self.key, self.id = Ed25519PrivateKey.generate(), key_id

    @property
    def public(self) -> str:
        return base64.b64encode(PLAIN + self.id + self.key.public_key().public_bytes_raw()).decode()

    def sign(self, data: bytes = FILE, *, comment: bytes = b"timestamp:1700000000", mark: bytes = HASHED) -> bytes:
        signature = self.key.sign(data if mark == PLAIN else hashlib.blake2b(data).digest())
        return b"\n".join(
            [
                b"untrusted comment: any",
                base64.b64encode(mark + self.id + signature),
                b"trusted comment: " + comment,
                base64.b64encode(self.key.sign(signature + comment)),
                b"",
            ]
        )


@pytest.fixture
def signer() -> Signer:
    return Signer()


@pytest.mark.parametrize("kind", ["-H", "-l"])
def test_what_minisign_signs_holds_and_says_when_it_was_signed(tmp_path: Path, kind: str) -> None:
    minisign = shutil.which("minisign")
    if minisign is None:
        pytest.skip("minisign is not installed")
    file, public, secret = tmp_path / "policy.yaml", tmp_path / "key.pub", tmp_path / "key"
    file.write_bytes(FILE)
    subprocess.run([minisign, "-G", "-W", "-p", public, "-s", secret], check=True, capture_output=True, timeout=30)
    subprocess.run([minisign, "-S", "-W", kind, "-s", secret, "-m", file], check=True, capture_output=True, timeout=30)
    comment, line = public.read_text().splitlines()
    key, signature = PublicKey(line), (tmp_path / "policy.yaml.minisig").read_bytes()
    signed = key.check(FILE, signature)
    assert signed.timestamp is not None
    assert signed.timestamp > 1_700_000_000
    assert "file:policy.yaml" in signed.comment
    assert key.id in comment
    with pytest.raises(SignatureError, match="not of this file"):
        key.check(FILE + b" ", signature)


@pytest.mark.parametrize("mark", [PLAIN, HASHED])
def test_both_kinds_of_signature_hold(signer: Signer, mark: bytes) -> None:
    assert PublicKey(signer.public).check(FILE, signer.sign(mark=mark)).timestamp == 1_700_000_000


def test_a_comment_without_a_timestamp_tells_no_moment(signer: Signer) -> None:
    assert PublicKey(signer.public).check(FILE, signer.sign(comment=b"my timestamp:")).timestamp is None


def test_two_timestamps_are_refused(signer: Signer) -> None:
    with pytest.raises(SignatureError, match="more than one timestamp"):
        PublicKey(signer.public).check(FILE, signer.sign(comment=b"timestamp:1\ttimestamp:2"))


@pytest.mark.parametrize("line", [1, 2, 3])
def test_no_flipped_bit_of_what_is_signed_passes(signer: Signer, line: int) -> None:
    key, lines = PublicKey(signer.public), signer.sign().split(b"\n")
    start = len(b"trusted comment: ") if line == 2 else 0
    raw = lines[line][start:] if line == 2 else base64.b64decode(lines[line])
    for place in range(len(raw)):
        flipped = bytearray(raw)
        flipped[place] ^= 1
        changed = lines[line][:start] + bytes(flipped) if line == 2 else base64.b64encode(flipped)
        with pytest.raises(SignatureError):
            key.check(FILE, b"\n".join([*lines[:line], changed, *lines[line + 1 :]]))


def test_a_signature_that_is_cut_short_anywhere_is_refused(signer: Signer) -> None:
    key, signature = PublicKey(signer.public), signer.sign()
    for length in range(len(signature) - 1):
        with pytest.raises(SignatureError):
            key.check(FILE, signature[:length])


def test_the_signature_of_another_file_is_refused(signer: Signer) -> None:
    with pytest.raises(SignatureError, match="not of this file"):
        PublicKey(signer.public).check(FILE, signer.sign(b"another"))


def test_the_signature_of_another_key_is_refused_by_its_id(signer: Signer) -> None:
    with pytest.raises(SignatureError, match="of the key 3837363534333241; expected the key 3837363534333231"):
        PublicKey(signer.public).check(FILE, Signer(b"A2345678").sign())


def test_another_key_that_claims_the_same_id_is_refused(signer: Signer) -> None:
    with pytest.raises(SignatureError, match="not of this key"):
        PublicKey(signer.public).check(FILE, Signer().sign())


def test_the_comment_of_a_newer_signature_does_not_make_an_older_one_newer(signer: Signer) -> None:
    older, newer = (signer.sign(comment=b"timestamp:%d" % moment).split(b"\n") for moment in (1, 2))
    with pytest.raises(SignatureError, match="trusted comment was changed"):
        PublicKey(signer.public).check(FILE, b"\n".join([*older[:2], newer[2], older[3], b""]))


def test_the_comment_of_another_file_does_not_go_with_this_one(signer: Signer) -> None:
    mine, other = signer.sign().split(b"\n"), signer.sign(b"another", comment=b"timestamp:9").split(b"\n")
    with pytest.raises(SignatureError, match="trusted comment was changed"):
        PublicKey(signer.public).check(FILE, b"\n".join([*mine[:2], *other[2:]]))


def test_the_mark_can_not_be_changed_to_the_other_kind(signer: Signer) -> None:
    lines = signer.sign(mark=HASHED).split(b"\n")
    lines[1] = base64.b64encode(PLAIN + base64.b64decode(lines[1])[2:])
    with pytest.raises(SignatureError, match="not of this file"):
        PublicKey(signer.public).check(FILE, b"\n".join(lines))


@pytest.mark.parametrize(
    "text", ["", "RW", "RWé", "untrusted comment: x", base64.b64encode(b"Xx" + bytes(40)).decode()]
)
def test_what_is_no_key_is_refused_with_the_way_to_one(text: str) -> None:
    with pytest.raises(ConfigurationError, match="minisign -G"):
        PublicKey(text)
