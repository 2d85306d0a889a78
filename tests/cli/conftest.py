from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from stguard.cli import stguard

if TYPE_CHECKING:
    from pathlib import Path

TEAM = """\
stguard: 1
permissions: {report: [view, export]}
roles:
  viewer: {allow: "report:view"}
  admin: {inherits: viewer, allow: "report:*"}
assign:
  - {id: boss, role: admin, email: ann@acme.com}
  - {id: staff, role: viewer, group: staff}
forbid:
  - {id: no-contractors, permission: "report:export", group: contractors}
pages:
  home: signed_in
  status: public
  reports: {permission: "report:view"}
  settings: {role: admin}
tests:
  - {as: {email: ann@acme.com, email_verified: true, groups: []}, can: "report:export"}
  - {as: anonymous, sees: [status]}
"""

ORGS = """\
stguard: 1
permissions: {report: [view, export]}
orgs: [acme, globex, initech]
roles:
  viewer: {allow: "report:view"}
  support: {cross_org: true, allow: "*:view"}
  exporter: {inherits: viewer, allow: "report:export"}
assign:
  - {id: acme-viewer, role: viewer, org: acme, email: ann@acme.com}
  - {id: globex-exporter, role: exporter, org: globex, email: ann@acme.com}
  - {id: oncall, role: support, org: "*", email: sam@vendor.example}
forbid:
  - {id: none-leave-globex, permission: "report:export", org: globex, everyone: signed_in}
  - {id: not-eve, permission: "report:view", email: eve@acme.com}
  - {id: not-finance, permission: "report:view", claim: {department: finance}}
pages:
  home: signed_in
  reports: {permission: "report:view"}
  acme: {org: acme}
"""


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        return self.err.splitlines()[-1]


class Run:
    def __call__(self, *args: str, stdin: str | bytes | None = None, env: dict[str, str] | None = None) -> Ran:
        result = CliRunner().invoke(stguard, list(args), input=stdin, env={"STGUARD_POLICY": None, **(env or {})})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Run()


@pytest.fixture
def team(run: Run, tmp_path: Path) -> Run:
    """Run a command in a folder with a single-tenant policy."""
    (tmp_path / "policy.yaml").write_text(TEAM, encoding="utf-8")
    return run


@pytest.fixture
def orgs(run: Run, tmp_path: Path) -> Run:
    """Run a command in a folder with a multi-tenant policy."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "policy.yaml").write_text(ORGS, encoding="utf-8")
    return run
