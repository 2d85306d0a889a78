"""A sample app worth looking at: two orgs, six pages, five people with different rights, one policy file.

`run` is the command `stguard demo`.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stguard import dev
from stguard.dev.people import from_claims

if TYPE_CHECKING:
    from collections.abc import Callable

    from stguard.dev import Server

APP: Final = Path(__file__).parent / "app.py"
POLICY: Final = Path(__file__).parent / "policy.yaml"

PEOPLE: Final = (
    from_claims(
        {"sub": "ann", "email": "ann@acme.com", "name": "Ann Lee", "groups": [], "roles": []},
        note="administrator of Acme, a viewer in Globex; edits the policy",
    ),
    from_claims(
        {"sub": "vic", "email": "vic@globex.com", "name": "Vic Vega", "groups": [], "roles": []},
        note="viewer in Globex, by the domain of the e-mail",
    ),
    from_claims(
        {
            "sub": "cora",
            "email": "cora@ruiz.example",
            "name": "Cora Ruiz",
            "groups": ["acme-analysts", "contractors"],
            "roles": [],
        },
        note="analyst in Acme, and a contractor: no exports",
    ),
    from_claims(
        {"sub": "sam", "email": "sam@vendor.example", "name": "Sam Okoye", "groups": [], "roles": []},
        note="support: looks into every organization, for a limited time",
    ),
    from_claims(
        {"sub": "val", "email": "val@visitor.example", "name": "Val Holt", "groups": [], "roles": []},
        note="a visitor: signed in, no rights",
    ),
)

TRY: Final = {
    "ann": "open Settings, then change the organization to Globex: most of the menu goes",
    "vic": "open /billing by hand: refused, and nothing of it is sent",
    "cora": "press Export in Reports: the role allows it, a forbid wins",
    "sam": "sees both organizations and may change nothing",
    "val": "sees Home and Status, and a lock on Settings",
}


def run(*, port: int | None = None, open_browser: bool = True, echo: Callable[[str], None] = print) -> int:
    """Run the sample app until Ctrl-C and return the exit code.

    It runs with a copy of its policy, so that whoever tries it can edit the file and see the app obey.

    Args:
        port: the port to try first; None for 8501. A busy one is replaced by a free one.
        open_browser: open the app in the browser once it answers.
        echo: where to say the address, the people, and what to try.

    Raises:
        ConfigurationError: the extra `demo` is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="stguard-demo-") as folder:
        policy = Path(shutil.copy(POLICY, folder))
        return dev.run(
            APP,
            policy=policy,
            people=PEOPLE,
            port=port,
            open_browser=open_browser,
            echo=echo,
            title="Meridian",
            user_secrets=False,
            introduce=lambda server: _introduction(server, policy=policy),
        )


def _introduction(server: Server, *, policy: Path) -> list[str]:
    lines = ["", f"  Meridian, the sample app of stguard: {server.url}", ""]
    for person in server.people:
        lines += [f"  {person.name:<10} {person.email:<20} {person.note}", f"  {'':<10} try: {TRY[person.sub]}"]
    return [
        *lines,
        "",
        f"  Its policy: {policy}",
        "  Edit it while the app runs: the next click obeys.",
        "",
        "  Ctrl-C stops it.",
    ]
