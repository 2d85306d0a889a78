"""`stguard accounts`: local accounts, one command for each thing that happens to one."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stguard.accounts import passwords
from stguard.accounts.edit import AccountsFile, Fact
from stguard.cli.output import Failure, count, json_option, print_json
from stguard.errors import StguardError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stguard.accounts.accountsfile import Account

_file_option = click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("accounts.yaml"),
    show_default=True,
    help="The file of accounts.",
)
_stdin_option = click.option("--password-stdin", is_flag=True, help="Read the password from the first line of stdin.")
_user = click.argument("user")


class _Group(click.Group):
    """Turn what goes wrong into one line."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  as click has it
        try:
            return super().invoke(ctx)
        except FileNotFoundError as error:
            raise Failure(
                f"no file `{error.filename}`; `stguard accounts add` makes it, `--file` names another"
            ) from error
        except StguardError as error:
            raise Failure(str(error)) from error


@click.group("accounts", cls=_Group)
def accounts_command() -> None:
    """Manage local accounts: people who sign in with a user name and a password, without an identity provider.

    The app asks for them with sg.App("main.py", accounts="accounts.yaml"). A change of an account ends its logins.
    """


@accounts_command.command("add")
@_user
@click.option("--name", help="A name to show.")
@click.option("--email", help="An e-mail; policies count it only with --email-verified.")
@click.option("--email-verified", is_flag=True, help="You know that the e-mail is theirs.")
@click.option("--group", "groups", multiple=True, help="A group; may be given several times.")
@click.option("--role", "roles", multiple=True, help="A role; may be given several times.")
@click.option("--until", help='The moment it ends, such as "2027-01-01T00:00:00Z".')
@_stdin_option
@_file_option
def add_command(  # noqa: PLR0913  one for each option
    user: str,
    name: str | None,
    email: str | None,
    groups: tuple[str, ...],
    roles: tuple[str, ...],
    until: str | None,
    path: Path,
    *,
    email_verified: bool,
    password_stdin: bool,
) -> None:
    """Add an account; the password is asked for."""
    file = AccountsFile.read(path, missing_is_empty=True)
    file.expect_new(user)
    facts: dict[str, Fact] = {"name": name, "email": email, "email_verified": email_verified or None}
    facts |= {"groups": list(groups) or None, "roles": list(roles) or None, "until": until}
    password = _new_password((user, name, email), from_stdin=password_stdin)
    mark = file.add(user, {**facts, "password": password})
    click.echo(f"added {user}, sub {mark}, in {path}")


@accounts_command.command("passwd")
@_user
@_stdin_option
@_file_option
def passwd_command(user: str, path: Path, *, password_stdin: bool) -> None:
    """Set the password of an account; its logins end."""
    file = AccountsFile.read(path)
    account = file.account(user)
    password = _new_password((account.user, account.name, account.email), from_stdin=password_stdin)
    file.change(account, {"password": password})
    click.echo(f"changed the password of {account.user}; its logins have ended")


@accounts_command.command("disable")
@_user
@_file_option
def disable_command(user: str, path: Path) -> None:
    """Let nobody sign in with an account; its logins end."""
    file = AccountsFile.read(path)
    account = file.account(user)
    file.change(account, {"disabled": True})
    click.echo(f"disabled {account.user}; its logins have ended")


@accounts_command.command("enable")
@_user
@_file_option
def enable_command(user: str, path: Path) -> None:
    """Let people sign in with an account again; earlier logins stay ended."""
    file = AccountsFile.read(path)
    account = file.account(user)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    file.change(account, {"disabled": None, "enabled_at": now})
    click.echo(f"enabled {account.user}")


@accounts_command.command("remove")
@_user
@_file_option
def remove_command(user: str, path: Path) -> None:
    """Take an account out; its logins end. An account added later under this name is somebody else."""
    file = AccountsFile.read(path)
    account = file.account(user)
    file.remove(account)
    click.echo(f"removed {account.user}; its logins have ended")


@accounts_command.command("list")
@_file_option
@json_option
def list_command(path: Path, *, as_json: bool) -> None:
    """List the accounts, never a password's hash."""
    accounts = AccountsFile.read(path).accounts.by_user.values()
    if as_json:
        print_json({"accounts": [_document(each) for each in accounts]})
        return
    for each in accounts:
        facts = [each.user, each.name, each.email, *_remarks(each)]
        click.echo("  ".join(fact for fact in facts if fact))
    click.echo(count(len(accounts), "account"))


def _document(account: Account) -> dict[str, Any]:
    return {
        "user": account.user,
        "sub": account.id,
        "name": account.name,
        "email": account.email,
        "email_verified": account.email_verified,
        "groups": list(account.groups),
        "roles": list(account.roles),
        "disabled": account.disabled,
        "until": None if account.until is None else datetime.fromtimestamp(account.until, UTC).isoformat(),
        "password_dated": passwords.is_dated(account.password),
    }


def _remarks(account: Account) -> list[str]:
    remarks = ["(disabled)"] if account.disabled else []
    if account.until is not None:
        remarks.append(f"(until {datetime.fromtimestamp(account.until, UTC).isoformat()})")
    if passwords.is_dated(account.password):
        remarks.append("(hash of an older kind: set the password again)")
    return remarks


def _new_password(words: Iterable[str | None], *, from_stdin: bool) -> str:
    """Return the hash of a new password."""
    if from_stdin:
        typed = sys.stdin.readline().rstrip("\r\n")
    elif not sys.stdin.isatty():
        raise Failure("there is no terminal to ask for a password at; give it with --password-stdin")
    else:
        typed = click.prompt(f"Password ({passwords.SHORTEST} characters or more)", hide_input=True)
    if why := passwords.reject(typed, words=[word for word in words if word]):
        raise Failure(f"this password is not taken: {why}")
    if not from_stdin and click.prompt("Once more", hide_input=True) != typed:
        raise Failure("the two are not the same; nothing was changed")
    return passwords.hashed(passwords.prepared(typed))
