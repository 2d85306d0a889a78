"""The command line, `stguard`: each module holds the commands about one thing."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from stguard.cli.output import FINE, FOUND
from stguard.errors import nearest, quote

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED: Final = 130
"""Exit code after Ctrl-C: 128 and the number of the signal, as shells have it."""

COMMANDS: Final = {
    "demo": ("servers", "Run the sample app with people to sign in as."),
    "dev": ("servers", "Run an app with an embedded sign-in, for development."),
    "init": ("starter", "Write a starter policy from the pages of an app."),
    "check": ("checks", "List every problem of a policy, and of an app with it."),
    "test": ("checks", "Run the inline tests of a policy."),
    "explain": ("questions", "Say whether somebody may do something, and why."),
    "decide": ("questions", "Answer requests in bulk, one JSON line each."),
    "who": ("differences", "Say who may do something: by assignment, by role, by group."),
    "diff": ("differences", "Say exactly who gains and who loses what by an edit."),
    "audit": ("audits", "Look through a file of audit records: who was refused what, which grants are unused."),
    "matrix": ("matrices", "Show which role opens which pages and allows what."),
    "grant": ("edits", "Give a role to somebody, in the policy file."),
    "revoke": ("edits", "Take a role away from somebody, in the policy file."),
    "fmt": ("edits", "Lay a policy out; order, comments and quotes stay."),
    "history": ("edits", "List the versions of a policy that its edits left."),
    "publish": ("edits", "Put a policy in force at all replicas."),
    "restore": ("edits", "Make a policy what a version of its history was."),
    "accounts": ("accounts", "Manage local accounts: add, passwd, disable, enable, remove, list."),
    "doctor": ("doctors", "Look for what is wrong or risky in an app's configuration and somebody's claims."),
    "env": ("variables", "Show which environment variables set up which identity provider."),
    "schema": ("schemas", "Print the JSON Schema of the policy file."),
}
"""Each command's module and its line in the help; the module is imported when the command runs."""


class _Commands(click.Group):
    """Import a command's module only when it runs, so that `stguard --help` reads no policy code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"stguard.cli.{COMMANDS[cmd_name][0]}")
        command = getattr(module, f"{cmd_name}_command")
        assert isinstance(command, click.Command)  # noqa: S101  each name in the table has one
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            ctx.fail(f"unknown command {quote(args[0])}{nearest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001  click calls it so
    if value and not ctx.resilient_parsing:
        try:
            number = importlib.metadata.version("stguard")
        except importlib.metadata.PackageNotFoundError:
            number = "from source, not installed"
        click.echo(f"stguard {number}")
        ctx.exit(FINE)


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Show the version.")
def stguard() -> None:
    """Decide who may see and do what in a Streamlit app.

    POLICY is a file or a folder of *.yaml files; without it $STGUARD_POLICY, else policies/ or policy.yaml here.

    Exit codes: 0 fine, 1 problems found, 2 wrong usage, 3 the explained request is denied.
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        args: the arguments without the program's name; None for those of the process.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # Names and paths may hold what the terminal can't show; that must not end in a traceback.
            stream.reconfigure(errors="backslashreplace")
    try:
        code = stguard.main(args=None if args is None else list(args), prog_name="stguard", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except OSError as error:
        click.echo(f"error: {(error.strerror or str(error)).lower()}", err=True)
        _drop_output()
        return FOUND
    return code if isinstance(code, int) else FINE


def _drop_output() -> None:
    """Drop what could not be written, which Python would try to write once more as it ends."""
    with suppress(OSError, ValueError), Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
