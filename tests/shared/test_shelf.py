"""What a source said at one replica counts at all of them, as long and no longer, and nothing else does."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from stguard.errors import IdentityError
from stguard.model import Facts, Membership
from stguard.shared.link import Contact
from stguard.shared.shelf import SLACK, Shelf
from stguard.shared.table import SharedTable
from stguard.sources.answers import Answers
from stguard.sources.ldap import Ldap
from stguard.sources.named import named, written_key
from stguard.sources.userinfo import UserInfo
from stguard.sources.written import read, written
from tests.shared.engine import SECRET, Engine, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from stguard.shared.link import Link

ACME = Membership(org="acme", name="Acme", roles=("admin",), permissions=None, metadata={"plan": ["gold"]})
FACTS = Facts(
    roles=("viewer",), groups=None, memberships=(ACME,), unknown={"groups": "the directory is away"},
    complete=("roles",), blocked=None, active_org="acme", impersonator="bob", claims={"a": {"b": [1, 2.5, None, True]}},
)  # fmt: skip


class Directory:
    """Be a source that all replicas ask."""

    def __init__(self, *, ttl: float = 60.0, stale: float = 600.0, deadline: float = 5.0) -> None:
        self.ttl, self.stale, self.deadline = ttl, stale, deadline

    asked: list[str]
    takes = 0.0
    fails = False
    facts = FACTS

    def __call__(self, claims: Mapping[str, Any]) -> Facts:
        Directory.asked.append(claims["sub"])
        if Directory.fails:
            raise IdentityError("away")
        time.sleep(Directory.takes)
        return Directory.facts


@pytest.fixture(autouse=True)
def _new() -> None:
    Directory.asked, Directory.takes, Directory.fails, Directory.facts = [], 0.0, False, FACTS


Join = Any


@pytest.fixture
def join(replica: Callable[..., Link]) -> Join:
    def make(source: Any = None, place: int = 0, **options: Any) -> Answers:
        link = replica(**options)
        SharedTable(link, "any")
        assert link.start(patience=10)
        return Answers(source if source is not None else Directory(), shelf=Shelf(link), place=place)

    return make


def person(name: str) -> dict[str, Any]:
    return {"iss": "https://id.acme.com", "sub": name}


def test_replicas_together_ask_once_about_each_person(join: Join) -> None:
    replicas = [join() for _ in range(4)]
    people = [person(str(number)) for number in range(20)]
    for each in replicas:
        assert [each.get(who).facts for who in people] == [FACTS] * 20
    assert len(Directory.asked) == 20
    assert [each.counts().calls for each in replicas] == [20, 0, 0, 0]
    assert replicas[3].counts().hits == 20
    for each in replicas:
        each.get(people[0])
    assert len(Directory.asked) == 20


def test_who_comes_to_all_replicas_at_once_is_asked_about_once(join: Join) -> None:
    replicas = [join() for _ in range(4)]
    Directory.takes = 0.3
    found: list[Facts] = []
    threads = [
        threading.Thread(target=lambda each=each: found.append(each.get(person("ann")).facts)) for each in replicas
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [FACTS] * 4
    assert Directory.asked == ["ann"]


def test_an_answer_counts_for_its_time_from_when_it_was_asked_for(join: Join) -> None:
    one, other = join(Directory(ttl=0.6)), join(Directory(ttl=0.6))
    one.get(person("ann"))
    time.sleep(0.3)
    other.get(person("ann"))
    assert Directory.asked == ["ann"]
    Directory.facts = Facts()
    time.sleep(0.35)
    assert other.get(person("ann")).facts == Facts(), "not for that time again at each replica"


def test_an_old_answer_of_another_replica_counts_while_the_source_is_away_and_no_longer(join: Join) -> None:
    limits = {"ttl": 0.2, "stale": 1.5}
    one, other, third = (join(Directory(**limits)) for _ in range(3))
    one.get(person("ann"))
    time.sleep(0.25)
    Directory.fails = True
    assert other.get(person("ann")).facts == FACTS
    assert other.counts().stale == 1
    time.sleep(1.4)
    assert third.get(person("ann")).facts.roles is None


def test_where_one_replica_fails_the_next_asks_itself(join: Join) -> None:
    one, other = join(), join()
    Directory.fails = True
    assert one.get(person("ann")).facts.roles is None
    Directory.fails = False
    assert other.get(person("ann")).facts == FACTS


def test_a_replica_that_died_asking_holds_up_the_others_for_their_deadline_at_most(join: Join, engine: Engine) -> None:
    one, other = join(Directory(deadline=0.6)), join(Directory(deadline=2.0))
    with engine.client() as client:
        name = one._shelf.name(one._name, "x")
        look = one._shelf.look(name, turn=0.6)  # and is gone
        assert look is not None
        assert look.turn is not None
        assert client.exists(f"{{stguard}}:asking:{name}")
        until(lambda: not client.exists(f"{{stguard}}:asking:{name}"), seconds=3)
    assert other.get(person("ann")).facts == FACTS


def test_what_was_forgotten_here_is_not_read_again_from_others(join: Join) -> None:
    one, other = join(), join()
    one.get(person("ann"))
    other.get(person("ann"))
    Directory.facts = Facts()
    other.forget(person("ann"))
    assert other.get(person("ann")).facts == Facts()


def test_differently_set_up_sources_never_read_each_others_answers(join: Join) -> None:
    def made(tenant: str) -> Callable[[Mapping[str, Any]], Facts]:
        return lambda claims: Facts(roles=(tenant,)) if claims else Facts()

    assert join(made("acme")).get(person("ann")).facts.roles == ("acme",)
    assert join(made("globex")).get(person("ann")).facts.roles == ("globex",)
    assert join(Directory(stale=1.0)).get(person("ann")).facts == FACTS
    assert join(Directory()).get(person("ann")).facts == FACTS
    assert join(Directory(), place=1).get(person("ann")).facts == FACTS
    assert Directory.asked == ["ann"] * 3, "of two in one list each is asked"
    assert named(made("acme")) == named(made("acme"))
    assert named(UserInfo()) == named(UserInfo())
    assert named(Directory()) != named(Directory(ttl=1.0))


class Client:
    """Be somebody's client, which holds what nobody can tell from others."""

    def __init__(self, tenant: str) -> None:
        self.lock, self.tenant = threading.Lock(), tenant


