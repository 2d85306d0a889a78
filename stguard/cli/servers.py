"""`stguard dev` and `stguard demo`: run an app with an embedded sign-in."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stguard.cli.output import FINE, Failure, finish
from stguard.errors import PolicyFileError, StguardError

if TYPE_CHECKING:
    from collections.abc import Callable

_port_option = click.option(
    "--port", type=click.IntRange(1, 65535), metavar="N", help="The port to try first; a busy one gets another one."
)
_browser_option = click.option("--no-browser", is_flag=True, help="Don't open the browser.")


@click.command("dev")
@click.argument("app", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="APP.py")
@click.option(
    "--people",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A YAML or JSON list of claims, one mapping for each person; without it the people of the policy.",
)
@_port_option
@_browser_option
def dev_command(app: Path, people: Path | None, port: int | None, *, no_browser: bool) -> None:
    """Run any Streamlit app with an embedded OpenID provider: sign in as the people of the policy.

    For development only, on this machine only: whoever can reach the page can sign in as anyone.
    """

    def run() -> int:
        dev = _module("stguard.dev")
        listed = None if people is None else dev.read_people(people)
        code: int = dev.run(app, policy=None, people=listed, port=port, open_browser=not no_browser, echo=click.echo)
        return code

    _run(run)


@click.command("demo")
@_port_option
@_browser_option
def demo_command(port: int | None, *, no_browser: bool) -> None:
    """Run the sample app: two orgs, six pages, five people with different rights to sign in as."""

    def run() -> int:
        code: int = _module("stguard.demo").run(port=port, open_browser=not no_browser, echo=click.echo)
        return code

    _run(run)


def _module(name: str) -> Any:  # noqa: ANN401  what it needs comes with an extra and is imported when it runs
    return importlib.import_module(name)


def _run(run: Callable[[], int]) -> None:
    try:
        finish(run() or FINE)
    except PolicyFileError as error:
        raise Failure("\n".join(["the policy is refused", *map(str, error.problems)])) from error
    except StguardError as error:
        raise Failure(str(error)) from error
