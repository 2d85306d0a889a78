"""What YAML becomes before anything is known about policies: plain tuples with positions.

A node is `(kind, position, content, key position)`. The content of a text is a `str` exactly as it stands in the file,
that of a list a `list` of nodes, that of a mapping a `dict` of text to node. The key position is that of the node's key
when it stands in a mapping, else that of the node. Tuples, because a large policy has a hundred thousand of them.
"""

from __future__ import annotations

from typing import Any, Final

Node = tuple[int, int, Any, int]

PLAIN: Final = 0
"""Text without quotes."""
QUOTED: Final = 1
"""Text in quotes, or a block of text."""
ITEMS: Final = 2
"""List."""
FIELDS: Final = 3
"""Mapping."""
SPOILT: Final = 4
"""Something that was reported already: nothing more is said about it."""

KIND: Final = 0
POS: Final = 1
CONTENT: Final = 2
KEY_POS: Final = 3


def spoil(node: Node) -> Node:
    """Return a node about which nothing more is said, in the place of this one."""
    return (SPOILT, node[POS], None, node[KEY_POS])


def is_nothing(node: Node) -> bool:
    """Tell whether the node is YAML's null: nothing at all, or an unquoted `null`."""
    return node[KIND] == PLAIN and (not node[CONTENT] or node[CONTENT] == "null")
