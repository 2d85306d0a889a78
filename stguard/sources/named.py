"""A name for a source that is the same in each process of an app, and another one for a source set up otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import partial
from pathlib import PurePath
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CellType

_PLAIN: Final = (str, bytes, int, float, bool, type(None))


def named(source: object) -> str:
    """Return the name: what it is, and the plain values it was set up with.

    It may hold secrets: made into a digest with a key before it goes anywhere.
    """
    return repr(_parts(source, of=type(source).__module__, depth=6))


def _parts(value: Any, *, of: str, depth: int) -> object:  # noqa: ANN401  whatever a source holds
    """Return what tells a value from others: of its own class and stguard's all attributes, of others the class."""
    kind = type(value)
    if isinstance(value, (*_PLAIN, PurePath)):
        return str(value) if isinstance(value, PurePath) else value
    if depth == 0:
        return kind.__qualname__

    def inside(*parts: Any) -> list[object]:  # noqa: ANN401  as above
        return [_parts(part, of=of, depth=depth - 1) for part in parts]

    match value:
        case tuple() | list():
            return inside(*value)
        case AbstractSet():
            return sorted(map(repr, inside(*value)))
        case Mapping():
            return sorted(repr(inside(*item)) for item in value.items())
        case partial():
            return ["partial", *inside(value.func, value.args, value.keywords)]
        case MethodType():
            return [value.__func__.__qualname__, *inside(value.__self__)]
        case FunctionType():
            cells = map(_content, value.__closure__ or ())
            return [value.__module__, value.__qualname__, *inside(value.__defaults__, value.__kwdefaults__, *cells)]
    ours = kind.__module__ == of or kind.__module__.partition(".")[0] == "stguard"
    # What a client or a lock holds may differ from moment to moment.
    return [kind.__module__, kind.__qualname__, *(inside(dict(_attributes(value))) if ours else ())]


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
            yield name, getattr(value, name, None)
