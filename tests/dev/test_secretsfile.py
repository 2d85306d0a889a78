from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest

from stguard.dev import secretsfile
from stguard.errors import ConfigurationError


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("home", "work", "app"):
        (tmp_path / name / ".streamlit").mkdir(parents=True)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    return tmp_path / "app" / "main.py"


def places(app: Path, **environ: str) -> tuple[Path, ...]:
    return secretsfile.places(app, environ=environ, cwd=app.parents[1] / "work")


def test_secrets_are_looked_for_where_streamlit_does(app: Path) -> None:
    root = app.parents[1]
    assert places(app) == tuple(root / name / ".streamlit" / "secrets.toml" for name in ("home", "work", "app"))


def test_places_named_in_the_environment_or_the_config_replace_the_usual_ones(app: Path) -> None:
    root = app.parents[1]
    assert places(app, STREAMLIT_SECRETS_FILES="/a/s.toml own.toml") == (Path("/a/s.toml"), root / "work" / "own.toml")
    (root / "app" / ".streamlit" / "config.toml").write_text('[secrets]\nfiles = ["/etc/mine.toml"]\n')
    assert places(app) == (Path("/etc/mine.toml"),)


@pytest.mark.parametrize("folder", ["home", "work", "app"])
def test_a_real_auth_section_refuses_the_start(app: Path, folder: str) -> None:
    file = app.parents[1] / folder / ".streamlit" / "secrets.toml"
    file.write_text('[auth]\nclient_id = "real"\n')
    with pytest.raises(ConfigurationError) as caught:
        secretsfile.existing(places(app))
    assert str(caught.value).startswith(f"{file}: a real `[auth]` is configured there")
    assert "streamlit run" in str(caught.value)


def test_a_folder_of_secrets_is_looked_into_as_well(app: Path) -> None:
    folder = app.parent / "mounted"
    (folder / "auth").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="a real `\\[auth\\]`"):
        secretsfile.existing((folder,))


def test_other_secrets_are_kept(app: Path) -> None:
    file = app.parent / ".streamlit" / "secrets.toml"
    file.write_text('[database]\nurl = "sqlite://"\n')
    assert secretsfile.existing(places(app)) == (file,)


def test_secrets_that_are_no_toml_are_named(app: Path) -> None:
    file = app.parent / ".streamlit" / "secrets.toml"
    file.write_text("auth = [\n")
    with pytest.raises(ConfigurationError, match="can't be read as TOML"):
        secretsfile.existing(places(app))


def test_the_section_of_a_run_is_for_its_owner_only_and_new_each_time(tmp_path: Path) -> None:
    texts = []
    for name in ("one.toml", "two.toml"):
        secretsfile.write(tmp_path / name, issuer="http://localhost:1", port=8501, providers=())
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        texts.append((tmp_path / name).read_text())
    one, two = (tomllib.loads(text)["auth"] for text in texts)
    assert one["redirect_uri"] == "http://localhost:8501/oauth2callback"
    assert one["server_metadata_url"] == "http://localhost:1/.well-known/openid-configuration"
    assert one["cookie_secret"] != two["cookie_secret"]


def test_providers_that_the_app_names_get_a_section_each(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    secretsfile.write(path, issuer="http://localhost:1", port=1, providers=("google", "okta"))
    auth = tomllib.loads(path.read_text())["auth"]
    assert auth["google"]["client_id"] == auth["okta"]["client_id"] == secretsfile.CLIENT
    assert "client_id" not in auth
