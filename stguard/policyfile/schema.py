"""The JSON Schema of a policy file for editors, made from the description of the language.

It accepts what the reader accepts as far as JSON Schema can tell. Editors see values instead of texts: an unquoted `no`
or `012` is a text to the reader, so wherever a text is expected the schema lets truth values and numbers pass.
"""

from __future__ import annotations

from typing import Any, Final, assert_never

from stguard.policyfile.shape import (
    DEFINITIONS,
    LANGUAGE,
    Choice,
    Items,
    Json,
    Maybe,
    Names,
    Record,
    Ref,
    Split,
    Table,
    Text,
    Truth,
    Version,
    Word,
)

_NAME: Final[dict[str, Any]] = {"type": ["string", "number", "boolean"], "minLength": 1}


def schema() -> dict[str, Any]:
    """Return the JSON Schema, draft 2020-12."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "stguard policy",
        "description": "Who may see which page and do what in a Streamlit app.",
        **_record(LANGUAGE),
        "$defs": {name: _schema(shape) for name, shape in DEFINITIONS.items()},
    }


def _schema(  # noqa: C901, PLR0911, PLR0912  one case for each shape
    shape: Text | Word | Truth | Version | Names | Items | Table | Record | Choice | Split | Maybe | Json | Ref,
) -> dict[str, Any]:
    match shape:
        case Text() if shape.known:
            return {"enum": list(shape.known)}
        case Text(pattern=None):
            return {"type": ["string", "number", "boolean"]} if shape.empty else dict(_NAME)
        case Text():
            return {"type": "string", "pattern": shape.pattern}
        case Word():
            return {"oneOf": [{"const": word, "description": doc} for word, doc in shape.words.items()]}
        case Truth():
            return {"type": "boolean"}
        case Version():
            return {"enum": [1, "1"]}
        case Names():
            return _names(shape)
        case Items():
            return {"type": "array", "items": _schema(shape.of), **_at_least("minItems", shape.least)}
        case Table():
            return _table(shape)
        case Record():
            return _record(shape)
        case Choice():
            allowed = [each for each in (shape.text, shape.items, shape.table) if each is not None]
            return {"anyOf": [_schema(each) for each in allowed]} if shape.table != Json() else _or_mapping(shape)
        case Split():
            return {
                "if": {"type": "object", "required": [shape.key]},
                "then": _schema(shape.long),
                "else": _schema(shape.short),
            }
        case Maybe():
            return {"anyOf": [{"type": "null"}, _schema(shape.of)]}
        case Json():
            return {}
        case Ref():
            return {"$ref": f"#/$defs/{shape.name}"}
        case _:
            assert_never(shape)


def _or_mapping(shape: Choice) -> dict[str, Any]:
    texts = [] if shape.text is None else [_schema(shape.text)]
    return {"anyOf": [*texts, {"type": "object"}]}


def _names(shape: Names) -> dict[str, Any]:
    several = {"type": "array", "items": dict(_NAME), **_at_least("minItems", shape.least)}
    return several if shape.least > 1 else {"anyOf": [dict(_NAME), several]}


def _table(shape: Table) -> dict[str, Any]:
    most = {} if shape.most is None else {"maxProperties": shape.most}
    return {
        "type": "object",
        "propertyNames": {"minLength": 1},
        "additionalProperties": _schema(shape.of),
        **_at_least("minProperties", shape.least),
        **most,
    }


def _record(shape: Record) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "object",
        "properties": {name: {"description": key.doc, **_schema(key.shape)} for name, key in shape.keys.items()},
        "additionalProperties": False,
    }
    required = [name for name, key in shape.keys.items() if key.required]
    if required:
        found["required"] = required
    if shape.one_of:
        found["oneOf"] = [{"required": [name]} for name in shape.one_of]
    if shape.some_of:
        found["anyOf"] = [{"required": [name]} for name in shape.some_of]
    return found


def _at_least(key: str, least: int) -> dict[str, int]:
    return {key: least} if least else {}
