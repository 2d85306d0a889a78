"""Where things stand in the text of a policy file, and how text is written there.

Edits are cuts in the text at positions that the YAML library gives: what no edit names stays byte for byte. (A library
that writes whole documents back folds long rows, moves comments and quotes anew: it changes half of the lines of a
policy without being asked.)
"""

from __future__ import annotations

import re
from typing import Any, Final

from stguard.edits.errors import EditError
from stguard.errors import quote
from stguard.policyfile.ledger import Ledger
from stguard.policyfile.node import FIELDS, ITEMS, Node
from stguard.policyfile.reader import Blemishes, read

Mark = Any
"""A node of PyYAML, which has no types for it: `start_mark`, `end_mark`, `value`, `flow_style`."""

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./@|+-]*")
_BARE_NO_TEXT: Final = re.compile(r"(?i)y|n|yes|no|on|off|true|false|null|none|nan|inf")
_WRITABLE: Final = re.compile(r"[\x20-\x7e\xa0-\u2027\u202f-\u2065\u206a-\ud7ff\ue000-\ufdcf\ufdf0-\ufefe\uff00-\ufffd"
                              r"\U00010000-\U0010ffff]*")  # fmt: skip
"""What may stand in a policy, as `policyfile.source` has it, without line breaks and tabs."""


def scalar(text: str) -> str:
    """Return a text as it is written in a policy: plain where every reader of YAML takes it for the same text.

    Raises:
        EditError: a policy can't hold it.

    >>> scalar("acme"), scalar("no"), scalar("12:30"), scalar("report:view")
    ('acme', '"no"', '"12:30"', '"report:view"')
    """
    if not text:
        return '""'
    if not _WRITABLE.fullmatch(text):
        raise EditError(f"{quote(text)} holds a character that a policy can't hold; leave out line breaks and the like")
    if _PLAIN.fullmatch(text) and not _BARE_NO_TEXT.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def root(text: str) -> Mark | None:
    """Return the node of a whole text; None when it holds no mapping."""
    import yaml  # noqa: PLC0415  10 ms that only those pay who read a policy

    try:
        # SECURITY: composing makes nodes of texts; no tag constructs anything.
        found = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError):
        return None
    return found if isinstance(found, yaml.MappingNode) else None


def field(mapping: Mark, name: str) -> tuple[Mark, Mark] | None:
    """Return the nodes of a key and of its value; None without that key."""
    return next(((key, value) for key, value in mapping.value if key.value == name), None)


def start(node: Mark) -> int:
    """Return where a node begins."""
    index: int = node.start_mark.index
    return index


def end(node: Mark) -> int:
    """Return where a node ends. The library's own end of a block is where the next thing begins."""
    if isinstance(node.value, list) and node.value and not node.flow_style:
        last = node.value[-1]
        return end(last[1] if isinstance(last, tuple) else last)
    if isinstance(node.value, list) and not node.flow_style:
        return start(node)
    index: int = node.end_mark.index
    return index


def line_start(text: str, pos: int) -> int:
    """Return where the line of a position begins."""
    return max(text.rfind("\n", 0, pos), text.rfind("\r", 0, pos)) + 1


def line_end(text: str, pos: int) -> int:
    """Return where the line of a position ends, its line break included."""
    found = re.compile(r"\r\n|\n|\r").search(text, pos)
    return len(text) if found is None else found.end()


def next_line(text: str, pos: int) -> int:
    """Return where the first line begins that holds nothing of what ends at a position."""
    return pos if pos == line_start(text, pos) and pos > 0 else line_end(text, pos)


def newline(text: str) -> str:
    """Return how a text ends its lines."""
    found = re.search(r"\r\n|\n|\r", text)
    return "\n" if found is None else found[0]


def skip(text: str, pos: int, *, until: str) -> int:
    """Return the position of the next of some characters that is not in a comment, before anything else; -1 if none."""
    while pos < len(text):
        char = text[pos]
        if char in until:
            return pos
        if char == "#" and (pos == 0 or text[pos - 1] in " \t\r\n,[{"):
            pos = line_end(text, pos)
        elif char in " \t\r\n":
            pos += 1
        else:
            return -1
    return -1


Plain = Any
"""What stands in a text without places: texts with whether they are quoted, lists, mappings in order."""


def plain(text: str) -> Plain:
    """Return what stands in a text, as the reader of policies reads it, without the places."""
    ledger = Ledger()
    base = ledger.add_file("", text=text)
    found = read(text, base=base, ledger=ledger, blemishes=Blemishes(), decodable=True, scrubbed=False)
    return None if found.root is None or ledger.refused else _plain(found.root)


def _plain(node: Node) -> Plain:
    match node[0]:
        case kind if kind == ITEMS:
            return [_plain(item) for item in node[2]]
        case kind if kind == FIELDS:
            return {key: _plain(value) for key, value in node[2].items()}
        case kind:
            return kind, node[2]
