"""`stguard env`: which environment variables set up which identity provider."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from stguard import environment
from stguard.cli.output import json_option, print_json
from stguard.errors import nearest, quote
from stguard.variables import with_dotenv

if TYPE_CHECKING:
    from stguard.environment import Recipe

GENERIC: Final = "oidc"
"""The name for every provider without variables of its own."""

ALSO: Final = {"entra": "microsoft", "azure": "microsoft", "ms": "microsoft"}
"""Other names of providers."""

HERE: Final = f"http://localhost:8501{environment.CALLBACK}"


@click.command("env")
@click.argument("provider", required=False)
@json_option
def env_command(provider: str | None, *, as_json: bool) -> None:
    """Show which environment variables set up PROVIDER, and where to find each value.

    Without PROVIDER the providers are listed. `oidc` is any that has no variables of its own. The variables count for
    sg.App and sg.auth_from_env, also from a file .env beside the main script.
    """
    recipes = {recipe.section: recipe for recipe in environment.RECIPES} | {GENERIC: environment.oidc("NAME")}
    if provider is None:
        _list(recipes, as_json=as_json)
        return
    name = provider.lower()
    recipe = recipes.get(ALSO.get(name, name))
    if recipe is None:
        guess = nearest(name, [*recipes, *ALSO]) or f"; `{GENERIC}` is any other OpenID provider"
        raise click.UsageError(f"unknown provider {quote(provider)}{guess}")
    _show(recipe, redirect=_redirect(), as_json=as_json)


def _list(recipes: dict[str, Recipe], *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "providers": [
                    {"name": name, "title": _title(name, recipe), "variables": list(recipe.names())}
                    for name, recipe in recipes.items()
                ]
            }
        )
        return
    width = max(map(len, recipes))
    for name, recipe in recipes.items():
        click.echo(f"{name:{width}}  {_title(name, recipe)}: {_required(recipe)}")
    general = ", ".join(variable.name for variable in environment.GENERAL if variable.required)
    click.echo(f"\nEach needs {general} besides. `stguard env PROVIDER` says where to find the values.")


def _title(name: str, recipe: Recipe) -> str:
    return "any other OpenID provider" if name == GENERIC else recipe.title


def _required(recipe: Recipe) -> str:
    return ", ".join(variable.name for variable in recipe.variables if variable.required)


def _show(recipe: Recipe, *, redirect: str, as_json: bool) -> None:
    every = (*recipe.variables, *environment.GENERAL)
    if as_json:
        listed: list[dict[str, Any]] = [
            {"name": v.name, "required": v.required, "secret": v.secret, "where": v.where} for v in every
        ]
        print_json(
            {
                "provider": recipe.section,
                "title": recipe.title,
                "variables": listed,
                "redirect_uri": redirect,
                "register": recipe.register,
            }
        )
        return
    click.echo(f"{recipe.title}: set these, in the environment or in .env beside the main script\n")
    width = max(len(variable.name) for variable in every)
    for variable in every:
        click.echo(f"{variable.name:{width}}  {variable.where}")
    click.echo(f"\nRegister the redirect URI {redirect} at: {recipe.register}")
    click.echo(f'In the app: sg.login_page() shows a button; by hand it is st.login("{recipe.section}")')


def _redirect() -> str:
    """Return the redirect URI that is set, or the one of an app on this machine."""
    given = with_dotenv(Path(), os.environ).get("REDIRECT_URI", "").strip()
    return given if given and environment.redirect_problem(given) is None else HERE
