"""A cached value stays with the org or the subject it was computed for, under the policy it was computed under."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import pytest
import streamlit as st
from streamlit.runtime.caching import cache_utils

import stguard as sg
from stguard.app import caches, private
from stguard.app.caches import ScopedCache

if TYPE_CHECKING:
    from collections.abc import Iterator

CACHE_DATA: Any = sg.cache_data
"""The same, for arguments that a type checker would not let through."""

KNOWS_ASYNC = "is_async" in inspect.getsource(cache_utils)
"""Whether this Streamlit caches coroutine functions; later than 1.57."""


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    """Empty the caches, which all tests of a process share."""
    yield
    st.cache_data.clear()
    st.cache_resource.clear()
    caches._books.clear()


def choose(at: Any, org: str | None) -> Any:
    at.session_state["stguard_org"] = org
    at.run()
    return at


def said(at: Any) -> list[str]:
    assert not at.exception, at.exception[0].message
    return [element.value for element in at.markdown]


LEAK = """
    @{cache}
    def rows(_connection): return f"rows of {{_connection}}"
    st.write(rows(sg.org().org))
"""


def test_an_underscore_argument_hands_one_orgs_value_to_another_on_a_naive_app(orgs: Any) -> None:
    orgs.main(LEAK.format(cache="st.cache_data"))
    at = choose(orgs.app("ann"), "acme")
    assert said(at) == ["rows of acme"]
    assert said(choose(at, "globex")) == ["rows of acme"]


@pytest.mark.parametrize(
    "cache",
    [
        "sg.cache_data",
        "sg.cache_data()",
        "sg.cache_resource",
        'sg.cache_data(scope="subject")',
        'sg.cache_data(scope="session")',
    ],
)
def test_an_underscore_argument_keeps_to_its_org_on_a_guarded_app(orgs: Any, cache: str) -> None:
    orgs.main(LEAK.format(cache=cache))
    at = choose(orgs.app("ann"), "acme")
    assert said(at) == ["rows of acme"]
    assert said(choose(at, "globex")) == ["rows of globex"]
    assert said(choose(at, "acme")) == ["rows of acme"]
    assert said(choose(orgs.app("vera"), "acme")) == ["rows of acme"]


GLOBAL = """
    from time import perf_counter_ns
    here = sg.org().org
    @{cache}
    def rows(): return here, perf_counter_ns()
    st.write(str(rows()))
