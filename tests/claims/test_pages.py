"""The pages about providers can't lie: what they show is in the golden claims, in the table, or read as a policy."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from stguard import Policy, environment
from stguard.providers import BY_NAME, Provider

HERE = Path(__file__).parent
PAGES = Path(__file__).parents[2] / "docs" / "providers"
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
ROWS = [row for row in BY_NAME.values() if row.name != "none"]
POLICY = {"stguard": 1, "permissions": {"report": ["view", "edit"]}, "roles": {"viewer": {}, "admin": {}}}

rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.name))


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    return [body for kind, body in BLOCK.findall(page(name)) if kind == language]


def cases(name: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted((HERE / name).glob("*.json"))]


def test_every_provider_has_a_page_and_the_index_names_it() -> None:
    assert {path.stem for path in PAGES.glob("*.md")} == {"README", *(row.name for row in ROWS)}
    for row in ROWS:
        assert f"[{row.title}]({row.name}.md) | `{row.name}`" in page("README")


@rows
def test_the_claims_of_a_page_are_among_the_golden_ones(row: Provider) -> None:
    shown = blocks(row.name, "json")
    assert shown
    for text in shown:
        claims = json.loads(text)
        assert any(case["claims"] | claims == case["claims"] for case in cases(row.name))


@rows
def test_a_page_says_of_every_fact_what_the_table_says(row: Provider) -> None:
    for sentence in row.switches.values():
        assert f"| {sentence} |" in page(row.name)


@rows
def test_what_a_page_says_goes_wrong_is_what_is_said(row: Provider) -> None:
    said = {why for case in cases(row.name) if case["subject"] for why in case["subject"]["unknown"].values()}
    table = page(row.name).partition("| it says |")[2].splitlines()[2:]
    quoted = [line.split(" | ")[0].removeprefix("| ") for line in table if line.startswith("| ")]
    assert quoted
    assert [text for text in quoted if text not in said] == []


@pytest.mark.parametrize("name", ["README", *(row.name for row in ROWS)])
def test_the_policies_of_a_page_load(name: str) -> None:
    shown = blocks(name, "yaml")
    assert shown
    for text in shown:
        assert Policy.from_yaml(json.dumps(POLICY | yaml.safe_load(text)))


@rows
def test_the_policy_of_a_page_names_its_preset(row: Provider) -> None:
    for text in blocks(row.name, "yaml"):
        assert yaml.safe_load(text)["identity"]["provider"] == row.name


@rows
def test_the_secrets_of_a_page_set_up_one_provider(row: Provider) -> None:
    for text in blocks(row.name, "toml"):
        auth = tomllib.loads(text)["auth"]
        (section,) = (entry for entry in auth.values() if isinstance(entry, dict))
        assert {"client_id", "client_secret", "server_metadata_url"} <= section.keys()
        assert section["server_metadata_url"].endswith("/.well-known/openid-configuration")
        assert auth["redirect_uri"].endswith("/oauth2callback")


@rows
def test_the_variables_of_a_page_are_those_that_are_read(row: Provider) -> None:
    known = {variable.name for variable in environment.GENERAL}
    for recipe in (*environment.RECIPES, environment.oidc("ACME"), environment.oidc(row.name.upper())):
        known |= set(recipe.names())
    for text in blocks(row.name, "sh"):
        assert {line.partition("=")[0] for line in text.splitlines()} <= known


def test_the_language_is_described_with_every_preset() -> None:
    (line,) = [
        line for line in (PAGES.parent / "policy.md").read_text("utf-8").splitlines() if "| `provider` |" in line
    ]
    assert set(re.findall(r"`([a-z0-9]+)`", line)) == {"provider", "auto", *BY_NAME}
