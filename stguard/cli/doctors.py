"""`stguard doctor`: is everything set up, and what becomes of somebody's claims."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stguard import diagnosis
from stguard.cli.output import FINE, FOUND, count, finish, json_option, print_json
from stguard.cli.policies import locate, policy_argument
from stguard.cli.who import read_claims
from stguard.errors import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stguard.diagnosis import Account, Finding


@click.command("doctor")
@policy_argument
@click.option("--claims", "claims_file", metavar="FILE", help="A JSON file of claims, as `st.user.to_dict()` has them.")
@json_option
def doctor_command(policy: str | None, claims_file: str | None, *, as_json: bool) -> None:
    """Look for what is wrong or risky in the configuration of the app in this folder.

    With --claims also what becomes of them: what arrived, what was ignored and why, what is missing and which switch of
    the identity provider brings it. Secrets and tokens are never printed. Warnings alone exit with 0.
    """
    claims = None if claims_file is None else read_claims(Path(claims_file))
    try:
        path = locate(policy)
    except click.UsageError:
        if policy is not None:
            raise
        path = None
    # Streamlit is loaded here and not for `--help`; it reads its own settings.
    from stguard.app import survey  # noqa: PLC0415

    setup = survey.of_folder(Path.cwd(), policy=path, environ=dict(os.environ))
    findings = diagnosis.examine(setup)
    told = None
    if claims is not None:
        subject = setup.policy.subject(claims) if setup.policy is not None else None
        why = "there is no policy that could say who they are" if setup.policy is None else None
        told = diagnosis.account(claims, subject, setup=setup, why=why)
        findings = (*findings, *diagnosis.examine_account(told))
    if as_json:
        print_json(diagnosis.document(findings, told))
    else:
        _print(findings, told)
    finish(FINE if diagnosis.is_ok(findings) else FOUND)


def _print(findings: Sequence[Finding], told: Account | None) -> None:
    if told is not None:
        _print_account(told)
    for finding in findings:
        click.echo(f"{finding.severity.value}[{finding.code}] {finding.what}")
        click.echo(f"  why: {finding.why}\n  do:  {finding.do}")
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    click.echo(f"{count(errors, 'error')}, {count(len(findings) - errors, 'warning')}")


def _print_account(told: Account) -> None:
    click.echo(f"claims, read as those of {told.provider}")
    _table("arrived", told.arrived)
    _table("became", told.became or (("nobody", told.why or ""),))
    _table("ignored", [("-", note) for note in told.ignored])
    _table("missing", [(each.fact, f"{each.why}. {each.switch}".strip()) for each in told.missing])
    cookie = told.cookie
    click.echo(f"  login cookie: at least {cookie.size} of {cookie.limit} bytes\n")


def _table(title: str, rows: Sequence[tuple[str, str]]) -> None:
    if not rows:
        return
    click.echo(f"  {title}")
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        click.echo(f"    {name:{width}}  {text}")
