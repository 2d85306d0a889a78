"""`configure` may run in each rerun, and apps in one process don't mix."""

from __future__ import annotations

import functools
from typing import Any

import pytest

import stguard as sg
from stguard.app import settings as settings_module
from stguard.app.settings import same_callable

SAYS = 'st.write(str(sg.can("report:view")))'


def test_equal_values_build_nothing_again(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = settings_module._store

    def store(*args: Any, **options: Any) -> Any:
        made.append(1)
        return real(*args, **options)

    monkeypatch.setattr(settings_module, "_store", store)
    at = desk.main(f'sg.configure(policy="policy.yaml", identity=lambda claims: sg.Facts())\n{SAYS}').run("vera")
    at.run().run()
    assert at.markdown[0].value == "True"
    assert len(made) == 1


def test_other_values_take_effect_in_the_rerun(desk: Any) -> None:
    other = (desk.folder / "policy.yaml").read_text(encoding="utf-8").replace("vera@", "zoe@")
    desk.write("other/policy.yaml", other)
    at = desk.main(f'sg.configure(policy=st.session_state.get("which", "policy.yaml"))\n{SAYS}').run("vera")
    assert at.markdown[0].value == "True"
    at.session_state["which"] = "other"
    assert at.run().markdown[0].value == "False"


def test_two_apps_in_one_process_keep_their_own_policies(desk: Any, tmp_path: Any) -> None:
    text = (desk.folder / "policy.yaml").read_text(encoding="utf-8").replace("vera@", "zoe@")
    other = type(desk)(tmp_path / "second")
    other.policy(text) if (tmp_path / "second").mkdir() is None else None
    at, second = desk.main(SAYS).run("vera"), other.main(SAYS).run("vera")
    assert at.run().markdown[0].value == "True"
    assert second.run().markdown[0].value == "False"


def test_a_policy_or_a_store_may_be_given(desk: Any) -> None:
    desk.main(f"""
        from pathlib import Path
        from stguard.store import PolicyStore
        path = Path(__file__).parent / "policy.yaml"
        sg.configure(policy=st.session_state.setdefault("store", PolicyStore(path)))
        {SAYS}
        sg.configure(policy=sg.Policy.load(path))
        {SAYS}
    """)
    assert [element.value for element in desk.run("vera").markdown] == ["True", "True"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "nowhere"}, "no policy at `nowhere`"),
        ({"policy": 7}, "policy is a path"),
        ({"identity": "propelauth"}, "identity is a function"),
        ({"audit": 7}, "audit is a file's path, a logger or a function"),
        ({"on_bad_edit": "ignore"}, "on_bad_edit is `keep` or `deny`"),
    ],
)
def test_a_wrong_setting_is_a_clear_error(desk: Any, options: dict[str, Any], message: str) -> None:
    at = desk.main(f"sg.configure(**{options!r})\n{SAYS}").run("vera")
    assert message in at.exception[0].message
    assert not at.markdown


def test_on_bad_edit_decides_what_a_bad_edit_does(desk: Any) -> None:
    for mode, after in (("keep", ["True"]), ("deny", [])):
        good = (desk.folder / "policy.yaml").read_text(encoding="utf-8")
        at = desk.main(f'sg.configure(on_bad_edit="{mode}")\n{SAYS}').run("vera")
        assert at.markdown[0].value == "True"
        desk.policy("stguard: 7\n")
        assert [element.value for element in at.run().markdown] == after
        desk.policy(good)


def test_outside_a_script_run_there_is_nothing_to_configure() -> None:
    with pytest.raises(sg.ConfigurationError, match="outside a script run"):
        sg.configure()


class Source:
    def __init__(self, host: str) -> None:
        self.host = host

    def __call__(self, _claims: Any) -> sg.Facts:
        return sg.Facts()


def test_functions_and_objects_made_anew_by_a_rerun_are_the_same() -> None:
    def make(value: int) -> Any:
        return lambda _claims, value=value: value

    assert same_callable(make(1), make(1))
    assert not same_callable(make(1), make(2))
    assert same_callable(Source("a"), Source("a"))
    assert not same_callable(Source("a"), Source("b"))
    assert not same_callable(Source("a"), make(1))


class Directory:
    def __init__(self, tenant: str) -> None:
        self.tenant = tenant

    def ask(self, _claims: Any) -> sg.Facts:
        return sg.Facts(blocked=None if self.tenant == "eu" else "gone")

    ask.ttl = 30.0  # type: ignore[attr-defined]  # how a method states the limits of a source


class Slotted:
    __slots__ = ("__dict__", "tenant")

    def __init__(self, tenant: str) -> None:
        self.tenant, self.ttl = tenant, 30.0

    def __call__(self, _claims: Any) -> sg.Facts:
        return sg.Facts()


def asks(_claims: Any, tenant: str) -> sg.Facts:
    return sg.Facts(roles=(tenant,))


def bound(tenant: str) -> Any:
    made = functools.partial(asks, tenant=tenant)
    made.ttl = 30.0  # type: ignore[attr-defined]  # as above
    return made


def by_keyword(tenant: str) -> Any:
    def source(_claims: Any, *, tenant: str = tenant) -> sg.Facts:
        return sg.Facts(roles=(tenant,))

    return source


def in_a_module(tenant: str) -> Any:
    names: dict[str, Any] = {"__name__": tenant, "TENANT": tenant, "sg": sg}
    text = "def source(claims):\n    return sg.Facts(roles=(TENANT,))\n"
    exec(compile(text, f"{tenant}.py", "exec"), names)  # noqa: S102  two modules that differ in a constant
    return names["source"]


@pytest.mark.parametrize("make", [lambda tenant: Directory(tenant).ask, Slotted, bound, by_keyword, in_a_module])
def test_two_sources_that_differ_in_what_they_are_made_with_never_stand_for_each_other(make: Any) -> None:
    assert not same_callable(make("eu"), make("us"))
    known = settings_module._answers([make("eu"), make("us")], known=())
    again = settings_module._answers([eu := make("eu"), us := make("us")], known=known)
    assert [each.source for each in again] == [eu, us]
    assert again[0] is not again[1]


@pytest.mark.parametrize("make", [lambda tenant: Directory(tenant).ask, bound, by_keyword, in_a_module])
def test_the_same_source_made_anew_keeps_what_it_said(make: Any) -> None:
    known = settings_module._answers([make("eu"), make("us")], known=())
    assert settings_module._answers([make("eu"), make("us")], known=known) is known
