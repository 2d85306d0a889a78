"""A published policy counts when it is proved, no older than the one in force, good, and seen lately."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import stguard as sg
from stguard.remote.policyurl import from_environment
from stguard.remote.store import KEPT_AS, RemoteStore
from stguard.shared.kept import Kept
from tests.remote.publisher import Publisher, publishing
from tests.remote.test_signature import Signer
from tests.shared.engine import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPEN = b"stguard: 1\npages: {home: signed_in, reports: signed_in}\n"
SHUT = b"stguard: 1\npages: {home: signed_in}\n"
BAD = b"stguard: 1\npages: {home: {role: nobody}}\n"


class Clock:
    """Be a clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    with publishing(tmp_path_factory.mktemp("publisher")) as made:
        yield made


@pytest.fixture
def publisher(server: Publisher) -> Publisher:
    server.files, server.asked, server.how = {}, [], ""
    return server


@pytest.fixture
def signer() -> Signer:
    return Signer()


Make = Any


@pytest.fixture
def make(publisher: Publisher, signer: Signer, tmp_path: Path) -> Iterator[Make]:
    """Make the store of one process; the folder is the same each time."""
    made: list[RemoteStore] = []

    def start(
        *,
        folder: str = "state",
        on_bad_edit: str = "keep",
        clock: Any = time.monotonic,
        wall: Any = time.time,
        **options: Any,
    ) -> Any:
        proof = {} if "sha256" in options else {"public_key": signer.public}
        source = sg.PolicyUrl(publisher.url, **{**proof, "cafile": publisher.cafile, "every": 600.0, **options})
        kept = Kept(tmp_path / folder, of="the published policy")
        made.append(RemoteStore(source, kept=kept, on_bad_edit=on_bad_edit, clock=clock, wall=wall))
        return made[-1]

    yield start
    for each in made:
        each.close()


def pages(store: RemoteStore) -> list[str]:
    return sorted(store.current().page_names)


