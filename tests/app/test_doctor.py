"""The doctor's page: for whom it opens, and what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import streamlit as st

from stguard.app import settings

if TYPE_CHECKING:
    from tests.app.conftest import Desk

MAIN = "sg.navigation([st.Page(sg.doctor, title='Doctor', default=True)]).run()"
POLICY = """
stguard: 1
roles: {admin: {allow: "policy:view"}, viewer: {}}
assign:
  - {role: admin, email: ada@acme.com}
  - {role: viewer, email: vera@acme.com}
pages: {doctor: signed_in}
"""
ORGS = """
stguard: 1
orgs: [acme]
roles: {admin: {allow: "policy:view"}, operator: {cross_org: true, allow: "policy:view"}}
assign:
  - {role: admin, org: acme, email: ada@acme.com}
  - {role: operator, org: "*", email: olga@acme.com}
pages: {doctor: signed_in}
"""
CANARY = "canary-0123456789"


def everything(at: Any, shown: Any) -> str:
    cells = [str(cell) for table in at.table for cell in (*table.value.index, *table.value.to_numpy().flat)]
    return "\n".join([shown(at), *cells])


def test_it_opens_for_who_may_see_the_policy(desk: Desk, shown: Any) -> None:
    app = desk.policy(POLICY).main(MAIN).run("ada")
    assert not app.exception
    assert app.title[0].value == "Doctor"
    assert "Your sign-in" in shown(app)
    assert "ada" in everything(app, shown)


@pytest.mark.parametrize("who", ["vera", None])
def test_it_stays_closed_for_everybody_else(desk: Desk, shown: Any, who: str | None) -> None:
    app = desk.policy(POLICY).main(MAIN).run(who)
    assert not app.title
    assert "Your sign-in" not in shown(app)
    app = desk.main("sg.doctor()").run(who)  # no navigation before it
    assert "Your sign-in" not in shown(app)


def test_in_an_app_with_orgs_it_takes_a_role_in_every_org(desk: Desk, shown: Any) -> None:
    main = desk.policy(ORGS).main(MAIN)
    assert "Your sign-in" not in shown(main.run("ada"))
    assert "Your sign-in" in shown(main.run("olga"))


def test_it_tells_what_is_risky_here(desk: Desk, shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    app = desk.policy(POLICY).main("sg.configure(hooks='off')\n" + MAIN).run("ada")
    assert "FORWARDED\\_ALLOW\\_IPS is \\*" in shown(app)
    assert "hooks are switched off" in shown(app)
    assert "problem" in app.error[0].value


def test_the_gateway_is_known_to_stand_before_it(desk: Desk, shown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = st.get_option
    headers = {"X-User": "email"}
    monkeypatch.setattr(st, "get_option", lambda n: headers if n == "server.trustedUserHeaders" else real(n))
    at = desk.policy(POLICY).main(MAIN).run("ada")
    assert "trustedUserHeaders" in shown(at)
    settings.serve(str(desk.folder / "main.py"), policy=None, identity=None)
    assert "trustedUserHeaders" not in shown(at.run())


def test_no_secret_is_shown(desk: Desk, shown: Any, claims: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", CANARY)
    user = {
        **claims("ada"),
        "tokens": {"access": CANARY},
        "roles": ["admin", CANARY],
        "nonce": CANARY,
        "name": f"{CANARY} *bold*",
    }
    app = desk.policy(POLICY).main(MAIN).run(user)
    assert not app.exception
    text = everything(app, shown)
    assert "Your sign-in" in text
    assert CANARY not in text
    assert "\\*bold\\*" in text
