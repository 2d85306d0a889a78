"""A Streamlit server as a child process, signed in to an embedded OpenID provider."""

from __future__ import annotations

import ast
import contextlib
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from stguard.dev import people as people_module
from stguard.dev import provider, secretsfile
from stguard.errors import ConfigurationError
from stguard.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stguard.dev.people import Person
    from stguard.model import Claims, Identity

FIRST_PORT: Final = 8501
"""The port that Streamlit users know; taken when it is free."""

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 5.0
POLL_SECONDS: Final = 0.05


class ServerDiedError(ConfigurationError):
    """Tell that the app's server ended before it answered.

    Attributes:
        code: its exit code.
        output: what it printed; empty when it printed to the terminal.
    """

    def __init__(self, *, code: int, output: str) -> None:
        """Take how it ended."""
        self.code = code
        self.output = output
        super().__init__(f"the app's server ended with exit code {code} before it answered\n{output}".rstrip())


@dataclass(kw_only=True)
class Server:
    """Describe a running app.

    Attributes:
        url: its address, `http://localhost:PORT`.
        port: its port.
        issuer: address of the embedded provider.
        people: who can be signed in as.
        notes: what to know about the policy when signing in here, in plain words.
    """

    url: str
    port: int
    issuer: str
    people: tuple[Person, ...]
    notes: tuple[str, ...] = ()
    child: subprocess.Popen[bytes] = field(repr=False)
    log: IO[bytes] | None = field(default=None, repr=False)

    @property
    def output(self) -> str:
        """Return what the server printed so far; empty when it prints to the terminal."""
        if self.log is None:
            return ""
        self.log.flush()
        return Path(self.log.name).read_text(encoding="utf-8", errors="replace")

    def wait(self) -> int:
        """Wait until the server ends by itself and return its exit code."""
        return self.child.wait()

    def stop(self) -> None:
        """Stop the server; nothing happens when it has ended already."""
        _stop(self.child)


@contextlib.contextmanager
def serve(
    app: str | Path,
    *,
    policy: str | Path | None = None,
    people: Sequence[Claims | Person] | None = None,
    port: int | None = None,
    title: str | None = None,
    user_secrets: bool = True,
    environ: Mapping[str, str] | None = None,
    quiet: bool = True,
) -> Iterator[Server]:
    """Run an app with the embedded provider until the `with` block ends.

    Args:
        app: the main script.
        policy: file or folder; None for what `configure` would find.
        people: claims of each person to sign in as; None for the people of the policy.
        port: the port to try first; None for any free one.
        title: the app's name on the sign-in page; None for its file name.
        user_secrets: whether the app sees the secrets that Streamlit would find, in which `[auth]` must not stand.
        environ: variables to add to this process's.
        quiet: keep what the app prints for `Server.output`, instead of printing it to the terminal.

    Raises:
        ConfigurationError: no such app, a real `[auth]` is configured, nobody to sign in as, or no extra `demo`.
        PolicyFileError: the policy whose people are needed is refused.
        ServerDiedError: the server ended before it answered.
    """
    main = Path(app).resolve()
    if not main.is_file():
        raise ConfigurationError(f"{app}: no such file; name the app's main script")
    variables = {**os.environ, **(environ or {})}
    who, providers, notes = _who(main, policy=policy, people=people, environ=variables)
    found = secretsfile.places(main, environ=variables, cwd=Path.cwd()) if user_secrets else ()
    files = secretsfile.existing(found)
    if policy is not None:
        variables["STGUARD_POLICY"] = str(Path(policy).resolve())
    provider.require()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stguard-dev-")))
        chosen, issuing = free_ports(port, None)
        issuer = f"http://{provider.HOST}:{issuing}"
        secret = folder / "secrets.toml"
        secretsfile.write(secret, issuer=issuer, port=chosen, providers=providers)
        log = stack.enter_context((folder / "output.log").open("wb")) if quiet else None
        stack.callback(_stop, provider.start(who, port=issuing, title=title or main.name, log=log))
        child = subprocess.Popen(  # noqa: S603  our own interpreter and the app that we were asked to run
            _command(main, port=chosen, secrets=(*files, secret)),
            env=_environment(variables),
            stdin=subprocess.PIPE,  # closes when this process ends, whatever ends it
            stdout=log,
            stderr=None if log is None else subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process alone, which then stops the child once
        )
        stack.callback(_stop, child)
        server = Server(
            url=f"http://{provider.HOST}:{chosen}",
            port=chosen,
            issuer=issuer,
            people=who,
            notes=notes,
            child=child,
            log=log,
        )
        _wait_until_healthy(server, port=issuing, path="/.well-known/openid-configuration")
        _wait_until_healthy(server, port=chosen, path="/_stcore/health")
        yield server