def look(store: RemoteStore) -> None:
    """Let a store look once more, as it does itself: in a thread in which no event loop runs."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(store.look).result()


def signed(signer: Signer, content: bytes, *, at: int = 1_700_000_000) -> tuple[bytes, bytes]:
    return content, signer.sign(content, comment=f"timestamp:{at}\tfile:policy.yaml".encode())


# --- what counts


def test_a_signed_policy_is_in_force_and_so_is_the_next(make: Make, publisher: Publisher, signer: Signer) -> None:
    publisher.publish(*signed(signer, OPEN))
    store = make()
    assert pages(store) == ["home", "reports"]
    publisher.publish(*signed(signer, SHUT, at=1_700_000_001))
    look(store)
    assert pages(store) == ["home"]
    assert (store.readings.loaded, store.badly_edited) == (2, False)


def test_what_did_not_change_is_not_sent_again(make: Make, publisher: Publisher, signer: Signer) -> None:
    publisher.publish(*signed(signer, OPEN))
    store = make()
    pages(store)
    look(store)
    look(store)
    assert publisher.asked == [("/policy.yaml", 200), ("/policy.yaml.minisig", 200), *[("/policy.yaml", 304)] * 2]
    assert store.readings.loaded == 1


def test_a_policy_with_the_pinned_hash_is_in_force_and_no_other(make: Make, publisher: Publisher) -> None:
    publisher.publish(OPEN)
    store = make(sha256=hashlib.sha256(OPEN).hexdigest())
    assert pages(store) == ["home", "reports"]
    publisher.publish(SHUT)
    look(store)
    assert pages(store) == ["home", "reports"]
    assert store.problems[0].code == "unproved"
    with pytest.raises(sg.PolicyFileError, match="another hash"):
        make(sha256=hashlib.sha256(BAD).hexdigest(), folder="other").current()


# --- what doesn't


@pytest.mark.parametrize("bad", ["content", "key", "none", "other file", "older", "no moment", "rules", "not text"])
@pytest.mark.parametrize("on_bad_edit", ["keep", "deny"])
def test_what_is_not_proved_or_not_good_never_comes_into_force(
    make: Make, publisher: Publisher, signer: Signer, bad: str, on_bad_edit: str, caplog: pytest.LogCaptureFixture
) -> None:
    content, signature = signed(signer, OPEN, at=1_700_000_009)
    wrong: dict[str, tuple[bytes, bytes | None]] = {
        "content": (content + b"\n", signature),
        "key": signed(Signer(), OPEN, at=1_800_000_000),
        "none": (OPEN, None),
        "other file": (OPEN, signed(signer, BAD, at=1_800_000_000)[1]),
        "older": signed(signer, OPEN, at=1_700_000_000),
        "no moment": (OPEN, signer.sign(OPEN, comment=b"hello")),
        "rules": signed(signer, BAD, at=1_800_000_000),
        "not text": signed(signer, b"\xff\xfe\x00", at=1_800_000_000),
    }
    publisher.publish(*signed(signer, SHUT, at=1_700_000_005))
    store = make(on_bad_edit=on_bad_edit)
    assert pages(store) == ["home"]
    publisher.publish(*wrong[bad])
    look(store)
    look(store)
    if bad == "none":
        assert pages(store) == ["home"]  # as when the server is away
    elif on_bad_edit == "keep":
        assert pages(store) == ["home"]
    else:
        with pytest.raises(sg.PolicyFileError):
            store.current()
    assert store.badly_edited is (bad != "none")
    assert len([each for each in caplog.records if each.levelname == "ERROR"]) == 1, "said once"
    publisher.publish(*signed(signer, SHUT, at=1_700_000_005))
    look(store)
    assert pages(store) == ["home"]
    assert not store.badly_edited


def test_without_any_good_policy_everything_is_refused(make: Make, publisher: Publisher, signer: Signer) -> None:
    publisher.publish(*signed(signer, BAD))
    with pytest.raises(sg.PolicyFileError, match="nobody"):
        make().current()


@pytest.mark.parametrize("how", ["moves", "fails", "forbids", "compresses", "drips", "large"])
def test_an_address_that_answers_wrongly_leaves_the_last_good_policy_and_says_why(
    make: Make, publisher: Publisher, signer: Signer, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    publisher.publish(*signed(signer, SHUT))
    store = make(deadline=1.0)
    assert pages(store) == ["home"]
    publisher.publish(*signed(signer, OPEN + b"#" * (6_000_000 if how == "large" else 0), at=1_800_000_000))
    publisher.how = how
    begun = time.monotonic()
    look(store)
    assert time.monotonic() - begun < 3
    look(store)
    assert pages(store) == ["home"]
    assert not store.badly_edited
    assert len([each for each in caplog.records if each.levelname == "ERROR"]) == 1
    publisher.how = ""
    publisher.publish(*signed(signer, OPEN, at=1_800_000_000))
    look(store)
    assert pages(store) == ["home", "reports"]


def test_a_server_that_nobody_vouches_for_is_not_read(make: Make, publisher: Publisher, signer: Signer) -> None:
    publisher.publish(*signed(signer, OPEN))
    with pytest.raises(sg.PolicyFileError, match="could not be reached"):
        make(cafile=None).current()
    assert publisher.asked == []


def test_an_unchanged_answer_to_who_knows_nothing_is_none(make: Make, publisher: Publisher, signer: Signer) -> None:
    publisher.publish(*signed(signer, OPEN))
    store = make()
    store._loaded = store._loaded.__class__()
    publisher.files = {}
    with pytest.raises(sg.PolicyFileError, match="404"):
        store.current()


# --- how long


def test_what_was_not_confirmed_for_too_long_decides_nothing(make: Make, publisher: Publisher, signer: Signer) -> None:
    clock = Clock()
    publisher.publish(*signed(signer, OPEN))
    store = make(clock=clock, stale=100.0)
    assert pages(store)
    publisher.how = "fails"
    clock.now += 99
    look(store)
    assert pages(store)
    clock.now += 1
    assert store.is_outdated
    with pytest.raises(sg.PolicyFileError, match="too long"):
        store.current()
    publisher.how = ""
    look(store)
    assert pages(store)


def test_a_bad_policy_confirms_nothing(make: Make, publisher: Publisher, signer: Signer) -> None:
    clock = Clock()
    publisher.publish(*signed(signer, OPEN))
    store = make(clock=clock, stale=100.0)
    assert pages(store)
    publisher.publish(*signed(Signer(), SHUT))
    clock.now += 101
    look(store)
    with pytest.raises(sg.PolicyFileError, match="too long"):
        store.current()


# --- what is kept


def test_a_start_without_the_address_begins_with_what_was_kept_while_that_counts(
    make: Make, publisher: Publisher, signer: Signer
) -> None:
    publisher.publish(*signed(signer, OPEN))
    assert pages(make())
    publisher.how = "fails"
    assert pages(make()) == ["home", "reports"]
    later = make(stale=50.0, wall=lambda: time.time() + 51)
    with pytest.raises(sg.PolicyFileError, match="too long"):
        later.current()
    with pytest.raises(sg.PolicyFileError, match="500"):
        make(wall=lambda: time.time() - 3600).current()
    with pytest.raises(sg.PolicyFileError, match="500"):
        make(folder="elsewhere").current()


@pytest.mark.parametrize("how", ["content", "signature", "url", "cut", "another key", "list", "confirmed"])
def test_what_was_kept_and_changed_since_counts_for_nothing(
    make: Make, publisher: Publisher, signer: Signer, tmp_path: Path, how: str
) -> None:
    publisher.publish(*signed(signer, SHUT))
    assert pages(make())
    (file,) = (tmp_path / "state").glob(f"{KEPT_AS}-*.json")
    document = json.loads(file.read_text())
    other = {"content": "c3Rn", "signature": None, "url": "https://else.example/policy.yaml",
             "confirmed": float("nan")}  # fmt: skip
    if how in other:
        document[how] = other[how]
    file.write_text("[]" if how == "list" else json.dumps(document)[: -9 if how == "cut" else None])
    publisher.how = "fails"
    options = {"public_key": Signer().public} if how == "another key" else {}
    if how == "another key":  # and the copy is put in the place of that key's
        store = make(**options)
        file.rename(file.with_name(f"{store._kept_as}.json"))
    with pytest.raises(sg.PolicyFileError, match="500"):
        make(**options).current()


def test_an_older_policy_does_not_count_after_a_restart_either(
    make: Make, publisher: Publisher, signer: Signer
) -> None:
    publisher.publish(*signed(signer, SHUT, at=1_800_000_000))
    assert pages(make()) == ["home"]
    publisher.publish(*signed(signer, OPEN, at=1_700_000_000))
    store = make()
    assert pages(store)
    until(lambda: store.badly_edited)
    assert pages(store) == ["home"]
    assert store.problems[0].code == "older"


def test_two_addresses_keep_their_copies_apart(make: Make, publisher: Publisher, signer: Signer) -> None:
    publisher.publish(*signed(signer, OPEN, at=1_900_000_000))
    assert pages(make()) == ["home", "reports"]
    publisher.publish(SHUT)
    pin = hashlib.sha256(SHUT).hexdigest()
    assert pages(make(sha256=pin)) == ["home"]
    publisher.how = "fails"
    assert pages(make(sha256=pin)) == ["home"]
    assert pages(make()) == ["home", "reports"]


# --- while it runs


def test_many_who_ask_at_once_at_the_start_make_one_look_and_then_nobody_waits(
    make: Make, publisher: Publisher, signer: Signer
) -> None:
    publisher.publish(*signed(signer, OPEN))
    store = make()
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(pages(store)))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2] * 20
    assert len(publisher.asked) == 2
    publisher.how = "drips"
    looking = threading.Thread(target=store.look)
    looking.start()
    begun = time.monotonic()
    assert all(store.current() for _ in range(1000))
    assert time.monotonic() - begun < 0.5
    publisher.how = ""
    looking.join()


def test_a_new_policy_is_found_by_itself(make: Make, publisher: Publisher, signer: Signer) -> None:
    publisher.publish(*signed(signer, OPEN))
    store = make(every=0.05)
    assert pages(store) == ["home", "reports"]
    publisher.publish(*signed(signer, SHUT, at=1_700_000_001))
    until(lambda: pages(store) == ["home"])


# --- what is given


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "needs what proves"),
        ({"public_key": "RWQ", "sha256": "0" * 64}, "needs what proves"),
        ({"public_key": "RWQ"}, "no public key"),
        ({"sha256": "0" * 63}, "64 digits"),
        ({"sha256": "0" * 64, "every": 0}, "`every`"),
        ({"sha256": "0" * 64, "stale": float("inf")}, "`stale`"),
        ({"sha256": "0" * 64, "url": "http://policies.acme.com/p.yaml"}, "https://"),
        ({"sha256": "0" * 64, "url": "ftp://policies.acme.com/p.yaml"}, "https://"),
        ({"sha256": "0" * 64, "url": "https://me:secret@acme.com/p.yaml"}, "end up in logs"),
        ({"sha256": "0" * 64, "url": "https:///p.yaml"}, "one YAML file"),
        ({"sha256": "0" * 64, "url": "https://[::1/p.yaml"}, "can't be read"),
        ({"sha256": "0" * 64, "url": 5}, "can't be read"),
    ],
)
def test_a_wrong_address_or_proof_is_told(options: dict[str, Any], why: str) -> None:
    given = {"url": "https://policies.acme.com/policy.yaml", **options}
    with pytest.raises(sg.ConfigurationError, match=why) as raised:
        sg.PolicyUrl(**given)
    assert "secret" not in str(raised.value)


def test_the_environment_names_an_address_with_its_proof() -> None:
    url = "https://policies.acme.com/policy.yaml"
    assert from_environment({"STGUARD_POLICY_SHA256": "0" * 64}, url=url) == sg.PolicyUrl(url, sha256="0" * 64)
    with pytest.raises(sg.ConfigurationError, match=r"\$STGUARD_POLICY_PUBLIC_KEY"):
        from_environment({}, url=url)


def test_the_signature_lies_beside_the_policy_also_with_a_query(signer: Signer) -> None:
    source = sg.PolicyUrl("https://a.example/p.yaml?v=1", public_key=signer.public)
    assert source.signature_url == "https://a.example/p.yaml.minisig?v=1"
