"""A name for a source that is the same in each process of an app, and another one for a source set up otherwise.

SECURITY: under one name replicas read each other's answers. A source of which that can't be told has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import PurePath
from types import CodeType, FunctionType, MappingProxyType, MethodType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from types import CellType

_PLAIN: Final = (str, bytes, int, float, bool, type(None))

_LISTS: Final = (tuple, list, set, frozenset, dict, MappingProxyType)
"""What is known by what is in it; a class made of one may hold more."""

_DEPTH: Final = 8
"""Most levels of what a source was set up with."""


class _OpaqueError(Exception):
    """Two that look alike may be set up differently."""


def named(source: object) -> str | None:
    """Return the name: what it is, and all that it was set up with; None when something in that isn't plain.

    A source may say by `shared_name` what it is; sources of stguard are known by their plain attributes. A name may
    hold secrets: it is made into a digest with a key before it goes anywhere.
    """
    said = getattr(source, "shared_name", None)
    if isinstance(said, str):
        return repr(["named", said])
    try:
        return repr(_parts(source, depth=_DEPTH))
    except _OpaqueError:
        return None


def written_key(key: Hashable) -> str | None:
    """Return what tells a person from others in any process; None for what only this process can tell apart."""
    return repr(key) if _is_plain(key) else None


def _is_plain(key: object) -> bool:
    return type(key) in _PLAIN or (type(key) is tuple and all(map(_is_plain, key)))


def _parts(value: Any, *, depth: int) -> object:  # noqa: ANN401  whatever a source holds
    if type(value) in _PLAIN:
        return value
    if depth == 0:
        raise _OpaqueError

    def inside(*parts: Any) -> list[object]:  # noqa: ANN401  as above
        return [_parts(part, depth=depth - 1) for part in parts]

    match value:
        case PurePath():
            return str(value)
        case tuple() | list() if type(value) in _LISTS:
            return inside(*value)
        case set() | frozenset() | dict() | MappingProxyType() if type(value) in _LISTS:
            items = value.items() if isinstance(value, Mapping) else value
            return sorted(map(repr, inside(*items)))
        case partial():
            return ["partial", *inside(value.func, value.args, value.keywords)]
        case MethodType():
            return [value.__func__.__qualname__, *inside(value.__self__)]
        case FunctionType():
            cells = map(_content, value.__closure__ or ())
            parts = (value.__defaults__, value.__kwdefaults__, value.__dict__, *cells)
            return [value.__module__, value.__qualname__, _code(value.__code__), *inside(*parts)]
    return _attributes_of(value, depth=depth)


def _attributes_of(value: Any, *, depth: int) -> object:  # noqa: ANN401  as above
    kind = type(value)
    ours = kind.__module__.partition(".")[0] == "stguard"
    found: list[object] = [kind.__module__, kind.__qualname__]
    attributes = dict(_attributes(value))
    if not attributes:
        raise _OpaqueError  # a lock, a client of another language: nobody knows what it holds
    for name, part in sorted(attributes.items()):
        try:
            found.append((name, _parts(part, depth=depth - 1)))
        except _OpaqueError:
            if not ours:
                raise
    return found


def _code(code: CodeType) -> list[object]:
    """Return what a function does: two without a name differ in this alone."""
    inside = [_code(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    return [code.co_code.hex(), code.co_names, *inside]


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # nothing is in it yet
        return None


def _attributes(value: object) -> Iterator[tuple[str, Any]]:
    yield from getattr(value, "__dict__", {}).items()
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            private = name.startswith("__") and not name.endswith("__")
            yield name, getattr(value, f"_{kind.__name__.lstrip('_')}{name}" if private else name, None)
