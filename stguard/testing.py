"""For the tests of apps: say who is signed in under `streamlit.testing`, and what each may do; a pytest plugin.

The plugin comes with the package and does nothing until the project names its policies:

    [tool.pytest.ini_options]
    stguard_policies = ["policies"]

Then each policy is a test that it loads, each of its inline tests is one, and what each role gives is compared with
`NAME.matrix.json` beside it, which `pytest --stguard-update` writes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

    import pytest
    from streamlit.testing.v1 import AppTest

    from stguard.model import Subject
    from stguard.policy import Policy

    At = TypeVar("At", bound=AppTest)


SETTING: Final = "stguard_policies"
"""The name of the setting that turns the pytest plugin on."""


def as_user(at: At, claims: Mapping[str, Any] | None) -> At:
    """Sign somebody in for the next runs of an `AppTest`.

    Args:
        at: the app under test.
        claims: claims as the identity provider would send them; None for a visitor who is not signed in.

    Returns:
        The same `at`, so that `as_user(at, {...}).run()` reads well.

    Examples:
        >>> from streamlit.testing.v1 import AppTest
        >>> at = AppTest.from_string("import streamlit as st; st.write(st.user.name)")
        >>> as_user(at, {"sub": "1", "name": "Ann"}).run().markdown[0].value
        'Ann'
    """
    user: dict[str, Any] = {"is_logged_in": False} if claims is None else {**claims, "is_logged_in": True}
    if hasattr(at, "user"):
        at.user = user
    else:
        _inject(at, user)
    return at


def policy_matrix(
    policy: Policy,
    subjects: Mapping[str, Subject | None],
    *,
    org: str | None = None,
    at: datetime | float | None = None,
) -> dict[str, dict[str, list[str]]]:
    """Return what each subject may do and open, to compare with what was agreed.

    Args:
        policy: the policy to ask.
        subjects: subjects by a name of your own, from `policy.subject`; None for nobody signed in.
        org: the org to ask in; None for none.
        at: an aware datetime or Unix seconds; None is now.

    Returns:
        By name, `{"permissions": [...], "pages": [...]}` in file order, as `stguard matrix --json` has it by role.

    Raises:
        ConfigurationError: for an org that the policy does not declare.
    """
    return {
        name: {
            "permissions": [p for p in policy.permissions if policy.allows(subject, p, org=org, at=at)],
            "pages": list(policy.pages(subject, org=org, at=at)),
        }
        for name, subject in subjects.items()
    }


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's setting and its option."""
    parser.addini(SETTING, "policy files and folders whose inline tests are tests", type="paths", default=[])
    help_text = "write what each role gives into matrix.json beside each policy"
    parser.getgroup("stguard").addoption("--stguard-update", action="store_true", help=help_text)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run where a policy that the project names isn't there: its tests would be missed by nobody."""
    import pytest  # noqa: PLC0415  this module serves apps without pytest, too

    for named in config.getini(SETTING):
        if _first_file(named) is None:
            raise pytest.UsageError(f"{SETTING}: no policy at `{named}`")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a policy that the project names; a folder stands for its first file."""
    for named in parent.config.getini(SETTING):
        if file_path == _first_file(named):
            from stguard.policytests import PolicyTests  # noqa: PLC0415  pytest and policies load only where they are used

            return PolicyTests.from_parent(parent, path=file_path, policy=named)
    return None


def _first_file(named: Path) -> Path | None:
    """Return the file under which a policy is collected; None when there is none."""
    if named.is_dir():
        return min(named.glob("*.yaml"), default=None)
    return named if named.is_file() else None


def _inject(at: AppTest, user: dict[str, Any]) -> None:
    """Sign in where `AppTest.user` doesn't exist yet.

    STREAMLIT 1.57: `AppTest` gives its runner a fixed user; the runner hands that dict to the run's context.
    """
    test: Any = at
    module: Any = sys.modules[next(kind for kind in type(at).__mro__ if kind.__name__ == "AppTest").__module__]
    test._stguard_user = user  # noqa: SLF001  read by the run below
    if hasattr(test, "_stguard_run"):
        return
    run, real = test._run, module.LocalScriptRunner  # noqa: SLF001  no public way there

    def run_as_user(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  whatever `_run` takes and returns
        def runner(*runner_args: Any, **runner_kwargs: Any) -> Any:  # noqa: ANN401  whatever the runner takes
            made = real(*runner_args, **runner_kwargs)
            made._user_info = dict(test._stguard_user)  # noqa: SLF001  no public way there
            return made

        module.LocalScriptRunner = runner
        try:
            return run(*args, **kwargs)
        finally:
            module.LocalScriptRunner = real

    test._stguard_run, test._run = run, run_as_user  # noqa: SLF001  no public way there
