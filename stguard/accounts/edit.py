"""Edits of a file of accounts: comments and order are kept, and nothing is written that would not load."""

from __future__ import annotations

import io
import secrets
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stguard import files
from stguard.accounts.accountsfile import Account, Accounts, comparable, parse, user_problem
from stguard.errors import ConfigurationError, PolicyFileError, nearest, quote

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

Fact = str | bool | list[str] | None
"""What a key of an account is set to; None takes the key out."""

NEW: Final = "# Local accounts of stguard. `stguard accounts` edits this file; keep its mode at 600.\naccounts: {}\n"

_KEPT: Final = stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP
"""What an existing file may keep of its mode: a group may read it, nobody else may do anything."""


@dataclass(frozen=True, slots=True)
class AccountsFile:
    """Hold a file as it was read for an edit.

    Attributes:
        path: where it lies.
        text: its content; None when there is no file yet.
        accounts: what stands in it.
    """

    path: Path
    text: str | None
    accounts: Accounts

    @staticmethod
    def read(path: Path, *, missing_is_empty: bool = False) -> AccountsFile:
        """Read a file.

        Raises:
            PolicyFileError: it holds an error.
            OSError: it can't be read.
        """
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            if not missing_is_empty:
                raise
            return AccountsFile(path, None, Accounts())
        reading = parse(path.as_posix(), data)
        if reading.accounts is None:
            raise PolicyFileError(reading.problems)
        return AccountsFile(path, data.decode("utf-8"), reading.accounts)

    def account(self, user: str) -> Account:
        """Return the account of a user name.

        Raises:
            ConfigurationError: there is none.
        """
        found = self.accounts.by_user.get(comparable(user))
        if found is None:
            hint = nearest(user, [each.user for each in self.accounts.by_user.values()])
            raise ConfigurationError(f"no account {quote(user)} in {quote(self.path)}{hint}")
        return found

    def expect_new(self, user: str) -> None:
        """Check that a user name can be that of a new account.

        Raises:
            ConfigurationError: there is one of that name, or the name can't be one.
        """
        if why := user_problem(user):
            raise ConfigurationError(why)
        if comparable(user) in self.accounts.by_user:
            raise ConfigurationError(f"there is an account {quote(user)} already; `stguard accounts passwd` changes it")

    def add(self, user: str, facts: Mapping[str, Fact]) -> str:
        """Write a new account, with an id of its own, and return the id.

        Raises:
            ConfigurationError: as `expect_new`.
            PolicyFileError: a fact is wrong.
            OSError: the file can't be written.
        """
        self.expect_new(user)
        # SECURITY: never made of the name. Who gets a name that was in use must not get what its last owner was given.
        mark = secrets.token_hex(16)
        self._write(lambda table: table.update({user: _record({"id": mark, **facts})}), changed=user)
        return mark

    def change(self, account: Account, facts: Mapping[str, Fact]) -> None:
        """Write some facts of an account; None takes a key out.

        Raises:
            PolicyFileError: a fact is wrong.
            OSError: the file can't be written.
        """

        def change(table: Any) -> None:  # noqa: ANN401  of ruamel
            record = table[account.user]
            for key, value in facts.items():
                record.pop(key, None)
                if value is not None:
                    record[key] = _value(value)

        self._write(change, changed=account.user)

    def remove(self, account: Account) -> None:
        """Take an account out.

        Raises:
            OSError: the file can't be written.
        """
        self._write(lambda table: table.pop(account.user), changed=account.user)

    def _write(self, change: Callable[[Any], object], *, changed: str) -> None:
        try:
            text = _edited(self.text if self.text is not None else NEW, change)
        except KeyError as error:
            raise ConfigurationError(
                f"{quote(changed)} can't be found for an edit; write the name in quotes"
            ) from error
        reading = parse(self.path.as_posix(), text)
        if reading.accounts is None:
            raise PolicyFileError(reading.problems)
        if _without(reading.accounts, changed) != _without(self.accounts, changed):
            # What the two libraries read differently, such as `012` without quotes.
            raise ConfigurationError(
                f"{quote(self.path)} can't be edited without changing others in it; edit it by hand"
            )
        before = files.digest(None if self.text is None else self.text.encode())
        files.replace(self.path, text.encode(), expected=before, keep=_KEPT, least=stat.S_IRUSR | stat.S_IWUSR)


def _edited(text: str, change: Callable[[Any], object]) -> str:
    yaml = _yaml()
    document = yaml.load(text)
    if not document["accounts"]:
        document["accounts"] = type(document)()  # `{}` would stay on one line, with all that is put in
    change(document["accounts"])
    out = io.StringIO()
    yaml.dump(document, out)
    return out.getvalue()


def _record(facts: Mapping[str, Fact]) -> dict[str, Any]:
    return {key: _value(value) for key, value in facts.items() if value is not None}


def _value(value: Fact) -> Any:  # noqa: ANN401  of ruamel
    if not isinstance(value, list):
        return value
    from ruamel.yaml.comments import CommentedSeq  # noqa: PLC0415  comes with an extra

    made = CommentedSeq(value)
    made.fa.set_flow_style()
    return made


def _without(accounts: Accounts, user: str) -> Sequence[Account]:
    return sorted((each for each in accounts.by_id.values() if each.user != user), key=lambda each: each.id)


def _yaml() -> Any:  # noqa: ANN401  of a package that comes with an extra
    try:
        from ruamel.yaml import YAML  # noqa: PLC0415  see above
    except ImportError as error:
        raise ConfigurationError(f"edits need {quote('ruamel.yaml')}; install `stguard[accounts]`") from error
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    return yaml
