"""One call for each person and lifetime; what can't be known is unknown, and what is old ends."""

from __future__ import annotations

import gc
import logging
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stguard as sg
from stguard.sources import answers as answers_module
from stguard.sources.answers import Answer, Answers, Counts, default_key, failed, joined
from stguard.tally import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Callable

VERA = {"iss": "https://idp.example", "sub": "vera"}
EVE = {"iss": "https://idp.example", "sub": "eve"}
PATIENCE = 20.0


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Source:
    """A source that says or raises what the test wants next, and counts."""

    says: Any = field(default_factory=lambda: sg.Facts(roles=("admin",)))
    calls: list[str] = field(default_factory=list)
    ttl: float = 60.0
    stale: float = 600.0
    deadline: float = PATIENCE

    def __call__(self, claims: Any) -> sg.Facts:
        self.calls.append(claims["sub"])
        says = self.says(claims) if callable(self.says) else self.says
        if isinstance(says, BaseException):
            raise says
        facts: sg.Facts = says
        return facts


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def answers(source: Source, clock: Clock) -> Answers:
    return Answers(source, clock=clock)


def roles(answer: Answer) -> tuple[str, ...] | None:
    return answer.facts.roles


# --- how often it is asked


def test_an_answer_counts_for_its_lifetime_and_no_longer(answers: Answers, source: Source, clock: Clock) -> None:
    first = answers.get(VERA)
    clock.now += 59.9
    assert answers.get(VERA) is first
    source.says = sg.Facts()
    clock.now += 0.1
    assert roles(answers.get(VERA)) == ()
    assert source.calls == ["vera", "vera"]
    assert answers.counts() == Counts(calls=2, hits=1)


def test_the_lifetime_counts_from_when_the_call_began(clock: Clock) -> None:
    def slow(_claims: Any) -> sg.Facts:
        clock.now += 40  # what it says may have changed right after it was read
        return sg.Facts(roles=("admin",))

    source = Source(says=slow)
    answers = Answers(source, clock=clock)
    answers.get(VERA)
    clock.now += 19.9
    answers.get(VERA)
    assert len(source.calls) == 1
    clock.now += 0.2
    answers.get(VERA)
    assert len(source.calls) == 2


def test_each_person_has_their_own_answer(answers: Answers, source: Source) -> None:
    source.says = lambda claims: sg.Facts(roles=(claims["sub"],))
    assert roles(answers.get(VERA)) == ("vera",)
    assert roles(answers.get(EVE)) == ("eve",)
    assert roles(answers.get(VERA)) == ("vera",)
    assert source.calls == ["vera", "eve"]


def test_fifty_threads_that_ask_at_once_make_one_call(answers: Answers, source: Source) -> None:
    begun, go = threading.Event(), threading.Event()

    def waits(_claims: Any) -> sg.Facts:
        begun.set()
        assert go.wait(PATIENCE)
        return sg.Facts(roles=("admin",))

    source.says = waits
    together = threading.Barrier(51)
    seen: list[Answer] = []

    def ask() -> None:
        together.wait(PATIENCE)
        seen.append(answers.get(VERA))

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    together.wait(PATIENCE)
    assert begun.wait(PATIENCE)
    assert roles(answers.peek(VERA)) is None  # the lock is free while the source works
    go.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert {id(answer) for answer in seen} == {id(seen[0])}
    assert len(seen) == 50
    assert source.calls == ["vera"]


