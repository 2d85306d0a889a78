"""`stguard init`: a starter policy from the pages that an app declares, and the lines to change in it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from stguard import appsource, policyfile
from stguard.appsource import Asked
from stguard.cli import firstpolicy
from stguard.cli.output import FINE, Failure, count, finish
from stguard.errors import PolicyFileError, quote
from stguard.model import BUILT_IN_PERMISSIONS
from stguard.policy import Policy
from stguard.store import DEFAULT_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stguard.appsource import AppSource, NavigationCall

MAIN_NAMES: Final = ("main.py", "app.py", "streamlit_app.py")
"""Names under which the main script is looked for, in this order."""

_NAMEABLE: Final = re.compile(r"[^\s,*]+")


@click.command("init")
@click.argument("folder", type=click.Path(exists=True, path_type=Path), default=".", metavar="[DIR]")
def init_command(folder: Path) -> None:
    """Write a starter policy from the pages an app declares, and show the lines to change.

    DIR is the app's folder, with main.py, app.py or streamlit_app.py in it, or the main script itself. An existing
    policy is never overwritten.
    """
    main = _main_script(folder)
    existing = next((main.parent / name for name in DEFAULT_NAMES if _holds_policy(main.parent / name)), None)
    if existing is not None:
        raise Failure(f"{existing.as_posix()} exists; it stays as it is")
    source = appsource.read(main)
    if not source.files:
        raise Failure("\n".join(map(str, source.problems)))
    pages = _pages(source)
    written = _write(main.parent / DEFAULT_NAMES[0], _text(source, pages))
    for line in (*_report(written, pages), *_changes(source, main), *_next(main, written[0])):
        click.echo(line)
    finish(FINE)


def _main_script(given: Path) -> Path:
    if given.is_file():
        return given
    for name in MAIN_NAMES:
        if (given / name).is_file():
            return given / name
    expected = ", ".join(f"`{name}`" for name in MAIN_NAMES)
    raise Failure(f"no main script in {quote(given)}; expected {expected}, or name the script itself")


def _holds_policy(path: Path) -> bool:
    return any(path.glob("*.yaml")) if path.is_dir() else path.exists()


# --- the policy -------------------------------------------------------------------------------------------------------


def _pages(source: AppSource) -> tuple[str, ...]:
    """Return the url paths that need a rule, the first one open to who is signed in."""
    names = [page.name for page in source.pages if not page.external and page.name]
    if not source.navigations and names:
        # Pages of a `pages` folder: the main script becomes the menu, and what it shows becomes a page of its own.
        names = ["home", *(name for name in names[1:] if name != "home")]
    return tuple(dict.fromkeys(names)) or firstpolicy.EXAMPLE_PAGES[:1]


def _text(source: AppSource, pages: tuple[str, ...]) -> str:
    permissions = _asked(source, Asked.PERMISSION, without=BUILT_IN_PERMISSIONS)
    text = firstpolicy.text(
        pages=pages,
        permissions=permissions or firstpolicy.EXAMPLE_PERMISSIONS,
        roles=_asked(source, Asked.ROLE),
    )
    try:
        Policy.from_yaml(text)
    except PolicyFileError as error:
        found = "\n".join(map(str, error.problems))
        raise Failure(f"the names in the app make no policy; change them or write it by hand\n{found}") from error
    return text


def _asked(source: AppSource, kind: Asked, *, without: Iterable[str] = ()) -> tuple[str, ...]:
    names = dict.fromkeys(demand.name for demand in source.demands if demand.kind is kind)
    return tuple(name for name in names if _NAMEABLE.fullmatch(name) and name not in without)


def _write(folder: Path, text: str) -> tuple[Path, ...]:
    schema = json.dumps(policyfile.schema(), indent=2) + "\n"
    written = []
    try:
        folder.mkdir(exist_ok=True)
        for name, content in (("policy.yaml", text), (firstpolicy.SCHEMA_NAME, schema)):
            if name == firstpolicy.SCHEMA_NAME and (folder / name).exists():
                continue
            with (folder / name).open("x", encoding="utf-8", newline="\n") as file:
                file.write(content)
            written.append(folder / name)
    except OSError as error:
        raise Failure(f"can't write {quote(error.filename)}: {(error.strerror or 'failed').lower()}") from error
    return tuple(written)


# --- what to say ------------------------------------------------------------------------------------------------------


def _report(written: tuple[Path, ...], pages: tuple[str, ...]) -> Iterator[str]:
    yield f"wrote {written[0].as_posix()}: {count(len(pages), 'page')} ({', '.join(pages)})"
    yield from (f"wrote {path.as_posix()}: completion and checks in editors" for path in written[1:])
    yield ""


def _changes(source: AppSource, main: Path) -> Iterator[str]:
    plain = [call for call in source.navigations if not call.guarded]
    for problem in source.problems:
        yield f"first: {problem}"
    if not source.navigations:
        yield from _new_menu(source, main)
        return
    if not plain:
        yield "the app already makes its menu with stguard"
        return
    yield "change in the app:"
    if not source.imports_stguard:
        yield f"  {plain[0].place.file}"
        yield "    + import stguard as sg"
    for call in plain:
        yield f"  {call.place.file}:{call.place.line}"
        yield f"    - {call.line_text.strip()}"
        yield f"    + {_guarded(call).strip()}"


def _guarded(call: NavigationCall) -> str:
    start = call.place.column - 1
    return call.line_text[:start] + "sg.navigation" + call.line_text[start + len(call.text) :]


def _new_menu(source: AppSource, main: Path) -> Iterator[str]:
    files = [page.path.name for page in source.pages[1:] if page.path is not None]
    if files:
        yield "move the folder `pages` to `views`, what the main script shows to `views/home.py`, and leave in"
        listed = ", ".join(json.dumps(f"views/{name}", ensure_ascii=False) for name in ("home.py", *files))
    else:
        yield "the app makes no menu; put what it shows into a function `home`, and end with"
        listed = "home"
    yield f"  {main.as_posix()}"
    yield "    + import stguard as sg"
    yield f"    + sg.navigation([{listed}]).run()"


def _next(main: Path, policy: Path) -> Iterator[str]:
    yield ""
    yield f"then put your e-mail into {policy.as_posix()}, under `assign` and `tests`, and:"
    yield f"  stguard check {policy.parent.as_posix()} --app {main.as_posix()}"
    yield f"  stguard dev {main.as_posix()}"