def free_ports(*wanted: int | None) -> list[int]:
    """Return as many ports as are asked for, all different: the wanted one where it is free, else any free one."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) for _ in wanted]
        for probe, port in zip(probes, wanted, strict=True):
            if os.name == "posix":
                # A port that a server left a moment ago is free; elsewhere this option would take a port in use.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((provider.HOST, port or 0))
            except OSError:
                probe.bind((provider.HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def find_policy(app: Path, *, environ: Mapping[str, str]) -> Path | None:
    """Return the policy that `configure` would find for an app: `STGUARD_POLICY`, else beside the main script."""
    if environ.get("STGUARD_POLICY"):
        return Path(environ["STGUARD_POLICY"])
    beside = (app.parent / "policies", app.parent / "policy.yaml")
    return next((path for path in beside if path.exists()), None)


def signed_in_with(app: Path) -> tuple[str, ...]:
    """Return the names of the `[auth.NAME]` sections that a main script asks for: `st.login("google")`.

    A login without a name stands as `default`. A script that can't be parsed asks for nothing; Streamlit will say so.
    """
    try:
        tree = ast.parse(app.read_bytes())
    except (SyntaxError, ValueError):
        return ()
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found: dict[str, None] = {}
    for call in calls:
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        if _is_login(call.func):
            found[_first_text([*call.args, *filter(None, [named.get("provider")])])] = None
        elif _is_login(named.get("on_click")):
            given = named.get("args")
            found[_first_text(given.elts if isinstance(given, ast.List | ast.Tuple) else [])] = None
    return tuple(found)


def _is_login(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "login"


def _first_text(arguments: Sequence[ast.expr]) -> str:
    match arguments:
        case [ast.Constant(value=str(text)), *_]:
            return text
        case _:
            return "default"


def _who(
    app: Path, *, policy: str | Path | None, people: Sequence[Claims | Person] | None, environ: Mapping[str, str]
) -> tuple[tuple[Person, ...], tuple[str, ...], tuple[str, ...]]:
    """Return whom to sign in as, through which `[auth.NAME]` sections, and what to know about it."""
    providers = signed_in_with(app)
    if people is not None:
        return people_module.from_list(people), providers, ()
    path = Path(policy) if policy is not None else find_policy(app, environ=environ)
    if path is None:
        raise ConfigurationError(
            f"{app.name}: no policy beside it, so nobody to sign in as; write one with `stguard init`, or name the "
            "people with `--people FILE`"
        )
    parts = Policy.load(path).parts
    named = tuple(dict.fromkeys((*providers, *parts.identity.providers)))
    return people_module.from_policy(parts), named, _notes(parts.identity)


def _notes(identity: Identity) -> tuple[str, ...]:
    """Say why a login here may count for less than with the real provider."""
    every = (identity, *identity.providers.values())
    if any(each.issuers is not None for each in every):
        return (
            "The policy accepts tokens of named issuers only (`identity.accept`), so a login here counts as nobody.",
        )
    return ()


def _command(app: Path, *, port: int, secrets: Sequence[Path]) -> list[str]:
    flags = {
        "server.port": port,
        "server.address": provider.HOST,
        "server.baseUrlPath": "",
        "server.headless": "true",
        "server.enableWebsocketCompression": "false",
        "browser.gatherUsageStats": "false",
        "logger.hideWelcomeMessage": "true",
    }
    arguments = [f"--{key}={value}" for key, value in flags.items()]
    arguments += [f"--secrets.files={path}" for path in secrets]
    return [sys.executable, "-m", "stguard.dev.child", "run", str(app), *arguments]


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the child's variables: a proxy must not come between the app and the provider beside it."""
    environment = dict(variables)
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = ",".join(filter(None, (environment.get(name), "localhost", "127.0.0.1")))
    return environment


def _wait_until_healthy(server: Server, *, port: int, path: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(port, path=path):
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise ServerDiedError(code=server.child.wait(timeout=POLL_SECONDS), output=server.output)
        if time.monotonic() > deadline:
            raise ServerDiedError(code=1, output=f"no answer on port {port} within {START_SECONDS:.0f} s")


def _answers(port: int, *, path: str) -> bool:
    connection = http.client.HTTPConnection(provider.HOST, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _stop(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
