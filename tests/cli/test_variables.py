from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stguard import environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run

NAMES = [*(recipe.section for recipe in environment.RECIPES), "oidc"]
CLEAN = {"REDIRECT_URI": "", "COOKIE_SECRET": ""}


def test_without_a_name_the_providers_are_listed(run: Run) -> None:
    ran = run("env")
    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()[: len(NAMES)]] == NAMES
    assert "MS_CLIENT_ID, MS_CLIENT_SECRET, MS_TENANT_ID" in ran.out
    assert [entry["name"] for entry in run("env", "--json").json["providers"]] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_variable_has_one_line_that_says_where_it_is_found(run: Run, name: str) -> None:
    ran = run("env", name, env=CLEAN)
    document = run("env", name, "--json", env=CLEAN).json
    assert ran.code == 0
    for variable in document["variables"]:
        lines = [line for line in ran.out.splitlines() if line.startswith(f"{variable['name']} ")]
        assert len(lines) == 1
        assert lines[0].endswith(variable["where"])
    assert {"REDIRECT_URI", "COOKIE_SECRET"} <= {variable["name"] for variable in document["variables"]}
    assert document["redirect_uri"] == "http://localhost:8501/oauth2callback"
    assert f"Register the redirect URI {document['redirect_uri']} at: {document['register']}" in ran.out


def test_the_redirect_uri_that_is_set_is_the_one_to_register(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REDIRECT_URI=https://app.acme.com/oauth2callback\n")
    assert "https://app.acme.com/oauth2callback at:" in run("env", "google", env={"REDIRECT_URI": None}).out  # type: ignore[dict-item]  # takes it away


@pytest.mark.parametrize("name", ["entra", "Microsoft", "ms"])
def test_a_provider_has_the_names_people_know(run: Run, name: str) -> None:
    assert "MS_TENANT_ID" in run("env", name).out


def test_an_unknown_provider_is_wrong_usage_and_gets_the_nearest_name(run: Run) -> None:
    ran = run("env", "gogle")
    assert (ran.code, ran.out) == (2, "")
    assert ran.error == "Error: unknown provider `gogle`; did you mean `google`?"
    assert "`oidc` is any other OpenID provider" in run("env", "zzz").error


def test_no_value_of_a_variable_is_printed(run: Run) -> None:
    canary = "canary-0123456789"
    environ = {v.name: canary for recipe in environment.RECIPES for v in recipe.variables} | {"COOKIE_SECRET": canary}
    for args in (["env"], ["env", "google"], ["env", "propelauth", "--json"]):
        assert canary not in run(*args, env=environ).out
