"""`sg.doctor`: a page that shows what is wrong or risky in the configuration, and what became of one's own claims.

SECURITY: what it shows was cleaned of secrets in `diagnosis`; names that came with the claims are shown as plain text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pandas as pd
import streamlit as st

from stguard import diagnosis
from stguard.app import screens, survey
from stguard.app.screens import plain
from stguard.app.standing import standing
from stguard.errors import Severity
from stguard.model import PermissionIs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stguard.diagnosis import Account, Finding

MAY: Final = PermissionIs(("policy:view",))

_ICONS: Final = {Severity.ERROR: ":red[:material/error:]", Severity.WARNING: ":orange[:material/warning:]"}


def doctor() -> None:
    """Draw the doctor's page: findings about this app, and what became of the claims of who looks.

    For those who may `policy:view`. In an app with orgs that means who holds it in every org, by a role with
    `cross_org`: the configuration is everybody's. Use it as a page: `st.Page(sg.doctor, title="Doctor")`, with a rule
    for the page in the policy: `doctor: {permission: "policy:view"}`.

    Raises:
        ConfigurationError: outside a script run, or without a policy.
    """
    asked = standing()
    decision = asked.decide(MAY, org=None)
    asked.report(decision)
    if not decision.allowed:
        screens.show_refusal(asked, decision)
        return
    setup = survey.of_server(asked)
    findings = diagnosis.examine(setup)
    claims = asked.claims or {}
    told = diagnosis.account(claims, asked.subject, setup=setup, line=_line())
    findings = (*findings, *diagnosis.examine_account(told))
    st.title("Doctor", anchor=False)
    _summary(findings)
    for finding in findings:
        _draw(finding)
    _draw_account(told)


def _line() -> int | None:
    """Return the bytes of the `Cookie` line with which this session connected; None where it can't be seen."""
    header = st.context.headers.get("Cookie")
    return None if header is None else len(f"Cookie: {header}")


def _summary(findings: Sequence[Finding]) -> None:
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    warnings = len(findings) - errors
    if errors:
        st.error(f"{_count(errors, 'problem')} and {_count(warnings, 'warning')}.", icon=":material/error:")
    elif warnings:
        st.warning(f"No problems, {_count(warnings, 'warning')}.", icon=":material/warning:")
    else:
        st.success("No problems found.", icon=":material/check_circle:")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _draw(finding: Finding) -> None:
    with st.container(border=True):
        st.markdown(f"{_ICONS[finding.severity]} **{_text(finding.what)}**")
        st.markdown(_text(finding.why))
        st.markdown(f":material/build: {_text(finding.do)}")


def _draw_account(told: Account) -> None:
    st.subheader("Your sign-in", anchor=False)
    st.caption(f"Read as claims of {plain(told.provider)}. Secrets and tokens are never shown.")
    arrived, became, missing, ignored = st.tabs(["Arrived", "Became", "Missing", "Ignored"])
    with arrived:
        _table(("Claim", "Value"), told.arrived)
    with became:
        _table(("Fact", "Now"), told.became)
    with missing:
        rows = [(each.fact, f"{each.why[:1].upper()}{each.why[1:]}. {each.switch}".strip()) for each in told.missing]
        _table(("Fact", "Why, and what brings it"), rows, empty="Nothing is missing.")
    with ignored:
        _table(
            ("", "What, and why"), [(str(n), t) for n, t in enumerate(told.ignored, 1)], empty="Nothing was ignored."
        )
    size, limit = told.cookie.size, told.cookie.limit
    st.caption(f"The login takes {'' if told.cookie.exact else 'at least '}{size} of {limit} bytes in the cookie line.")


def _table(heads: tuple[str, str], rows: Sequence[tuple[str, str]], *, empty: str = "Nothing.") -> None:
    if not rows:
        st.caption(empty)
        return
    # A table shows Markdown: text from outside is escaped.
    cells = {heads[1]: [_text(text) for _, text in rows]}
    st.table(pd.DataFrame(cells, index=pd.Index([_text(name) for name, _ in rows], name=heads[0])), border="horizontal")


def _text(text: str) -> str:
    return plain(text.replace("`", ""))