class Keyed:
    """Tell people apart by something that only one process can."""

    class Key:
        pass

    asked: list[str]

    def key(self, _claims: Mapping[str, Any]) -> object:
        return Keyed.Key()

    def __call__(self, claims: Mapping[str, Any]) -> Facts:
        return Facts(roles=(claims["sub"],))


def test_a_source_of_which_nobody_can_tell_how_it_is_set_up_is_asked_at_each_replica(join: Join) -> None:
    def made(client: Any, asked: Any = None) -> Any:
        return lambda claims: Facts(roles=(client.tenant,)) if claims else asked

    assert named(made(Client("acme"))) is None
    assert named(threading.Lock()) is None
    assert join(made(Client("acme"))).get(person("ann")).facts.roles == ("acme",)
    assert join(made(Client("globex"))).get(person("ann")).facts.roles == ("globex",)
    told = made(Client("acme"))
    told.shared_name = "acme's directory"
    assert named(told) == "['named', \"acme's directory\"]"


class Hidden:
    """Keep an address where nobody else looks."""

    __slots__ = ("__url",)

    def __init__(self, url: str) -> None:
        self.__url = url

    def __call__(self, _claims: Mapping[str, Any]) -> Facts:
        return Facts(roles=(self.__url,))


class Pair(NamedTuple):
    """Be a source that is a tuple, too."""

    url: str

    def __call__(self, _claims: Mapping[str, Any]) -> Facts:
        return Facts()


def test_what_is_set_up_otherwise_has_another_name() -> None:
    assert named(Hidden("a")) != named(Hidden("b"))
    assert named(Pair("a")) is None
    one, other = (lambda _: Facts(roles=("a",))), (lambda _: Facts(roles=("b",)))
    assert named(one) != named(other)
    same = named(one)
    one.url = "https://a.example"  # type: ignore[attr-defined]
    assert named(one) != same


def test_a_key_that_can_not_be_written_asks_and_leaves_its_thread_alive(join: Join) -> None:
    class Odd:
        def __init__(self) -> None:
            self.url = "https://a.example"

        def key(self, _claims: Mapping[str, Any]) -> int:
            return 10**5000

        def __call__(self, _claims: Mapping[str, Any]) -> Facts:
            return Facts()

    odd = join(Odd())
    begun = time.monotonic()
    assert odd.get(person("ann")).facts.roles is None
    assert time.monotonic() - begun < 2
    alone = Answers(Odd())
    assert alone.get(person("ann")).facts.roles == ()


def test_an_answer_that_counts_for_ages_is_shared_too(join: Join) -> None:
    one, other = join(Directory(stale=1e16)), join(Directory(stale=1e16))
    assert one.get(person("ann")).facts == other.get(person("ann")).facts == FACTS
    assert Directory.asked == ["ann"]


