"""From a path to texts: which files, their bytes, their characters."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stguard.errors import quote
from stguard.files import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stguard.policyfile.ledger import Ledger

SIZE_LIMIT: Final = 5 * 1024 * 1024
"""Largest policy file, in bytes."""

ID_LENGTH: Final = 12
"""Hexadecimal digits of the name of a policy's files."""

MARKER: Final = "\ufdd0"
"""Stands for a character that was refused, so that reading goes on: a code point that Unicode keeps for such use."""

# YAML 1.2.2, section 5.1 (printable characters); the byte order mark only at the start.
# SECURITY: without those that show a file otherwise than it is read. U+0085, U+2028 and U+2029 end a line, and so a
# comment, only for YAML 1.1, which libyaml reads; the others reorder what is shown (CVE-2021-42574).
_REFUSED: Final = re.compile(
    r"[^\t\n\r\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufdcf\ufdf0-\ufefe\uff00-\ufffd"
    r"\U00010000-\U0010ffff]"
)
_BYTE_ORDER_MARK: Final = "\ufeff"
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")


def files(path: Path, *, ledger: Ledger) -> list[Path]:
    """Return the policy files that a path stands for, in name order.

    A folder stands for its `*.yaml` files, without hidden ones: editors keep locks and copies under such names.
    """
    try:
        mode = path.stat().st_mode
        entries = sorted(entry.name for entry in path.iterdir()) if stat.S_ISDIR(mode) else None
    except (FileNotFoundError, NotADirectoryError):
        _refuse(path, code="path-missing", message="no such file or folder", ledger=ledger)
        return []
    except (OSError, ValueError) as error:
        _refuse(path, code="unreadable", message=f"can't be read: {_cause(error)}", ledger=ledger)
        return []
    if entries is None:
        return [path]
    found = [path / name for name in entries if is_read(name)]
    others = [name for name in entries if name.lower().endswith(_LOOKALIKES) and not is_read(name)]
    others = [name for name in others if not name.startswith(".")]
    if found:
        # SECURITY: a forbid in a file that nobody reads denies nothing.
        for name in others:
            message = f"is not read, only `*.yaml` is; rename it to {quote(Path(name).stem + '.yaml')}, or remove it"
            ledger.warning(ledger.add_file(shown(path / name)), code="not-read", message=message)
    else:
        other = next(iter(others), None)
        hint = f"; rename {quote(other)} to {quote(Path(other).stem + '.yaml')}" if other else ""
        message = f"expected a folder with `*.yaml` files, got none{hint}"
        _refuse(path, code="no-yaml", message=message, ledger=ledger)
    return found


_LOOKALIKES: Final = (".yml", ".yaml")


def is_read(name: str) -> bool:
    """Tell whether a file of this name in a folder belongs to the policy."""
    return name.endswith(".yaml") and not name.startswith(".")


def content(path: Path, *, ledger: Ledger) -> bytes | None:
    """Return the bytes of a file, or None when that was reported."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            _refuse(path, code="unreadable", message="expected a file, got something else", ledger=ledger)
            return None
        with path.open("rb") as file:
            data = file.read(SIZE_LIMIT + 1)
    except FileNotFoundError:
        message = "is gone: it was there when the folder was listed; load again"
        _refuse(path, code="vanished", message=message, ledger=ledger)
        return None
    except OSError as error:
        _refuse(path, code="unreadable", message=f"can't be read: {_cause(error)}", ledger=ledger)
        return None
    if len(data) > SIZE_LIMIT:
        _refuse(path, code="too-large", message=_TOO_LARGE, ledger=ledger)
        return None
    return data


_TOO_LARGE: Final = "expected at most 5 MB, got more; a folder may hold several files"


def version_id(contents: Mapping[str, bytes]) -> str:
    """Return the name of a policy's files: twelve hexadecimal digits of a digest of their names and contents."""
    told = json.dumps(sorted((name, digest(data)) for name, data in contents.items()))
    return digest(told.encode())[:ID_LENGTH]


def fits(text: str) -> bool:
    """Tell whether a text is small enough for a policy file."""
    return len(text) * 4 <= SIZE_LIMIT or len(text.encode("utf-8", "surrogatepass")) <= SIZE_LIMIT


def refuse_size(name: str, *, ledger: Ledger) -> None:
    """Report that a text is too large."""
    ledger.error(ledger.add_file(name), code="too-large", message=_TOO_LARGE)


def register(name: str, data: bytes | str, *, ledger: Ledger) -> tuple[str, int, bool]:
    """Register a file and return its text, the position of its first character, and whether all of it could be read.

    Refused bytes and characters are reported and replaced by a marker, so that everything else is still read.
    """
    if isinstance(data, str):
        text, decodable = data, True
    else:
        text, decodable = _decode(data)
    text = text.removeprefix(_BYTE_ORDER_MARK)
    first = _REFUSED.search(text)
    base = ledger.add_file(name, text=text)
    if first is None:
        return text, base, True
    if decodable:
        for match in _REFUSED.finditer(text):
            message = f"character U+{ord(match[0]):04X} is not allowed in a policy; remove it"
            ledger.error(base + match.start(), code="control-character", message=message)
        return _REFUSED.sub(MARKER, text), base, True
    bad = next((m for m in _REFUSED.finditer(text) if "\udc80" <= m[0] <= "\udcff"), first)
    got = f"byte 0x{ord(bad[0]) & 0xFF:02X}" if bad[0] >= "\udc80" else "other bytes"
    hint = "; it looks like UTF-16: save it as UTF-8" if isinstance(data, bytes) and data.startswith(_UTF16) else ""
    ledger.error(base + bad.start(), code="not-utf8", message=f"expected UTF-8, got {got}{hint or _SAVE}")
    return _REFUSED.sub(MARKER, text), base, False


_SAVE: Final = "; save the file as UTF-8"


def _decode(data: bytes) -> tuple[str, bool]:
    try:
        return data.decode("utf-8"), True
    except UnicodeDecodeError:
        return data.decode("utf-8", "surrogateescape"), False


def shown(path: Path) -> str:
    """Return a path as problems show it: as it was given, with `/`."""
    return os.fsencode(path.as_posix()).decode("utf-8", "replace")


def _refuse(path: Path, *, code: str, message: str, ledger: Ledger) -> None:
    ledger.error(ledger.add_file(shown(path)), code=code, message=message)


def _cause(error: OSError | ValueError) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return text.lower()