"""


@pytest.mark.parametrize("cache", ["cache_data", "cache_resource"])
def test_what_a_function_takes_from_outside_keeps_to_its_org(orgs: Any, cache: str) -> None:
    naive = choose(orgs.main(GLOBAL.format(cache=f"st.{cache}")).app("ann"), "acme")
    assert "acme" in said(naive)[0]
    assert "acme" in said(choose(naive, "globex"))[0]
    guarded = choose(orgs.main(GLOBAL.format(cache=f"sg.{cache}")).app("ann"), "acme")
    assert "acme" in said(guarded)[0]
    assert "globex" in said(choose(guarded, "globex"))[0]


def test_members_of_an_org_share_its_value_and_subjects_keep_theirs(orgs: Any) -> None:
    orgs.main(GLOBAL.format(cache="sg.cache_data"))
    assert said(choose(orgs.app("ann"), "acme")) == said(choose(orgs.app("vera"), "acme"))
    orgs.main(GLOBAL.format(cache='sg.cache_data(scope="subject")'))
    ann = said(choose(orgs.app("ann"), "acme"))
    assert ann == said(choose(orgs.app("ann"), "acme"))
    assert ann != said(choose(orgs.app("vera"), "acme"))


@pytest.mark.parametrize("cache", ["cache_data", "cache_resource"])
def test_a_session_keeps_its_own_value(orgs: Any, cache: str) -> None:
    orgs.main(GLOBAL.format(cache=f'sg.{cache}(scope="session")'))
    at = choose(orgs.app("ann"), "acme")
    first = said(at)
    assert said(at.run()) == first
    assert said(choose(orgs.app("vera"), "acme")) != first


@pytest.mark.parametrize("hashes", ["str", "bytes", "object", '"stguard.app.caches._Part"', "type(None)"])
def test_no_hash_function_of_the_app_makes_one_org_of_two(orgs: Any, hashes: str) -> None:
    orgs.main(f"""
        @sg.cache_data(hash_funcs={{{hashes}: lambda value: 0}})
        def rows(_connection, kind): return f"{{kind}} of {{_connection}}"
        st.write(rows(sg.org().org, "rows"))
    """)
    at = choose(orgs.app("ann"), "acme")
    assert said(at) == ["rows of acme"]
    assert said(choose(at, "globex")) == ["rows of globex"]


def test_a_policy_edit_makes_everything_be_computed_again(orgs: Any) -> None:
    orgs.main(GLOBAL.format(cache="sg.cache_data"))
    at = choose(orgs.app("ann"), "acme")
    first = said(at)
    assert said(at.run()) == first
    text = (orgs.folder / "policy.yaml").read_text(encoding="utf-8")
    orgs.policy(text.replace("home: signed_in", "home: public"))
    second = said(at.run())
    assert second != first
    orgs.policy(text)
    assert said(at.run()) not in (first, second)


def test_a_policy_edit_releases_the_objects_made_under_the_old_one(orgs: Any) -> None:
    orgs.main("""
        released = st.session_state.setdefault("released", [])
        @sg.cache_resource(on_release=released.append)
        def connection(): return sg.__name__ + st.__name__
        st.write(connection())
    """)
    at = choose(orgs.app("ann"), "acme")
    text = (orgs.folder / "policy.yaml").read_text(encoding="utf-8")
    orgs.policy(text.replace("home: signed_in", "home: public"))
    said(at.run())
    assert at.session_state["released"] == ["stguardstreamlit"]


@pytest.mark.parametrize(
    ("who", "cache", "reason"),
    [
        (None, "sg.cache_data", "not_signed_in"),
        (None, 'sg.cache_resource(scope="subject")', "not_signed_in"),
        ("ann", "sg.cache_data", "no_org"),
        ("eve", "sg.cache_resource", "no_org"),
    ],
)
def test_without_an_org_or_a_subject_nothing_is_computed(orgs: Any, who: str | None, cache: str, reason: str) -> None:
    orgs.main(f"""
        @{cache}
        def rows(): st.title("computed")
        try:
            rows()
        except sg.AccessDenied as error:
            st.write(error.decision.reason.value + ": " + error.decision.missing[0])
    """)
    at = orgs.run(who)
    assert said(at)[0].startswith(f"{reason}: ")
    assert not at.title


def test_a_value_of_the_subject_needs_no_org(orgs: Any) -> None:
    orgs.main("""
        @sg.cache_data(scope="subject")
        def rows(_org): return f"rows in {_org}"
        mine = sg.org()
        st.write(rows(mine and mine.org))
    """)
    at = orgs.run("ann")
    assert said(at) == ["rows in None"]
    assert said(choose(at, "acme")) == ["rows in acme"]


def test_a_forged_wish_for_an_org_reads_nothing_of_it(orgs: Any, shown: Any) -> None:
    orgs.main("""
        @sg.cache_data
        def rows(): return "rows"
        st.write(rows())
    """)
    said(choose(orgs.app("ann"), "globex"))
    at = choose(orgs.app("vera"), "globex")
    assert "rows" not in shown(at).replace("cache_data", "")
    assert "no_org" in at.exception[0].message


def test_without_orgs_everybody_who_is_signed_in_shares_a_value(desk: Any) -> None:
    desk.main("""
        from time import perf_counter_ns
        @sg.cache_data
        def rows(): return perf_counter_ns()
        st.write(str(rows()))
    """)
    assert said(desk.run("ann")) == said(desk.run("vera"))
    assert "not_signed_in" in desk.run(None).exception[0].message


def test_a_subject_without_an_id_has_no_value_of_its_own(desk: Any, claims: Any) -> None:
    desk.main("""
        @sg.cache_data(scope="subject")
        def rows(_who): return _who
        st.write(rows(st.user.name))
    """)
    assert "unknown" in desk.run({"name": "Anyone"}).exception[0].message
    without_email = {key: value for key, value in claims("ann").items() if key != "email"}
    assert said(desk.run(without_email)) == ["Ann"]


# --- clear


CLEAR = """
    from time import perf_counter_ns
    @sg.{cache}
    def rows(number=0): return number, perf_counter_ns()
    def do(): {does}
    st.button("Do", on_click=do)
    st.write(str(rows()))
    st.write(str(rows(1)))
