from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stguard import dev
from stguard.dev import server as server_module
from stguard.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

PEOPLE = [{"email": "ann@acme.com"}, {"email": "bob@acme.com"}]
SIGNED_IN = "import streamlit as st\nst.write(st.user.is_logged_in)\n"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "main.py"
    path.write_text(SIGNED_IN)
    return path


@pytest.fixture
def taken() -> Iterator[int]:
    with contextlib.closing(socket.create_server(("localhost", 0))) as holder:
        yield holder.getsockname()[1]


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  our own server on loopback
        return bytes(answer.read())


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("localhost", port, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError):
        connection.request("GET", "/")
        return connection.getresponse().status > 0
    return False


@pytest.mark.server
def test_an_app_is_served_with_a_provider_and_both_end_with_the_block(app: Path) -> None:
    with dev.serve(app, people=PEOPLE) as server:
        assert get(f"{server.url}/_stcore/health") == b"ok"
        configuration = json.loads(get(f"{server.issuer}/.well-known/openid-configuration"))
        assert configuration["issuer"] == server.issuer
        page = get(
            f"{server.issuer}/oauth2/authorize?response_type=code&client_id=x&scope=openid&redirect_uri={server.url}"
        ).decode()
        assert "ann@acme.com" in page
        assert "https://" not in page, "the sign-in page must not fetch anything"
        issuer_port = int(server.issuer.rpartition(":")[2])
        assert not list(app.parent.glob(".streamlit"))
    assert not answers(server.port)
    assert not answers(issuer_port)


@pytest.mark.server
def test_a_server_can_be_stopped_early(app: Path) -> None:
    with dev.serve(app, people=PEOPLE) as server:
        server.stop()
        assert not answers(server.port)


@pytest.mark.server
def test_the_secrets_of_a_run_are_private_and_gone_afterwards(app: Path) -> None:
    with dev.serve(app, people=PEOPLE) as server:
        secret = _secrets_of(server)
        assert secret.stat().st_mode & 0o777 == 0o600
        assert f"http://localhost:{server.port}/oauth2callback" in secret.read_text()
    assert not secret.exists()


def _secrets_of(server: dev.Server) -> Path:
    assert isinstance(server.child.args, list)
    flag = next(str(part) for part in server.child.args if str(part).startswith("--secrets.files="))
    return Path(flag.partition("=")[2])


@pytest.mark.server
def test_a_server_that_dies_tells_its_exit_code_and_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = tmp_path / "main.py"
    app.write_text(SIGNED_IN)
    monkeypatch.setenv("STREAMLIT_SERVER_MAX_UPLOAD_SIZE", "not a number")
    with pytest.raises(dev.ServerDiedError) as caught, dev.serve(app, people=PEOPLE):
        pass
    assert caught.value.code != 0
    assert "not a number" in caught.value.output


def test_without_a_policy_and_without_people_there_is_a_way_out(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STGUARD_POLICY", raising=False)
    with pytest.raises(ConfigurationError, match=r"stguard init.*--people"), dev.serve(app):
        pass


def test_a_missing_app_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"), dev.serve(tmp_path / "nowhere.py", people=PEOPLE):
        pass


def test_a_real_auth_section_refuses_the_start_before_anything_runs(app: Path) -> None:
    (app.parent / ".streamlit").mkdir()
    (app.parent / ".streamlit" / "secrets.toml").write_text("[auth]\n")
    with pytest.raises(ConfigurationError, match="a real `\\[auth\\]`"), dev.serve(app, people=PEOPLE):
        pass


def test_the_missing_extra_is_named(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigurationError, match='pip install "stguard\\[demo\\]"'), dev.serve(app, people=PEOPLE):
        pass


def test_a_busy_port_is_replaced_by_a_free_one(taken: int) -> None:
    ports = server_module.free_ports(taken, None)
    assert taken not in ports
    assert len(set(ports)) == 2


def test_the_policy_is_found_beside_the_app_or_through_the_environment(app: Path) -> None:
    assert server_module.find_policy(app, environ={}) is None
    (app.parent / "policy.yaml").touch()
    assert server_module.find_policy(app, environ={}) == app.parent / "policy.yaml"
    (app.parent / "policies").mkdir()
    assert server_module.find_policy(app, environ={}) == app.parent / "policies"
    assert server_module.find_policy(app, environ={"STGUARD_POLICY": "/x"}) == Path("/x")


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ('st.button("x", on_click=st.login)', ("default",)),
        ('st.button("x", on_click=st.login, args=["okta"])', ("okta",)),
        ('st.login(provider="okta"); st.login(name)', ("okta", "default")),
        ('st.login("google"); st.login("okta")', ("google", "okta")),
        ("st.login()", ("default",)),
        ("print(1)", ()),
        ("def (", ()),
    ],
)
def test_the_providers_that_an_app_asks_for_are_read_from_its_source(
    app: Path, source: str, names: tuple[str, ...]
) -> None:
    app.write_text(source)
    assert server_module.signed_in_with(app) == names


@pytest.mark.server
@pytest.mark.parametrize("request_to_end", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_kill_stop_everything_without_a_traceback(
    app: Path, taken: int, request_to_end: signal.Signals
) -> None:
    script = (
        "import sys; from pathlib import Path; from stguard import dev; "
        f"sys.exit(dev.run(Path({str(app)!r}), people={PEOPLE!r}, port={taken}, open_browser=False,"
        "echo=lambda text: print(text, flush=True)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith(f"Port {taken} is busy; using ")
        port = int(said.rstrip(".\n").rpartition(" ")[2])
        assert answers(port)
        assert "ann@acme.com" in "".join(iter(process.stdout.readline, "Ctrl-C stops it.\n"))
        process.send_signal(request_to_end)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert not answers(port)
    assert "Stopped." in output
    assert "Traceback" not in errors


@pytest.mark.server
def test_a_policy_that_accepts_other_issuers_only_is_pointed_out(app: Path) -> None:
    (app.parent / "policy.yaml").write_text(
        "stguard: 1\nroles: {a: {}}\nassign: [{role: a, email: ann@acme.com}]\npages: {home: signed_in}\n"
        "identity: {accept: {iss: https://accounts.google.com}}\n"
    )
    with dev.serve(app, environ={"STGUARD_POLICY": ""}) as server:
        assert "counts as nobody" in server.notes[0]
        assert [person.email for person in server.people] == ["ann@acme.com", "visitor@example.com"]
