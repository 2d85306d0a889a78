from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from stguard import policyfile

CASES = Path(__file__).parent / "cases"
STRUCTURAL = {
    "claim-form", "empty-list", "empty-name", "empty-rule", "missing-key", "missing-version", "separation-too-few",
    "bad-time", "forbid-nothing", "no-zone", "unknown-key", "unknown-provider", "unknown-version", "unknown-word",
    "who-missing", "who-several", "wrong-type", "bad-duration",
}  # fmt: skip
"""Codes of what a schema can tell."""

YAML = {
    "alias", "anchor", "control-character", "duplicate-key", "empty-file", "merge-key", "not-utf8", "several-documents",
    "syntax", "tag", "too-deep",
}  # fmt: skip
"""Codes of what editors report before they look at the schema."""


class EditorLoader(yaml.SafeLoader):
    """Read YAML as editors do: the core schema of YAML 1.2, no dates."""


EditorLoader.yaml_implicit_resolvers = {}
EditorLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)$"), list("tf"))
EditorLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:null|~|)$"), ["n", "~", ""])
EditorLoader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"-?(?:0|[1-9][0-9]*)$"), list("-0123456789"))
EditorLoader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"-?[0-9]+\.[0-9]+$"), list("-0123456789"))


def value_of(text: str) -> Any:
    return yaml.load(text, EditorLoader)  # noqa: S506  a SafeLoader with fewer resolvers


def accepts(text: str) -> bool:
    return bool(Draft202012Validator(policyfile.schema()).is_valid(value_of(text)))


def codes(case: Path) -> set[str]:
    return set(re.findall(r"(?:error|warning)\[([a-z0-9-]+)\]", case.with_suffix(".txt").read_text(encoding="utf-8")))


BEYOND = {"forbid-nothing-of-every-page", "key-that-is-no-text"}
"""Cases of those codes that no schema can tell, or that have no form in JSON."""


def cases() -> list[Path]:
    paths = sorted(path for path in CASES.glob("*.yaml") if path.stem not in BEYOND)
    return [path for path in paths if not codes(path) & YAML]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(policyfile.schema())


def test_every_key_says_what_it_is_for() -> None:
    def look(schema: Any) -> None:
        if isinstance(schema, dict):
            for name, key in schema.get("properties", {}).items():
                assert key["description"], name
            for inner in schema.values():
                look(inner)
        elif isinstance(schema, list):
            for inner in schema:
                look(inner)

    look(policyfile.schema())


@pytest.mark.parametrize("case", cases(), ids=lambda case: str(case.stem))
def test_the_schema_refuses_what_is_wrong_in_structure_and_accepts_everything_else(case: Path) -> None:
    assert accepts(case.read_text(encoding="utf-8")) == (not codes(case) & STRUCTURAL)


@pytest.mark.parametrize(
    "text",
    [
        "{stguard: 1}",
        '{stguard: "1", roles: {no: {}, 012: {}, 12: {}}, assign: [{role: 12, group: true}]}',
        "{stguard: 1, orgs: from_identity}",
        "{stguard: 1, orgs: {acme: {name: Acme Inc}, globex: null}}",
        "{stguard: 1, permissions: whole}",
        '{stguard: 1, permissions: ["report:view"]}',
        "{stguard: 1, pages: {a: public, b: {not: {any: [signed_in, {group: g}]}}, c: {rule: public, menu: hidden}}}",
        "{stguard: 1, identity: {roles: [a, b], groups: {claim: x, split: ','}, providers: {o: {trust_email: true}}}}",
        "{stguard: 1, tests: [{as: anonymous, roles: null}, {as: {a: [1, null]}, memberships: [{org: a, roles: b}]}]}",
    ],
)
def test_the_schema_and_the_reader_accept_the_same_good_policies(text: str) -> None:
    assert accepts(text)
    found = {problem.code for problem in policyfile.parse([("p", text)], now=0.0).problems}
    assert not found & (STRUCTURAL | YAML)
