"""What a policy holds never acts on the terminal of who looks at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from stguard.cli import stguard

if TYPE_CHECKING:
    from pathlib import Path

OLD = """stguard: 1
permissions: {report: [view]}
roles: {viewer: {allow: "report:view"}}
assign: [{role: viewer, email: ann@acme.com}]
pages: {home: {role: viewer}}
"""
NEW = OLD.replace("email: ann@acme.com", r'email: "eve\e[2K\u202e@acme.com"')


@pytest.mark.parametrize("command", ["diff", "who", "revoke"])
def test_escapes_of_a_policy_do_not_reach_the_terminal(tmp_path: Path, command: str) -> None:
    (tmp_path / "old.yaml").write_text(OLD, "utf-8")
    new = tmp_path / "new.yaml"
    new.write_text(NEW, "utf-8")
    arguments = {
        "diff": ["diff", str(tmp_path / "old.yaml"), str(new)],
        "who": ["who", str(new), "report:view"],
        "revoke": ["revoke", "eve\x1b[2K\u202e@acme.com", "viewer", "--policy", str(new), "--yes"],
    }[command]
    result = CliRunner().invoke(stguard, arguments, color=True)
    assert "eve\N{REPLACEMENT CHARACTER}[2k" in result.output
    assert "\x1b" not in result.output
    assert "\u202e" not in result.output