"""


@pytest.mark.parametrize("cache", ["cache_data", "cache_resource"])
@pytest.mark.parametrize(
    ("does", "mine", "theirs"),
    [
        ("rows.clear()", [True, True], [False, False]),
        ("rows.clear(1)", [False, True], [False, False]),
        ("rows.clear_all()", [True, True], [True, True]),
        ("sg.{cache}.clear()", [True, True], [True, True]),
        ("pass", [False, False], [False, False]),
    ],
)
def test_clear_drops_the_callers_values_and_clear_all_everybodys(
    orgs: Any, cache: str, does: str, mine: list[bool], theirs: list[bool]
) -> None:
    orgs.main(CLEAR.format(cache=cache, does=does.format(cache=cache)))
    acme, globex = choose(orgs.app("ann"), "acme"), choose(orgs.app("ann"), "globex")
    before = said(acme), said(globex)
    acme.button[0].click().run()
    globex.run()
    assert [new != old for new, old in zip(said(acme), before[0], strict=True)] == mine
    assert [new != old for new, old in zip(said(globex), before[1], strict=True)] == theirs


@pytest.mark.parametrize(("limit", "gone"), [(1, True), (10_000, False)])
def test_more_values_than_can_be_told_apart_are_dropped_for_everybody(
    orgs: Any, monkeypatch: pytest.MonkeyPatch, limit: int, *, gone: bool
) -> None:
    monkeypatch.setattr(caches, "KEYS_LIMIT", limit)
    orgs.main(CLEAR.format(cache="cache_data", does="rows.clear()"))
    acme, globex = choose(orgs.app("ann"), "acme"), choose(orgs.app("ann"), "globex")
    before = said(acme), said(globex)
    acme.button[0].click().run()
    assert said(acme) != before[0]
    assert (said(globex.run()) != before[1]) is gone


@pytest.mark.parametrize("lost", ["value_key", "forget"])
def test_where_streamlits_keys_are_unknown_clear_drops_too_much_and_never_too_little(
    orgs: Any, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    monkeypatch.setattr(private, lost, lambda *_given: None)
    orgs.main(CLEAR.format(cache="cache_data", does="rows.clear()"))
    at = choose(orgs.app("ann"), "acme")
    before = said(at)
    at.button[0].click().run()
    assert not set(said(at)) & set(before)


def test_clear_needs_somebody_to_clear_for(orgs: Any) -> None:
    orgs.main("""
        @sg.cache_data
        def rows(): return 1
        rows.clear()
    """)
    assert "no_org" in orgs.run("ann").exception[0].message


def test_everything_can_be_cleared_outside_a_script_run() -> None:
    @sg.cache_data
    def rows() -> int:
        return 1

    rows.clear_all()
    with pytest.raises(sg.ConfigurationError, match="outside a script run"):
        rows()


# --- decorators around


def test_methods_are_cached_and_cleared_as_methods(orgs: Any) -> None:
    orgs.main("""
        from time import perf_counter_ns
        class Reports:
            def __init__(self, year): self.year = year
            @sg.cache_data
            def rows(self_, number): return number, perf_counter_ns()
            @sg.cache_data
            def of(_self, number): return _self.year, number, perf_counter_ns()
            @staticmethod
            @sg.cache_data
            def still(number): return number
            @classmethod
            @sg.cache_data
            def made(cls, number): return cls.__name__, number
        one = Reports(2025)
        first = one.of(1)
        st.write(str(first == one.of(1)))
        st.write(str(one.still(3)) + str(Reports.still(3)) + str(Reports.made(4)))
        one.of.clear(1)
        st.write(str(first == one.of(1)))
        first = one.of(1)
        one.of.clear()
        st.write(str(first == one.of(1)))
        first = one.of(1)
        one.of.clear_all()
        st.write(str(first == one.of(1)))
    """)
    at = choose(orgs.app("ann"), "acme")
    assert said(at) == ["True", "33('Reports', 4)", "False", "False", "False"]


def test_a_guard_above_is_asked_on_a_hit_too(orgs: Any) -> None:
    orgs.main("""
        @sg.requires("report:export", on_deny="hide")
        @sg.cache_data
        def rows(): return "rows"
        st.write(str(rows()))
        rows.clear()
        st.write(str(rows()))
    """)
    assert said(choose(orgs.app("ann"), "acme")) == ["rows", "rows"]
    assert said(choose(orgs.app("vera"), "acme")) == ["None", "None"]


@pytest.mark.parametrize("cache", ["sg.cache_data", "sg.cache_resource()"])
def test_a_guard_below_is_refused(desk: Any, cache: str) -> None:
    at = desk.main(f'@{cache}\n@sg.requires("report:view")\ndef rows(): return 1').run("ann")
    assert "the right order is @sg.requires above" in at.exception[0].message
    call = cache.removesuffix("()")
    at = desk.main(f'@sg.requires("report:view")\ndef rows(): return 1\nrows = {call}(rows)').run("ann")
    assert "the right order is @sg.requires above" in at.exception[0].message


@pytest.mark.parametrize("inner", ["st.cache_data", "st.cache_resource", "sg.cache_data", "sg.cache_resource"])
def test_a_cache_above_another_one_is_refused(desk: Any, inner: str) -> None:
    at = desk.main(f"@sg.cache_data\n@{inner}\ndef rows(): return 1").run("ann")
    assert "stands above another cache" in at.exception[0].message


@pytest.mark.parametrize("outer", ["st.cache_data", "st.cache_resource"])
def test_inside_a_cache_for_everybody_it_is_refused(orgs: Any, outer: str) -> None:
    orgs.main(f"""
        @sg.cache_data
        def rows(): return 1
        @{outer}
        def table(): return rows()
        table()
    """)
    at = choose(orgs.app("ann"), "acme")
    assert "inside a function under st.cache_data" in at.exception[0].message


@pytest.mark.parametrize("cache", ["sg.cache_data", "sg.cache_resource", 'sg.cache_data(scope="subject")'])
def test_inside_another_one_it_keeps_to_the_same_org(orgs: Any, cache: str) -> None:
    orgs.main(f"""
        here = sg.org().org
        @st.cache_data
        def same_for_all(): return "of"
        @sg.cache_data
        def rows(): return f"rows {{same_for_all()}} {{here}}"
        @sg.cache_data
        def more(): return f"more {{same_for_all()}} {{here}}"
        @{cache}
        def table(): return f"{{rows()}}, {{more()}}"
        st.write(table())
    """)
    at = choose(orgs.app("ann"), "acme")
    assert said(at) == ["rows of acme, more of acme"]
    assert said(choose(at, "globex")) == ["rows of globex, more of globex"]


@pytest.mark.parametrize(
    ("org", "outer", "inner", "text"),
    [
        ("acme", "", 'scope="subject"', "cached for the whole org"),
        (None, 'scope="subject"', "", "no_org"),
    ],
)
def test_inside_another_one_nothing_is_kept_for_more_people(
    orgs: Any, org: str | None, outer: str, inner: str, text: str
) -> None:
    orgs.main(f"""
        @sg.cache_data({inner})
        def mine(): return 1
        @sg.cache_data({outer})
        def table(): return mine()
        table()
    """)
    assert text in choose(orgs.app("ann"), org).exception[0].message


def test_a_cache_for_everybody_between_two_of_ours_is_refused(orgs: Any) -> None:
    orgs.main("""
        @sg.cache_data
        def rows(): return 1
        @st.cache_data
        def between(): return rows()
        @sg.cache_data
        def table(): return between()
        table()
    """)
    at = choose(orgs.app("ann"), "acme")
    assert "inside a function under st.cache_data" in at.exception[0].message


def test_where_the_nesting_is_unknown_a_cache_inside_another_one_is_refused(
    orgs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private, "cache_depth", lambda: None)
    orgs.main("""
        @sg.cache_data
        def rows(): return "rows"
        @sg.cache_data
        def table(): return rows()
        st.write(rows())
        table()
    """)
    at = choose(orgs.app("ann"), "acme")
    assert "inside a function under st.cache_data" in at.exception[0].message
    assert at.markdown[0].value == "rows"


if KNOWS_ASYNC:

    def test_async_functions_keep_to_their_org(orgs: Any) -> None:
        orgs.main("""
            import asyncio
            from time import perf_counter_ns
            here = sg.org().org
            @sg.cache_data
            async def rows(): return here, perf_counter_ns()
            assert asyncio.run(rows()) == asyncio.run(rows())
            st.write(asyncio.run(rows())[0])
        """)
        at = choose(orgs.app("ann"), "acme")
        assert said(at) == ["acme"]
        assert said(choose(at, "globex")) == ["globex"]


# --- what is handed on


def test_it_looks_like_the_function_it_caches() -> None:
    @sg.cache_data(show_spinner=False)
    def rows(number: int, *, kind: str = "x") -> str:
        """Return rows."""
        return f"{number} {kind}"

    assert isinstance(rows, ScopedCache)
    assert (rows.__name__, rows.__doc__) == ("rows", "Return rows.")  # type: ignore[attr-defined]
    assert str(inspect.signature(rows)) == "(number: 'int', *, kind: 'str' = 'x') -> 'str'"
    assert "rows" in repr(rows)


def test_the_parameters_of_streamlits_caches_are_all_there() -> None:
    for ours, theirs in ((sg.cache_data, st.cache_data), (sg.cache_resource, st.cache_resource)):
        wanted = set(inspect.signature(theirs.__call__).parameters)
        assert wanted - set(inspect.signature(ours.__call__).parameters) == set()


def test_parameters_reach_streamlit(orgs: Any) -> None:
    orgs.main("""
        @sg.cache_resource(validate=lambda value: False, ttl="1h", max_entries=3, show_spinner="Wait", show_time=True)
        def rows(): return st.session_state.__class__, len(st.session_state.setdefault("runs", []))
        @sg.cache_data(persist=None, ttl=3600)
        def other(): return 1
        first = rows()
        st.session_state.runs.append(1)
        st.write(str(rows()[1]) + str(other()))
    """)
    assert said(choose(orgs.app("ann"), "acme")) == ["11"]


def test_values_on_disk_are_cleared_for_everybody(orgs: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    orgs.main(
        CLEAR.replace("@sg.{cache}", "@sg.{cache}(persist='disk')").format(cache="cache_data", does="rows.clear()")
    )
    acme, globex = choose(orgs.app("ann"), "acme"), choose(orgs.app("ann"), "globex")
    before = said(acme), said(globex)
    assert before[0] != before[1]
    acme.button[0].click().run()
    assert said(acme) != before[0]
    assert said(globex.run()) != before[1]


def test_a_parameter_that_this_streamlit_lacks_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def old(*, ttl: float, show_spinner: bool, show_time: bool) -> Any:
        raise AssertionError(ttl, show_spinner, show_time)

    monkeypatch.setattr(st, "cache_data", old)
    with pytest.raises(sg.ConfigurationError, match="has no `refresh_mode` for its caches"):
        sg.cache_data(ttl=3, refresh_mode="background")


@pytest.mark.parametrize(
    ("scope", "text"),
    [
        ("global", "for what is the same for everybody use Streamlit's own cache"),
        ("orgs", "got `orgs`"),
        (3, "got `3`"),
    ],
)
def test_a_scope_that_is_none_is_said(scope: object, text: str) -> None:
    with pytest.raises(sg.ConfigurationError, match=text):
        CACHE_DATA(scope=scope)


class Callable:
    def __call__(self) -> None: ...


async def many() -> Any:
    yield 1


@pytest.mark.parametrize("thing", [Callable(), Callable().__call__, staticmethod(len), "rows", many])
def test_what_can_not_be_told_apart_is_not_cached(thing: object) -> None:
    with pytest.raises(sg.ConfigurationError, match=r"caches functions, got|async generator"):
        CACHE_DATA(thing)


def test_a_coroutine_function_stays_one_for_streamlit() -> None:
    async def rows() -> int:
        return 1

    keyed = ScopedCache(rows, lambda function: function, name="cache_data", scope="org", persists=False)._cached
    assert inspect.iscoroutinefunction(keyed)
    part = caches._Part.of(caches._Scope(kind="org", org="acme", subject=None, policy="1", multi_tenant=True))
    assert asyncio.run(keyed(part)) == 1


def test_a_refresh_in_the_background_computes_for_the_same_org() -> None:
    seen: list[object] = []

    @sg.cache_data(show_spinner=False)
    def rows(_connection: str) -> str:
        seen.append(caches._inside.get())
        return f"rows of {_connection}"

    @sg.cache_resource(show_spinner=False)
    def table(_connection: str) -> str:
        return rows(_connection)

    for org in ("acme", "globex"):
        scope = caches._Scope(kind="org", org=org, subject=None, policy="1", multi_tenant=True)
        # As Streamlit calls it there: with the arguments of the call, outside any script run.
        assert table._cached._info.func(caches._Part.of(scope), org) == f"rows of {org}"
        assert seen[-1] == caches._Inside(scope, 1)


def test_the_key_tells_every_part_of_a_scope_apart() -> None:
    scopes = [
        caches._Scope(kind=kind, org=org, subject=subject, policy=policy, multi_tenant=True)
        for kind in ("org", "subject", "session")
        for org in (None, "acme", "globex", 'acme", null')
        for subject in (None, ("ann", None), (None, "ann"), ("ann", "ann"))
        for policy in ("1", "2")
    ]
    assert len({bytes(caches._Part.of(scope)) for scope in scopes}) == len(scopes)
