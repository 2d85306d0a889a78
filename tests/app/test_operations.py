"""Health and metrics of real servers: what operators read, and what nobody else does."""

from __future__ import annotations

import asyncio
import functools
import json
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as plain_families
from streamlit.proto.BackMsg_pb2 import BackMsg
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

import stguard as sg
from stguard.app import mediation, private
from stguard.app.gateway.health import Status
from tests.app.test_gateway import STREAMLIT, Answer, Browser, Server, raw_handshake, serving
from tests.issuer import AUDIENCE, issuing
from tests.shared.engine import Engine, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.server

HEALTH, METRICS = "/_stguard/health", "/_stguard/metrics"

POLICY = """
    stguard: 1
    permissions: {report: [view], ops: [view]}
    roles: {viewer: {allow: "report:view"}, operator: {allow: "ops:view"}}
    assign:
      - {role: viewer, email: ann@acme.com}
      - {role: viewer, email: bob@acme.com}
      - {role: operator, email: ann@acme.com}
      - {role: operator, email: eve@acme.com}
      - {role: operator, email: hal@acme.com}
    pages: {home: signed_in, OPERATORS}
"""
CLOSED = POLICY.replace(", OPERATORS", "")
BY_ROLE = POLICY.replace("OPERATORS", 'metrics: {permission: "ops:view"}, health: {permission: "ops:view"}')
PUBLIC = POLICY.replace("OPERATORS", "metrics: public, health: public")

MAIN = """
    import streamlit as st
    import stguard as sg

    sg.configure(audit="audit.jsonl")

    def home():
        st.write(f"<<export {sg.can('report:view')}>>")
        sg.authorize("report:view")
        st.button("x", key="x")

    sg.navigation([st.Page(home)]).run()
"""

