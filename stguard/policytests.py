"""Policies as tests of pytest: each loads, its inline tests hold, and each role gives what was agreed."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from stguard import policyfile
from stguard.analysis import role_matrix
from stguard.errors import PolicyFileError
from stguard.policy import Policy, TestResult, run_tests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MATRIX: Final = "matrix.json"
"""Name of the file beside a policy that holds what each role gives."""


class _WrongError(Exception):
    """Say what is wrong in a sentence, in place of a traceback."""


class PolicyTests(pytest.File):
    """Collect the tests of one policy."""

    def __init__(self, *, policy: Path, **given: Any) -> None:  # noqa: ANN401  what pytest gives each collector
        """Take the file or folder of the policy."""
        super().__init__(**given)
        self.policy: Final = policy

    def collect(self) -> Iterator[pytest.Item]:
        """Yield a test for the policy, for each of its inline tests, and for what its roles give."""
        yield _PolicyTest.from_parent(self, name="loads", check=self._loads)
        now = time.time()
        reading = policyfile.load(self.policy, now=now)
        if reading.parts is None:
            return  # the first test lists the problems
        policy = Policy(reading.parts, problems=reading.problems)
        for result in run_tests(policy, now=now):
            name = f"{result.line}: {result.name}"
            yield _PolicyTest.from_parent(self, name=name, check=_held(result))
        path = self._matrix_path()
        update = self.config.getoption("--stguard-update")
        if update:
            path.write_text(json.dumps(_matrix(policy), indent=2) + "\n", encoding="utf-8")
        if path.exists():
            yield _PolicyTest.from_parent(self, name=MATRIX, check=lambda: _compare(policy, path))

    def _matrix_path(self) -> Path:
        return (self.policy if self.policy.is_dir() else self.policy.parent) / MATRIX

    def _loads(self) -> None:
        try:
            reading = policyfile.load(self.policy, now=time.time())
        except PolicyFileError as error:
            raise _WrongError(str(error)) from error
        if reading.parts is None:
            raise _WrongError("\n".join(str(problem) for problem in reading.problems))


class _PolicyTest(pytest.Item):
    """Run one check."""

    def __init__(self, *, check: Callable[[], None], **given: Any) -> None:  # noqa: ANN401  what pytest gives each item
        super().__init__(**given)
        self._check: Final = check

    def runtest(self) -> None:
        self._check()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ANN401  as in pytest
        return str(excinfo.value) if isinstance(excinfo.value, _WrongError) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        line = self.name.partition(":")[0]
        return self.path, int(line) - 1 if line.isdigit() else None, f"{self.path.name}: {self.name}"


def _held(result: TestResult) -> Callable[[], None]:
    def check() -> None:
        if not result.ok:
            raise _WrongError(f"{result.file}:{result.line}:{result.column}: {result.message}")

    return check


def _matrix(policy: Policy) -> dict[str, Any]:
    return {role: row.as_json() for role, row in role_matrix(policy).items()}


def _compare(policy: Policy, path: Path) -> None:
    agreed, now = json.loads(path.read_text("utf-8")), _matrix(policy)
    lines = []
    for role in dict.fromkeys((*agreed, *now)):
        before, after = agreed.get(role, {}), now.get(role, {})
        for kind in ("permissions", "pages"):
            had, has = before.get(kind, []), after.get(kind, [])
            lines += [f"+ {role} gains {name}" for name in has if name not in had]
            lines += [f"- {role} loses {name}" for name in had if name not in has]
    if lines:
        lines.append(f"what roles give is not what {path.name} says; if that is meant: pytest --stguard-update")
        raise _WrongError("\n".join(lines))
