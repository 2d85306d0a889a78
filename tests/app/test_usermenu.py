"""Who is signed in, as what and where, and the ways in and out."""

from __future__ import annotations

from typing import Any

import pytest

PROVIDER = {"client_id": "x", "server_metadata_url": "https://accounts.google.com/.well-known/openid-configuration"}


def said(at: Any) -> list[str]:
    assert not at.exception, at.exception
    return [element.value for element in (*at.sidebar.markdown, *at.sidebar.caption)]


def avatar(at: Any) -> str:
    return next(str(element.proto.body) for element in at.get("html"))


def test_it_shows_name_org_role_and_a_way_out(orgs: Any) -> None:
    at = orgs.main("sg.user_menu()").run("vera")
    assert said(at) == ["**Vera**", "vera@\N{WORD JOINER}acme\\.com", "Acme Inc · Viewer"]
    assert [button.label for button in at.sidebar.button] == ["Log out"]


def test_it_shows_the_active_org_among_several(orgs: Any) -> None:
    at = orgs.main("sg.user_menu()").run("ann")
    assert said(at) == ["**Ann**", "ann@\N{WORD JOINER}acme\\.com"]
    at.session_state["stguard_org"] = "globex"
    assert said(at.run())[2:] == ["Globex · Viewer"]
    at.session_state["stguard_org"] = "initech"
    assert said(at.run())[2:] == []


def test_outside_the_sidebar_it_opens_from_a_button(orgs: Any) -> None:
    at = orgs.main("sg.user_menu(container=st.container())").run("vera")
    (popover,) = at.get("popover")
    assert popover.proto.popover.label == "Vera"
    assert [button.label for button in popover.button] == ["Log out"]


def test_the_button_that_opens_it_stays_short(desk: Any, claims: Any) -> None:
    at = desk.main("sg.user_menu(container=st.container())").run({**claims("vera"), "name": "Vera " * 20})
    (popover,) = at.get("popover")
    assert popover.proto.popover.label == "Vera Vera Vera Vera Ver…"


def test_in_a_container_of_the_sidebar_it_is_drawn_as_in_the_sidebar(orgs: Any) -> None:
    at = orgs.main("with st.sidebar: sg.user_menu(container=st.container())").run("vera")
    assert not at.get("popover")


def test_a_name_is_shown_as_it_stands(desk: Any, claims: Any) -> None:
    at = desk.main("sg.user_menu()").run({**claims("vera"), "name": "**[x](http://evil)**\u202e $a$\n# b"})
    assert said(at)[0] == "**\\*\\*\\[x\\]\\(http\N{WORD JOINER}\\://evil\\)\\*\\* \\$a\\$ \\# b**"


@pytest.mark.parametrize(
    ("name", "initials"),
    [
        ("Ann Ames", "AA"),
        ("Ann van der Ames", "AA"),
        ("ann", "A"),
        ("Ännchen Öz", "ÄÖ"),
        ("عمر بن عبد العزيز", "عا"),
        ("🚀 Rocket", "R"),
        ("ann.ames@acme.com", "AA"),
        ("<script>alert(1)</script> Ann", "A"),
        ("🚀", "\N{BUST IN SILHOUETTE}"),
    ],
)
def test_without_a_picture_the_initials_are_drawn(desk: Any, claims: Any, name: str, initials: str) -> None:
    body = avatar(desk.main("sg.user_menu()").run({**claims("vera"), "name": name}))
    assert body.endswith(f">{initials}</div>")
    assert "script" not in body


def test_a_picture_by_https_is_shown(desk: Any, claims: Any) -> None:
    picture = {**claims("vera"), "picture": "https://cdn.example/v.png?a=1&b='2'"}
    body = avatar(desk.main("sg.user_menu()").run(picture))
    assert "url(&quot;https://cdn.example/v.png?a=1&amp;b=&#x27;2&#x27;&quot;)" in body
    assert ">V<" in body  # below the picture, for when it can't be had
    assert "url" not in avatar(desk.main("sg.user_menu(picture=False)").run(picture))


@pytest.mark.parametrize(
    "address",
    [
        "http://cdn.example/v.png",
        "javascript:alert(1)",
        'https://a.example/" onerror="alert(1)',
        "https://10.0.0.1/",
        7,
    ],
)
def test_no_other_address_is_given_to_the_browser(desk: Any, claims: Any, address: object) -> None:
    body = avatar(desk.main("sg.user_menu()").run({**claims("vera"), "picture": address}))
    assert body.endswith(">V</div>")
    assert "url" not in body


def test_who_acts_as_somebody_is_told_so_and_shows_the_person_s_picture_to_no_host(desk: Any, claims: Any) -> None:
    desk.main("""
        sg.configure(identity=lambda claims: sg.Facts(impersonator="support*7"))
        sg.user_menu()
    """)
    at = desk.run({**claims("vera"), "name": "Vera *Vim*", "picture": "https://cdn.example/v.png"})
    text = "You are acting as Vera \\*Vim\\*. Signed in as support\\*7."
    assert [warning.value for warning in at.sidebar.warning] == [text]
    assert avatar(at).endswith(">V</div>")


@pytest.mark.parametrize(
    ("auth", "labels"),
    [
        (PROVIDER, ["Sign in"]),
        ({"google": PROVIDER, "acme-sso": PROVIDER}, ["Continue with Google", "Continue with Acme Sso"]),
        ({}, []),
    ],
)
def test_a_visitor_is_offered_the_ways_to_sign_in(desk: Any, auth: dict[str, Any], labels: list[str]) -> None:
    at = desk.main("sg.user_menu()").app()
    at.secrets["auth"] = auth
    assert [button.label for button in at.run().sidebar.button] == labels
    assert said(at) == ([] if labels else ["Not signed in"])
