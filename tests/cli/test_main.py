from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

import stguard.dev
from stguard.cli import COMMANDS, main
from stguard.errors import ConfigurationError, PolicyFileError, Problem, Severity

if TYPE_CHECKING:
    from tests.cli.conftest import Run

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-W", "error", "-m", "stguard.cli"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def start(*args: str, cwd: Path, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *args],
        cwd=cwd,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        **more,
    )


def ended(process: subprocess.Popen[str], given: str | None = None) -> tuple[int, str, str]:
    out, err = process.communicate(given, timeout=60)
    return process.returncode, out, err


@pytest.fixture
def folder(team: Run, tmp_path: Path) -> Path:
    """Return a folder with a good policy and a bad one."""
    del team
    (tmp_path / "bad.yaml").write_text("stguard: 2\n")
    return tmp_path


# --- the real command -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["check"], 0),
        (["test"], 0),
        (["matrix"], 0),
        (["schema"], 0),
        (["explain", "page:status", "--as", "anonymous"], 0),
        (["check", "bad.yaml"], 1),
        (["explain", "bad.yaml", "page:status", "--as", "anonymous"], 1),
        (["explain", "page:status"], 2),
        (["nonsense"], 2),
        (["explain", "page:home", "--as", "anonymous"], 3),
    ],
)
def test_the_exit_codes_are_those_of_the_contract(folder: Path, args: list[str], code: int) -> None:
    for more in ([], ["--json"]):
        got, out, err = ended(start(*args, *more, cwd=folder))
        assert got == code, err
        if more and code != 2:
            assert isinstance(json.loads(out), dict)
            assert err == ""
        assert "Traceback" not in err


def test_decide_streams(folder: Path) -> None:
    process = start("decide", "-", cwd=folder, stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write('{"action": "page:status"}\n')
    process.stdin.flush()
    assert json.loads(process.stdout.readline())["allowed"] is True  # before the input ends
    code, out, _ = ended(process, "nonsense\n")
    assert code == 1
    assert set(json.loads(out)) == {"error"}


def test_ctrl_c_ends_it_quietly(folder: Path) -> None:
    process = start("decide", "-", cwd=folder, stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write('{"action": "page:status"}\n')
    process.stdin.flush()
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    code, _, err = ended(process)
    assert code == 130
    assert err.strip() == ""


def test_a_reader_that_goes_away_ends_it_quietly(folder: Path) -> None:
    (folder / "r.jsonl").write_text('{"action": "page:status"}\n' * 5000)
    process = start("decide", "r.jsonl", cwd=folder)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_line(folder: Path) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [*COMMAND, "matrix"],
            cwd=folder,
            env=ENVIRONMENT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (1, "error: no space left on device\n")


def test_names_that_the_terminal_can_not_show_are_escaped(folder: Path) -> None:
    (folder / "p.yaml").write_text("stguard: 1\nroles: {v日ewer: {}}\npages: {x: {role: v日ewer}}\n", encoding="utf-8")
    ran = subprocess.run(
        [*COMMAND, "matrix", "p.yaml"],
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0
    assert "v\\u65e5ewer" in ran.stdout


# --- the group --------------------------------------------------------------------------------------------------------


def test_the_help_lists_each_command_and_imports_none_of_them() -> None:
    code = (
        "import sys; from stguard.cli import main; main(['--help']);"
        "print([m for m in ('streamlit', 'yaml', 'stguard.policy') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True)
    assert ran.stdout.endswith("[]\n")
    assert all(f"\n  {name} " in ran.stdout for name in COMMANDS)


def test_asking_the_policy_does_not_import_streamlit(folder: Path) -> None:
    code = (
        "import sys; from stguard.cli import main\n"
        "for args in (['check', '--app', 'main.py'], ['test'], ['matrix'], ['schema'], ['decide', 'r.jsonl'],"
        " ['explain', 'page:home', '--as', 'a@b.c'], ['init']): main(args)\n"
        "print('streamlit' in sys.modules)"
    )
    (folder / "main.py").write_text("import streamlit\n")
    (folder / "r.jsonl").write_text('{"action": "page:status"}\n')
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.endswith("False\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_help(run: Run, name: str) -> None:
    ran = run(name, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: stguard {name} ")
    command = getattr(importlib.import_module(f"stguard.cli.{COMMANDS[name][0]}"), f"{name}_command")
    assert isinstance(command, click.Command)
    assert command.name == name


def test_the_version_is_shown(run: Run) -> None:
    ran = run("--version")
    assert ran.code == 0
    assert ran.out.startswith("stguard ")


def test_a_command_that_does_not_exist_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chekc"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Error: unknown command `chekc`; did you mean `check`?" in err


# --- dev and demo -----------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Note what the server would be started with; a real one starts in tests/dev."""
    found: dict[str, Any] = {}

    def note(*args: object, **more: object) -> int:
        found.update(more, args=args)
        return 0

    monkeypatch.setattr(stguard.dev, "run", note)
    monkeypatch.setattr(importlib.import_module("stguard.demo"), "run", note)
    return found


def test_dev_passes_on_app_people_port_and_browser(run: Run, tmp_path: Path, asked: dict[str, Any]) -> None:
    (tmp_path / "main.py").touch()
    (tmp_path / "people.json").write_text('[{"sub": "1", "email": "ann@acme.com"}]')
    assert run("dev", "main.py", "--people", "people.json", "--port", "8600", "--no-browser").code == 0
    assert asked["args"] == (Path("main.py"),)
    assert (asked["port"], asked["open_browser"], asked["policy"]) == (8600, False, None)
    assert asked["people"] == [{"sub": "1", "email": "ann@acme.com"}]


def test_demo_passes_on_port_and_browser(run: Run, asked: dict[str, Any]) -> None:
    assert run("demo", "--port", "8600").code == 0
    assert (asked["port"], asked["open_browser"]) == (8600, True)


@pytest.mark.parametrize(
    "args",
    [["dev"], ["dev", "gone.py"], ["dev", "."], ["demo", "--port", "0"], ["demo", "--port", "99999"], ["demo", "x"]],
)
def test_a_server_that_can_not_be_asked_for_is_wrong_usage(run: Run, asked: dict[str, Any], args: list[str]) -> None:
    assert run(*args).code == 2
    assert asked == {}


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConfigurationError("a real `[auth]` is configured"), "error: a real `[auth]` is configured\n"),
        (
            PolicyFileError([Problem(file="p", line=1, column=2, severity=Severity.ERROR, code="c", message="m")]),
            "error: the policy is refused\np:1:2: error[c] m\n",
        ),
    ],
)
def test_what_keeps_a_server_from_starting_is_said_in_one_place(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    (tmp_path / "main.py").touch()

    def refuse(*_: object, **__: object) -> int:
        raise error

    monkeypatch.setattr(stguard.dev, "run", refuse)
    ran = run("dev", "main.py")
    assert (ran.code, ran.out, ran.err) == (1, "", message)