APP = """
    import stguard as sg

    def known(claims):
        return sg.Facts(blocked="Your account is disabled." if claims["email"] == "eve@acme.com" else None)

    app = sg.App('main.py', policy='rules/policy.yaml', identity=known)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("operated"), APP, policy=CLOSED, main=MAIN, options="") as running:
        yield running


@pytest.fixture
def closed(server: Server) -> Server:
    return under(server, CLOSED)


@pytest.fixture
def by_role(server: Server) -> Server:
    return under(server, BY_ROLE)


@pytest.fixture
def public(server: Server) -> Server:
    return under(server, PUBLIC)


def under(server: Server, policy: str) -> Server:
    place = server.folder / "rules/policy.yaml"
    place.with_suffix(".new").write_text(policy)
    place.with_suffix(".new").rename(place)
    return server


def who(server: Server, name: str | None) -> Browser:
    claims = {"iss": "https://idp.example", "sub": name, "email": f"{name}@acme.com", "email_verified": True}
    return Browser(server, login=None if name is None else claims)


def said(answer: Answer) -> Any:
    return answer.status, json.loads(answer.body)


def series(answer: Answer) -> dict[tuple[str, ...], float]:
    """Return the values by name and labels."""
    assert answer.status == 200
    families = list(plain_families(answer.body.decode()))
    assert all(family.documentation and family.type != "unknown" for family in families)
    return {
        (each.name, *each.labels.values()): each.value
        for family in families
        for each in family.samples
        if "bucket" not in each.name
    }


# --- the health ------------------------------------------------------------------------------------------------------


def test_before_anybody_visits_a_probe_reads_that_the_app_is_ready_and_nothing_else(closed: Server) -> None:
    answer = Browser(closed).get(HEALTH)
    assert said(answer) == (200, {"status": "ok"})
    assert answer.header("cache-control") == "no-store"
    assert answer.header("set-cookie") is None
    assert not (closed.folder / "audit.jsonl").exists()  # no script has run
    head = Browser(closed).ask("HEAD", HEALTH)
    assert (head.status, head.body, head.header("set-cookie")) == (200, b"", None)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", [HEALTH, METRICS])
def test_it_is_read_and_nothing_else(public: Server, method: str, path: str) -> None:
    answer = Browser(public).ask(method, path)
    assert (answer.status, answer.body, answer.header("allow")) == (405, b"Method Not Allowed", "GET, HEAD")


@pytest.mark.parametrize("path", [HEALTH, METRICS])
def test_no_connection_is_opened_to_it(public: Server, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://localhost:{public.port}{path}", origin=Origin(public.origin))
    assert refused.value.response.status_code == 403


def test_without_a_page_health_nobody_reads_more(closed: Server) -> None:
    for name in (None, "ann", "bob"):
        assert said(who(closed, name).get(HEALTH)) == (200, {"status": "ok"})


def test_details_are_for_who_the_policys_rule_names(by_role: Server) -> None:
    for name in ("ann", "bob", "eve"):
        with_tab(by_role, name)
    details = said(who(by_role, "ann").get(HEALTH))[1]
    assert list(details) == ["status", "policy", "identity", "audit", "traffic", "shared"]
    assert details["policy"]["last_edit_bad"] is False
    assert details["policy"]["age_seconds"] >= 0
    (source,) = details["identity"]
    assert (source["kind"], source["failures"]) == ("custom", 0)
    assert source["calls"] >= 3
    assert source["answer_age_seconds"] < 60
    assert set(details["audit"]) == {"told", "dropped", "failed"}
    assert "acme" not in json.dumps(details)
    for stranger in (None, "bob", "eve"):
        assert said(who(by_role, stranger).get(HEALTH)) == (200, {"status": "ok"}), stranger


def test_details_wait_for_no_identity_source_and_are_for_nobody_whom_none_has_been_asked_about(by_role: Server) -> None:
    with_tab(by_role, "ann")

    def calls() -> int:
        return int(said(who(by_role, "ann").get(HEALTH))[1]["identity"][0]["calls"])

    before = calls()
    assert said(who(by_role, "hal").get(HEALTH)) == (200, {"status": "ok"})
    assert calls() == before
    assert who(by_role, "hal").get(METRICS).status == 200  # which waits for the source
    assert calls() == before + 1
    assert "policy" in said(who(by_role, "hal").get(HEALTH))[1]


def test_in_a_closed_network_the_rule_may_be_public(public: Server) -> None:
    assert "policy" in said(Browser(public).get(HEALTH))[1]


def test_a_bad_edit_is_told_to_who_may_know(public: Server) -> None:
    before = said(Browser(public).get(HEALTH))[1]["policy"]
    try:
        under(public, "stguard: 1\npages: {home: nobody-knows}\n")
        after = said(Browser(public).get(HEALTH))
        counts = series(Browser(public).get(METRICS))
    finally:
        under(public, PUBLIC)
    assert after[0] == 200
    assert after[1]["policy"]["version"] == before["version"]
    assert after[1]["policy"]["last_edit_bad"] is True
    assert counts["stguard_policy_last_edit_bad",] == 1
    assert counts["stguard_policy_reloads_total", "refused"] == before["readings"]["refused"] + 1
    assert counts["stguard_policy_info", before["version"]] == 1


WAYS = [
    "//_stguard/{}",
    "/_stguard//{}",
    "/_stguard/{}/",
    "/_stguard/{}/x",
    "/_stguard/{};x",
    "/_stguard/{}%00",
    "/_stguard/{}%0a",
    "/_stguard/{}%20",
    "/_stguard/{}%2f",
    "/_STGUARD/{}",
    "/./_stguard/{}",
    "/x/../_stguard/{}",
    "/static/../_stguard/{}",
    "/_stcore/health/../../_stguard/{}",
    "/%5fstguard/{}",
    "/_stguard%2f{}",
    "/_stguard/{}?org=acme",
    "/_stguard/{}?name[]=stguard_policy_info",
]


@pytest.mark.parametrize("way", WAYS)
def test_no_other_way_leads_a_stranger_to_it(by_role: Server, way: str) -> None:
    for name in (None, "bob"):
        assert b"stguard_" not in who(by_role, name).get(way.format("metrics")).body
        answer = who(by_role, name).get(way.format("health"))
        assert b"policy" not in answer.body.replace(b"/policy", b"")
        assert answer.body == b'{"status":"ok"}' or b"status" not in answer.body[:20]
    assert b"stguard_" in who(by_role, "ann").get(METRICS).body


def test_who_signed_out_is_a_stranger(by_role: Server) -> None:
    ann = who(by_role, "ann")
    with_tab(by_role, "ann")
    assert ann.get(METRICS).status == 200
    kept = dict(ann.cookies)
    ann.get("/auth/logout")
    ann.cookies = kept
    assert ann.get(METRICS).status == 404
    assert said(ann.get(HEALTH)) == (200, {"status": "ok"})


# --- the metrics -----------------------------------------------------------------------------------------------------


def test_the_metrics_are_for_who_the_policys_rule_names_and_are_not_kept(by_role: Server) -> None:
    statuses = {name: who(by_role, name).get(METRICS).status for name in (None, "ann", "bob", "eve")}
    assert statuses == {None: 404, "ann": 200, "bob": 404, "eve": 404}
    answer = who(by_role, "ann").get(METRICS)
    assert (answer.header("cache-control"), answer.header("set-cookie")) == ("no-store", None)
    assert (answer.header("content-type") or "").startswith("text/plain; version=")
    assert who(by_role, "ann").ask("HEAD", METRICS).body == b""


def test_without_a_page_metrics_nobody_reads_them(closed: Server) -> None:
    assert {who(closed, name).get(METRICS).status for name in (None, "ann")} == {404}


def test_what_happened_is_counted(public: Server) -> None:
    before = series(Browser(public).get(METRICS))
    tab = who(public, "ann").open()
    message = BackMsg()
    message.clear_cache = True
    tab.send(message)
    tab.rerun()
    during = series(Browser(public).get(METRICS))
    tab.close()
    with_tab(public, "carl")  # may see the page, and is refused in it
    Browser(public).get("/media/x.png")
    signing_out = who(public, "ann")
    signing_out.get("/auth/logout")
    after = series(Browser(public).get(METRICS))

    def added(*name: str, until: Any = after) -> float:
        return float(until[name] - before.get(name, 0))

    assert added("stguard_connections", until=during) == 1
    assert added("stguard_connections") == 0
    # Two runs: the page, and the permission in it; what `can` asks is not counted.
    assert added("stguard_decisions_total", "allowed", "granted", until=during) == 2
    assert added("stguard_decisions_total", "refused", "unknown") == 1  # no list of roles in this login
    assert added("stguard_frames_refused_total", "clear_cache") == 1
    assert added("stguard_requests_refused_total", "media", "404") == 1
    assert added("stguard_signouts_total") == 1
    assert added("stguard_identity_hits_total", "custom", "0") > 0
    assert after["stguard_identity_call_seconds_count", "custom", "0"] >= 1
    assert after["stguard_identity_answer_age_seconds", "custom", "0"] < 60
    assert after["stguard_audit_records_total", "told"] > 0
    assert after["stguard_audit_records_total", "failed"] == 0
    assert (after["stguard_status", "ok"], after["stguard_status", "no_policy"]) == (1, 0)
    assert after["stguard_policy_age_seconds",] >= 0


def test_no_label_holds_anything_of_a_person_or_of_what_they_sent(public: Server) -> None:
    for name in ("ann", "carl"):
        with_tab(public, name)
    for path in ("/media/secret-name.png", "/_stcore/upload_file/secret-name/x", "/app/static/secret-name"):
        Browser(public).get(path + "?org=secret-name")
    text = Browser(public).get(METRICS).body.decode()
    for secret in ("acme", "ann", "secret-name", "report", "operator", str(public.folder), "home"):
        assert secret not in text.replace("Mannheim", "").replace("channel", ""), secret


def test_a_scraper_gets_the_format_it_asks_for(public: Server) -> None:
    answer = Browser(public).get(METRICS, Accept="application/openmetrics-text; version=1.0.0")
    assert "openmetrics" in (answer.header("content-type") or "")
    names = {family.name for family in open_families(answer.body.decode())}  # type: ignore[no-untyped-call]
    assert {"stguard_decisions", "stguard_policy_info", "stguard_identity_call_seconds"} <= names
    assert Browser(public).get(METRICS, Accept="\xff, text/plain;version=x").status == 200


def with_tab(server: Server, name: str) -> None:
    who(server, name).open().close()


# --- without a server ------------------------------------------------------------------------------------------------


async def nothing(*_args: Any) -> None:
    raise AssertionError("it went through to Streamlit")


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sg.Gateway:
    monkeypatch.setattr(private, "served_script", lambda: str(tmp_path / "main.py"))
    policy = sg.Policy.from_yaml("stguard: 1\npages: {health: public, metrics: public}\n")
    return sg.Gateway(nothing, policy=policy)


def ask(gateway: sg.Gateway, path: str, **more: Any) -> Answer:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "path": path, "method": "GET", "headers": [], "query_string": b"", **more}
    asyncio.run(gateway(scope, nothing, send))  # type: ignore[arg-type]  # nothing reads what was sent with it
    return Answer(sent[0]["status"], [], sent[1]["body"])


class Link:
    """A part with a state of its own."""

    name = "link"

    def __init__(self, status: Status) -> None:
        self.found = status

    def status(self) -> Status:
        return self.found

    def details(self) -> object:
        return {"behind_seconds": 90}

    def metrics(self) -> Iterator[Any]:
        yield GaugeMetricFamily("stguard_link_behind_seconds", "Behind.", value=90)


def test_another_part_has_its_say_in_health_and_metrics(gateway: sg.Gateway) -> None:
    gateway.watch(Link(Status.OUTDATED))
    status, content = said(ask(gateway, HEALTH))
    assert (status, content["status"], content["link"]) == (503, "outdated", {"behind_seconds": 90})
    found = series(ask(gateway, METRICS))
    assert found["stguard_link_behind_seconds",] == 90
    assert (found["stguard_status", "outdated"], found["stguard_status", "ok"]) == (1, 0)


def test_a_part_that_is_well_keeps_nothing_back(gateway: sg.Gateway) -> None:
    gateway.watch(Link(Status.OK))
    assert said(ask(gateway, HEALTH))[0] == 200


def test_a_policy_that_code_has_loaded_has_a_version_and_no_age(gateway: sg.Gateway) -> None:
    details = said(ask(gateway, HEALTH))[1]["policy"]
    assert (details["age_seconds"], details["last_edit_bad"], details["readings"]) == (None, False, None)
    assert len(details["version"]) > 4


def test_a_streamlit_that_no_page_is_guarded_on_is_not_ready(
    gateway: sg.Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfit = functools.cache(lambda: "the hooks into this Streamlit are not reached")
    monkeypatch.setattr(mediation, "_unfit", unfit)
    assert said(ask(gateway, HEALTH))[0] == 200  # nothing has tried them
    unfit()
    assert said(ask(gateway, HEALTH)) == (503, said(ask(gateway, HEALTH))[1] | {"status": "unsupported"})


def test_below_a_mount_it_is_read_as_well(gateway: sg.Gateway) -> None:
    assert said(ask(gateway, "/tool" + HEALTH, root_path="/tool"))[0] == 200


def test_before_there_is_a_server_it_is_starting(gateway: sg.Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "served_script", lambda: None)
    assert said(ask(gateway, HEALTH)) == (503, {"status": "starting"})


# --- other servers ---------------------------------------------------------------------------------------------------


def test_below_a_base_path_by_a_token_it_is_read_as_well(tmp_path: Path) -> None:
    if STREAMLIT < (1, 67):
        pytest.skip("knows no tokens of programs")
    with issuing() as issuer:
        app = f"""
            import stguard as sg
            app = sg.App('main.py', policy='rules/policy.yaml',
                bearer=sg.BearerTokens(issuer={issuer.url!r}, audience={AUDIENCE!r}))
        """
        with serving(tmp_path, app, policy=BY_ROLE, main=MAIN, options='baseUrlPath = "tool"', base="/tool") as server:
            anybody = Browser(server)
            token = {name: f"Bearer {issuer.token(email=f'{name}@acme.com')}" for name in ("ann", "bob")}
            assert said(anybody.get("/tool" + HEALTH)) == (200, {"status": "ok"})
            assert issuer.asked == []
            assert "policy" in said(anybody.get("/tool" + HEALTH, Authorization=token["ann"]))[1]
            assert b"stguard_policy_info" in anybody.get("/tool" + METRICS, Authorization=token["ann"]).body
            for wrong in (token["bob"], token["ann"][:-5] + "AAAAA", "Bearer x", "Basic YTpi"):
                assert said(anybody.get("/tool" + HEALTH, Authorization=wrong)) == (200, {"status": "ok"})
                assert anybody.get("/tool" + METRICS, Authorization=wrong).status == 404
            issuer.answer = 500
            assert said(anybody.get("/tool" + HEALTH)) == (200, {"status": "ok"})


def test_what_keeps_the_app_from_serving_is_one_word_and_the_missing_extra_is_told(tmp_path: Path) -> None:
    app = """
        import sys
        sys.modules["prometheus_client"] = None
        import stguard as sg
        from stguard.store import PolicyStore
        app = sg.App('main.py', policy=PolicyStore('rules/policy.yaml', on_bad_edit='deny'))
    """
    bad = "stguard: 1\npages: {home: nobody-knows}\n"
    with serving(tmp_path / "one", app, policy=bad, main=MAIN) as server:
        assert said(Browser(server).get(HEALTH)) == (503, {"status": "no_policy"})
        assert said(Browser(under(server, PUBLIC)).get(HEALTH))[0] == 200
        assert Browser(server).get(METRICS).status == 404
        assert said(Browser(under(server, bad)).get(HEALTH)) == (503, {"status": "bad_edit"})
        assert Browser(server).get(METRICS).status == 404
        (server.folder / "rules/policy.yaml").unlink()
        assert said(Browser(server).get(HEALTH)) == (503, {"status": "bad_edit"})
    named = app.replace("PolicyStore('rules/policy.yaml', on_bad_edit='deny')", "'rules/policy.yaml'")
    with serving(tmp_path / "two", named, policy=PUBLIC, main=MAIN) as server:
        assert "no `/_stguard/metrics`" in (server.folder / "log.txt").read_text()


def test_a_policy_that_only_the_script_names_is_not_known_before_it_has_run(tmp_path: Path) -> None:
    main = MAIN.replace("audit=", "policy='rules/policy.yaml', audit=")
    with serving(tmp_path, "import stguard as sg\napp = sg.App('main.py')\n", policy=CLOSED, main=main) as server:
        for _ in range(2):
            assert said(Browser(server).get(HEALTH)) == (503, {"status": "starting"})
        with_tab(server, "ann")
        assert said(Browser(server).get(HEALTH)) == (200, {"status": "ok"})
        log = (server.folder / "log.txt").read_text()
    assert log.count("sg.App(..., policy=...)") == 1


def test_a_policy_that_the_server_names_and_is_not_there_is_missing(tmp_path: Path) -> None:
    app = "import stguard as sg\napp = sg.App('main.py', policy='elsewhere.yaml')\n"
    with serving(tmp_path, app, policy=CLOSED, main=MAIN) as server:
        assert said(Browser(server).get(HEALTH)) == (503, {"status": "no_policy"})


def test_a_replica_whose_policy_is_too_old_to_decide_by_says_so(engine: Engine, tmp_path: Path) -> None:
    app = f"""
        import stguard as sg
        app = sg.App('main.py', policy='rules/policy.yaml', shared=sg.Shared(url={engine.url!r}, stale=1))
    """
    with serving(tmp_path, app, policy=PUBLIC, main=MAIN) as server:
        status, details = said(Browser(server).get(HEALTH))
        assert (status, details["status"], details["shared"]["contact"]) == (200, "ok", "held")
        assert details["policy"]["readings"] == {"loaded": 1, "refused": 0}
        assert series(Browser(server).get(METRICS))["stguard_shared_contact",] == 1
        engine.stop()
        until(lambda: said(Browser(server).get(HEALTH)) == (503, {"status": "outdated"}))
        assert Browser(server).get(METRICS).status == 404  # there is no policy that could say who may
        engine.start()
        until(lambda: said(Browser(server).get(HEALTH))[0] == 200)


def test_a_line_end_after_its_path_is_refused(public: Server) -> None:
    assert raw_handshake(public, ["Connection: close"], path=HEALTH + "%0a") == 400