def test_people_whom_only_one_process_can_tell_apart_are_asked_about_in_each(join: Join, engine: Engine) -> None:
    assert join(Keyed()).get(person("ann")).facts.roles == ("ann",)
    with engine.client() as client:
        assert not client.keys("{stguard}:answer:*")


def test_a_source_of_stguard_has_one_name_in_each_process() -> None:
    made = [Ldap("ldaps://ldap.acme.com", base) for base in ("ou=a", "ou=a", "ou=b")]
    assert named(made[0]) == named(made[1]) != named(made[2])


@pytest.mark.parametrize("how", ["swapped", "changed", "another secret", "too old", "of the future"])
def test_what_no_replica_put_there_now_counts_for_nothing(
    join: Join, engine: Engine, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = join()
    one.get(person("ann"))
    Directory.facts = Facts(roles=("nobody",))
    with engine.client() as client:
        (key,) = client.keys("{stguard}:answer:*")
        if how == "swapped":
            other = join()
            name = other._shelf.name(other._name, str(written_key(other.key(person("bob")))))
            client.set(f"{{stguard}}:answer:{name}", client.get(key) or b"")
            assert other.get(person("bob")).facts.roles == ("nobody",)
            return
        if how == "changed":
            sealed = bytearray(client.get(key) or b"")
            sealed[-1] ^= 1
            client.set(key, bytes(sealed))
    late = join(**({"secret": SECRET[::-1]} if how == "another secret" else {}))
    if how == "too old":  # brought out again by an engine whose clock was set back
        monkeypatch.setattr(late._shelf, "_clock", lambda: time.time() + SLACK + 61)
    if how == "of the future":
        real = late._shelf._read
        monkeypatch.setattr(
            late._shelf, "_read", lambda name, sealed, *, now, late: real(name, sealed, now=now - 10**6, late=late)
        )
    assert late.get(person("ann")).facts.roles == ("nobody",)


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_without_an_engine_each_replica_asks_by_itself_within_the_deadline(
    join: Join, engine: Engine, how: str
) -> None:
    one = join(Directory(deadline=3.0))
    engine.stop() if how == "stopped" else engine.freeze()
    try:
        begun = time.monotonic()
        assert one.get(person("ann")).facts == FACTS
        assert time.monotonic() - begun < 2.5
        until(lambda: one._shelf._link.contact is not Contact.HELD)
    finally:
        engine.thaw() if how == "frozen" else None


def test_the_engine_reads_nothing_of_an_answer_and_keeps_it_no_longer_than_it_may_count(
    join: Join, engine: Engine
) -> None:
    join(Directory(ttl=5.0, stale=20.0)).get(person("ann"))
    with engine.client() as client:
        (key,) = client.keys("{stguard}:answer:*")
        value = client.get(key) or b""
        assert 0 < client.pttl(key) <= 20_000
        assert not client.keys("{stguard}:asking:*")
    assert not any(word in key + value for word in (b"ann", b"acme", b"viewer", b"Directory"))


class Odd(Mapping[str, Any]):
    def __getitem__(self, name: str) -> Any:
        raise RuntimeError

    def __iter__(self) -> Any:
        return iter("a")

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    "facts",
    [
        Facts(roles="admin"),  # type: ignore[arg-type]
        Facts(roles=(1,)),  # type: ignore[arg-type]
        Facts(memberships=({"org": "acme"},)),  # type: ignore[arg-type]
        Facts(claims={"a": (1,)}),
        Facts(claims={1: "a"}),  # type: ignore[dict-item]
        Facts(claims={"a": float("nan")}),
        Facts(claims={"a": object()}),
        Facts(claims=Odd()),
        Facts(unknown=None),  # type: ignore[arg-type]
        Facts(memberships=5),  # type: ignore[arg-type]
    ],
)
def test_an_answer_that_would_not_be_read_as_it_was_given_stays_where_it_is(facts: Facts, join: Join) -> None:
    assert written(facts) is None
    Directory.facts = facts
    one, other = join(), join()
    one.get(person("ann"))
    other.get(person("ann"))
    assert len(Directory.asked) == 2


def test_an_answer_is_read_exactly_as_it_was_given() -> None:
    for facts in (FACTS, Facts(), Facts(roles=None, memberships=None), Facts(memberships=()), Facts(blocked="No.")):
        text = written(facts)
        assert text is not None
        assert read(text) == facts
        document = json.loads(text)
        assert read(json.dumps({**document, "more": 1})) is None
        assert read(json.dumps({**document, "roles": "admin"})) is None
        assert read(json.dumps({**document, "memberships": [{"org": "acme"}]})) is None
    assert read("[" * 100_000) is None