def test_more_people_than_workers_are_all_answered(
    answers: Answers, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers_module, "WORKERS_LIMIT", 2)
    at_once: list[int] = []
    running: list[int] = []

    def says(claims: Any) -> sg.Facts:
        running.append(1)
        at_once.append(len(running))
        running.pop()
        return sg.Facts(roles=(claims["sub"],))

    source.says = says
    found: dict[str, Any] = {}
    threads = [
        threading.Thread(target=lambda name=name: found.update({name: roles(answers.get({"sub": name}))}))
        for name in map(str, range(30))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert found == {str(name): (str(name),) for name in range(30)}
    assert max(at_once) <= 2


def test_who_was_not_asked_about_for_longest_is_forgotten_first(
    answers: Answers, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers_module, "KEYS_LIMIT", 3)
    for name in "abc":
        answers.get({"sub": name})
    answers.get({"sub": "a"})
    answers.get({"sub": "d"})
    answers.get({"sub": "a"})
    assert source.calls == ["a", "b", "c", "d"]
    answers.get({"sub": "b"})
    assert source.calls == ["a", "b", "c", "d", "b"]


def test_a_person_costs_few_objects_that_the_collector_walks(answers: Answers) -> None:
    answers.get({"sub": "first"})
    added = []
    for turn in range(3):  # what else lives in this process may grow in one of them
        gc.collect()
        before = len(gc.get_objects())
        for name in range(200):
            answers.get({"sub": f"{turn} {name}"})
        gc.collect()
        added.append((len(gc.get_objects()) - before) / 200)
    assert min(added) < 4


# --- when it fails


TEMPORARY = [
    OSError("connection reset, token=s3cret"),
    TimeoutError(),
    sg.IdentityError("the API did not answer (429)"),
]
LASTING = [
    RuntimeError("token=s3cret"),
    sg.ConfigurationError("the API key is refused"),
    KeyError("x"),
    SystemExit(),
    sg.StguardError("x"),
]


@pytest.mark.parametrize("error", [*TEMPORARY, *LASTING], ids=repr)
def test_a_source_that_fails_makes_everything_it_would_add_unknown(
    answers: Answers, source: Source, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    source.says = error
    answer = answers.get(VERA)
    assert (answer.facts.roles, answer.facts.groups, answer.facts.memberships) == (None, None, None)
    assert set(answer.facts.unknown) == {"roles", "groups", "memberships"}
    assert answer.failure is not None
    assert "s3cret" not in caplog.text + repr(answer)


@pytest.mark.parametrize("says", [None, {"roles": ["admin"]}, ("admin",), "admin", 7])
def test_what_is_no_facts_counts_as_a_failure(answers: Answers, source: Source, says: Any) -> None:
    source.says = says
    assert roles(answers.get(VERA)) is None


@pytest.mark.parametrize("error", TEMPORARY, ids=repr)
def test_the_old_answer_counts_up_to_the_hard_limit(
    answers: Answers, source: Source, clock: Clock, error: BaseException
) -> None:
    answers.get(VERA)
    source.says = error
    clock.now += 599
    answer = answers.get(VERA)
    assert roles(answer) == ("admin",)
    assert answer.failure is None
    clock.now += 1  # within the memory of the failure
    assert roles(answers.get(VERA)) is None
    assert len(source.calls) == 2
    clock.now += 10
    assert roles(answers.get(VERA)) is None
    assert answers.counts() == Counts(calls=3, hits=1, stale=1, failures=2)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_will_not_pass_by_itself_makes_the_old_answer_void(
    answers: Answers, source: Source, clock: Clock, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    answers.get(VERA)
    source.says = error
    clock.now += 60
    assert roles(answers.get(VERA)) is None
    assert any(record.levelno == logging.ERROR for record in caplog.records)


@pytest.mark.parametrize("error", [*TEMPORARY, *LASTING], ids=repr)
def test_it_recovers_by_itself(answers: Answers, source: Source, clock: Clock, error: BaseException) -> None:
    source.says = error
    answers.get(VERA)
    source.says = sg.Facts(roles=("admin",))
    clock.now += 9.9
    assert roles(answers.get(VERA)) is None
    assert len(source.calls) == 1  # a failure is remembered, too
    clock.now += 0.1
    assert roles(answers.get(VERA)) == ("admin",)


def test_the_same_trouble_is_logged_once_a_minute(
    answers: Answers, source: Source, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    source.says = OSError()
    for name in range(20):
        answers.get({"sub": str(name)})
    assert len(caplog.records) == 1
    clock.now += 60
    answers.get(VERA)
    assert len(caplog.records) == 2


# --- when it hangs


@dataclass
class Hangs:
    """A source that hangs until it is told to go on."""

    go: threading.Event = field(default_factory=threading.Event)
    came_back: threading.Event = field(default_factory=threading.Event)
    begun: int = 0

    def __call__(self, _claims: Any) -> sg.Facts:
        self.begun += 1
        assert self.go.wait(PATIENCE)
        return sg.Facts(roles=("admin",))


def until_idle(answers: Answers) -> None:
    for thread in threading.enumerate():
        if thread.name == "stguard-identity":
            thread.join(PATIENCE)
    assert answers._workers == 0
    assert answers._overdue == 0


@pytest.fixture
def hanging(clock: Clock) -> Any:
    hangs = Hangs()
    source = Source(says=hangs, deadline=0.01)
    yield Answers(source, clock=clock), source, hangs
    hangs.go.set()


def test_a_page_waits_no_longer_than_the_deadline(hanging: Any) -> None:
    answers, source, hangs = hanging
    answer = answers.get(VERA)
    assert answer.failure == "the identity source did not answer in time"
    answers.get(VERA)
    assert hangs.begun == 1  # and who asks next doesn't wait at all
    hangs.go.set()
    until_idle(answers)
    assert roles(answers.get(VERA)) == ("admin",)  # what comes late counts when it comes
    assert source.calls == ["vera"]


def test_a_call_that_never_comes_back_does_not_stand_in_the_way_of_the_next(hanging: Any, clock: Clock) -> None:
    answers, source, _hangs = hanging
    answers.get(VERA)
    source.says = sg.Facts(roles=("viewer",))
    source.deadline = PATIENCE
    clock.now += 10
    assert roles(answers.get(VERA)) == ("viewer",)


def test_an_answer_that_comes_late_does_not_undo_a_later_one(hanging: Any, clock: Clock) -> None:
    answers, source, hangs = hanging
    answers.get(VERA)
    source.says = sg.Facts()  # the role was taken away
    clock.now += 10
    assert roles(answers.get(VERA)) == ()
    hangs.go.set()
    until_idle(answers)
    assert roles(answers.get(VERA)) == ()


def test_what_is_forgotten_is_asked_for_again_and_not_brought_back_by_a_call_under_way(
    hanging: Any, answers: Answers, source: Source
) -> None:
    answers.get(VERA)
    source.says = sg.Facts()
    answers.forget(VERA)
    assert roles(answers.peek(VERA)) is None
    assert roles(answers.get(VERA)) == ()

    slow, slow_source, hangs = hanging
    slow.get(VERA)
    slow.forget(VERA)
    hangs.go.set()
    until_idle(slow)
    assert roles(slow.peek(VERA)) is None
    slow_source.says = sg.Facts(roles=("viewer",))
    assert roles(slow.get(VERA)) == ("viewer",)


def test_hanging_calls_are_bounded(hanging: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    answers, source, hangs = hanging
    monkeypatch.setattr(answers_module, "WORKERS_LIMIT", 2)
    monkeypatch.setattr(answers_module, "OVERDUE_LIMIT", 3)
    for name in range(20):
        assert answers.get({"sub": str(name)}).failure is not None
    assert hangs.begun <= 5
    hangs.go.set()
    until_idle(answers)
    assert len(source.calls) <= 5
    assert roles(answers.get(VERA)) == ("admin",)


# --- memory only


def test_peek_asks_nobody(answers: Answers, source: Source, clock: Clock) -> None:
    assert roles(answers.peek(VERA)) is None
    assert source.calls == []
    answers.get(VERA)
    assert roles(answers.peek(VERA)) == ("admin",)
    clock.now += 60
    assert roles(answers.peek(VERA)) is None
    assert source.calls == ["vera"]


def test_peek_uses_the_old_answer_while_the_source_fails(answers: Answers, source: Source, clock: Clock) -> None:
    answers.get(VERA)
    source.says = OSError()
    clock.now += 60
    answers.get(VERA)
    assert roles(answers.peek(VERA)) == ("admin",)


# --- whom it is about


@given(st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=5), st.booleans(), st.integers(), st.none())))
def test_the_key_is_the_same_whatever_the_order_and_the_login(claims: dict[str, Any]) -> None:
    shuffled = dict(reversed(claims.items()))
    login = {"iat": 1, "exp": 2, "nonce": "n", "at_hash": "h", "auth_time": 3, "jti": "j", "sid": "s", "tokens": {}}
    assert default_key({**shuffled, **login}) == default_key({**login, **claims, **login})


@pytest.mark.parametrize(
    "other",
    [{**VERA, "sub": "eve"}, {**VERA, "admin": True}, {**VERA, "provider": "x"}, {**VERA, "groups": ["a"]}],
)
def test_other_claims_have_another_key(other: Any) -> None:
    assert default_key(other) != default_key(VERA)


@pytest.mark.parametrize("values", [(True, 1, "True", "1", 1.0), ([], {}, None, "", False)])
def test_values_of_another_type_have_another_key(values: tuple[Any, ...]) -> None:
    assert len({default_key({"x": value}) for value in values}) == len(values)


def test_a_source_may_say_itself_who_is_who(clock: Clock) -> None:
    source = Source()
    source.key = lambda claims: claims["sub"]  # type: ignore[attr-defined]
    answers = Answers(source, clock=clock)
    answers.get({**VERA, "iss": "https://other.example"})
    answers.get(VERA)
    assert source.calls == ["vera"]


@pytest.mark.parametrize("key", [lambda claims: claims["nothing"], lambda _claims: [1], lambda: 1])
def test_a_key_that_fails_makes_the_facts_unknown(key: Callable[..., Any], clock: Clock) -> None:
    source = Source()
    source.key = key  # type: ignore[attr-defined]
    answers = Answers(source, clock=clock)
    assert roles(answers.get(VERA)) is None
    assert roles(answers.peek(VERA)) is None
    assert source.calls == []


@pytest.mark.parametrize("once", [iter, lambda values: (value for value in values), lambda values: map(str, values)])
def test_what_can_be_read_only_once_counts_as_long_as_the_answer(
    answers: Answers, source: Source, once: Callable[[list[str]], Any]
) -> None:
    source.says = lambda _claims: sg.Facts(
        roles=once(["admin"]),
        groups=once(["contractors"]),
        memberships=iter(  # type: ignore[arg-type]  # any iterable is read
            [
                sg.Membership(org="acme", roles=once(["viewer"]), permissions=once(["report:view"])),
                {"org": "globex", "roles": once(["payer"])},
            ]
        ),
    )
    for _ in range(2):
        facts = answers.get(VERA).facts
        assert facts.memberships is not None
        acme, globex = facts.memberships
        read: Any = (facts.roles, facts.groups, acme.roles, acme.permissions, globex["roles"])  # type: ignore[index]  # the mapping
        assert [list(each) for each in read] == [["admin"], ["contractors"], ["viewer"], ["report:view"], ["payer"]]


def test_a_source_that_changes_its_list_afterwards_changes_no_answer(answers: Answers, source: Source) -> None:
    groups = ["contractors"]
    source.says = sg.Facts(groups=groups)  # type: ignore[arg-type]  # a list is read, too
    answers.get(VERA)
    groups.clear()
    assert answers.get(VERA).facts.groups == ("contractors",)


def test_what_fails_while_it_is_read_is_a_call_that_failed(answers: Answers, source: Source) -> None:
    def rows() -> Any:
        yield "viewer"
        raise TimeoutError

    source.says = lambda _claims: sg.Facts(roles=rows())
    answer = answers.get(VERA)
    assert answer.failure == "the identity source could not be reached"
    assert roles(answer) is None


def test_a_source_can_not_change_the_claims_of_who_asks(answers: Answers, source: Source) -> None:
    mine = dict(VERA)
    source.says = lambda claims: (claims.clear(), sg.Facts())[1]
    answers.get(mine)
    assert mine == VERA


# --- settings


@pytest.mark.parametrize("name", ["ttl", "stale", "deadline"])
@pytest.mark.parametrize("value", [-1, "60", None, True, float("inf"), float("nan")])
def test_a_limit_that_is_no_number_of_seconds_is_refused(name: str, value: Any) -> None:
    with pytest.raises(sg.ConfigurationError, match=f"`{name}` of an identity source"):
        Answers(Source(**{name: value}))


def test_what_can_not_be_called_is_refused() -> None:
    async def source(_claims: Any) -> sg.Facts:
        return sg.Facts()

    with pytest.raises(sg.ConfigurationError, match="async"):
        Answers(source)  # type: ignore[arg-type]
    with pytest.raises(sg.ConfigurationError, match="identity is a function"):
        Answers("propelauth")  # type: ignore[arg-type]


# --- several sources


def test_what_several_sources_say_adds_up() -> None:
    acme, globex = sg.Membership(org="acme", roles=("admin",)), sg.Membership(org="globex")
    facts = joined(
        [
            Answer(sg.Facts(roles=("a",), memberships=(acme,))),
            Answer(sg.Facts(roles=("b",), groups=("g",), memberships=(globex,), active_org="acme")),
            Answer(sg.Facts(impersonator="x", active_org="globex")),
        ]
    )
    assert facts == sg.Facts(
        roles=("a", "b"), groups=("g",), memberships=(acme, globex), active_org="acme", impersonator="x"
    )


def test_what_one_source_does_not_know_stays_unknown_though_another_says_something() -> None:
    facts = joined([Answer(sg.Facts(roles=("a",))), failed("it is down"), Answer(sg.Facts(groups=None))])
    assert facts.roles == ("a",)
    assert facts.unknown == dict.fromkeys(("roles", "groups", "memberships"), "it is down")


def test_an_account_that_one_source_blocks_is_blocked() -> None:
    facts = joined([Answer(sg.Facts(roles=("a",))), Answer(sg.Facts(blocked="Your account is locked."))])
    assert facts.blocked == "Your account is locked."


POLICY = sg.Policy.from_yaml("""
stguard: 1
permissions: {report: [view]}
roles: {admin: {allow: "report:view"}, viewer: {}}
forbid: [{id: no-viewers, permission: "report:view", role: viewer}]
pages: {}
""")


def test_what_is_given_counts_and_the_rest_is_unknown() -> None:
    facts = {"roles": ("admin",), "groups": ()}
    whole = POLICY.subject({"sub": "vera", "iss": "i", "roles": []}, **facts)  # type: ignore[arg-type]
    assert POLICY.allows(whole, "report:view")
    doubtful = POLICY.subject(
        {"sub": "vera", "iss": "i", "roles": []},
        **facts,  # type: ignore[arg-type]
        unknown={"roles": "the API did not answer (429)"},
    )
    assert doubtful is not None
    assert doubtful.roles == {"admin"}
    decision = POLICY.decide(doubtful, "report:view")
    assert decision.reason is sg.Reason.UNKNOWN  # the role that the forbid names may be one of the unknown ones
    assert "the API did not answer (429)" in str(decision.missing)


@pytest.mark.parametrize("unknown", [{"rolls": "x"}, {None: ""}, None, "roles", [("roles", "x")]])
def test_a_doubt_about_something_else_is_a_doubt_about_everything(unknown: Any) -> None:
    subject = POLICY.subject({"sub": "vera", "iss": "i", "roles": [], "groups": []}, unknown=unknown)
    assert subject is not None
    assert {"roles", "groups", "memberships"} <= set(subject.unknown)


# --- what an operator sees -------------------------------------------------------------------------------------------


def test_how_long_calls_take_and_when_one_was_last_answered_is_told(source: Source, clock: Clock) -> None:
    def slowly(_claims: Any) -> sg.Facts:
        clock.now += 0.3
        return sg.Facts()

    answers = Answers(source, clock=clock)
    assert (answers.kind, answers.answer_age, sum(answers.durations().counts)) == ("custom", None, 0)
    source.says = slowly
    answers.get(VERA)
    clock.now += 5
    source.says = OSError()
    answers.get(EVE)
    found = answers.durations()
    assert (sum(found.counts), found.counts[BOUNDS.index(0.5)]) == (2, 1)
    assert found.total == pytest.approx(0.3)
    assert answers.answer_age == 5


def test_whether_somebody_was_asked_about_is_told_without_asking(source: Source, clock: Clock) -> None:
    answers = Answers(source, clock=clock)
    assert not answers.has_asked(VERA)
    assert source.calls == []
    answers.get(VERA)
    source.says = OSError()
    answers.get(EVE)
    assert answers.has_asked(VERA)
    assert answers.has_asked(EVE)  # and it failed: what it adds is unknown
    clock.now += 61
    assert not answers.has_asked(VERA)
    assert source.calls == ["vera", "eve"]


def test_a_source_of_stguards_own_is_called_by_its_name() -> None:
    assert Answers(sg.UserInfo()).kind == "UserInfo"
