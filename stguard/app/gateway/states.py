"""The states of what every guarded app has: policy, decisions, identity sources, audit, traffic."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from stguard.app import mediation, private, replicas
from stguard.app.gateway.health import Status
from stguard.app.gateway.traffic import traffic
from stguard.app.standing import ENFORCED
from stguard.errors import ConfigurationError, PolicyFileError
from stguard.model import Reason
from stguard.policy import Policy
from stguard.shared.link import Contact
from stguard.tally import BOUNDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

    from stguard.app.gateway.signouts import Signouts
    from stguard.app.settings import Settings
    from stguard.sources.answers import Answers
    from stguard.store import Store

_ALLOWING: Final = frozenset({Reason.PUBLIC, Reason.SIGNED_IN, Reason.GRANTED})

_LOG: Final = logging.getLogger("stguard")


@dataclass(slots=True, eq=False)
class PolicyState:
    """Tell which policy is in force.

    Attributes:
        settings: returns the settings of the app that is served; raises ConfigurationError while there are none.
        named: whether the server was given a policy, so that nothing the script says can bring the missing one.
        warned: whether the log was told that the script has to run first.
    """

    settings: Callable[[], Settings]
    named: bool
    warned: bool = False
    name: str = "policy"

    def status(self) -> Status:
        """Return what keeps a policy from being in force."""
        try:
            settings = self.settings()
        except ConfigurationError as error:
            if self.named and private.served_script() is not None:
                return Status.NO_POLICY
            if not self.warned:
                self.warned = True
                _LOG.warning(
                    "the health is `starting` until the main script has run: %s; where a probe decides whether anybody "
                    "can visit, give the policy to the server: sg.App(..., policy=...)",
                    error,
                )
            return Status.STARTING
        try:
            settings.policy()
        except PolicyFileError:
            store = self._store(settings)
            if store is not None and store.is_outdated:
                return Status.OUTDATED
            return Status.NO_POLICY if self._age(settings) is None else Status.BAD_EDIT
        if settings.hooks == "require" and mediation.known_unfit():
            return Status.UNSUPPORTED
        return Status.OK

    def details(self) -> object:
        """Return the version in force, for how long it has been, and what became of edits."""
        found = self._in_force()
        if found is None:
            return None
        settings, policy = found
        store = self._store(settings)
        return {
            "version": policy.version,
            "age_seconds": _rounded(self._age(settings)),
            "last_edit_bad": store is not None and store.badly_edited,
            "readings": None if store is None else asdict(store.readings),
        }

    def metrics(self) -> Iterator[Metric]:
        """Yield what there is to say about the policy, and about decisions made by it."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415  an extra

        found = self._in_force()
        if found is not None:
            settings, policy = found
            info = GaugeMetricFamily("stguard_policy_info", "The policy in force, by its version.", labels=["version"])
            info.add_metric([policy.version], 1)
            yield info
            age, store = self._age(settings), self._store(settings)
            if age is not None and store is not None:
                name = "stguard_policy_age_seconds"
                yield GaugeMetricFamily(name, "Since this version of the policy came into force here.", value=age)
                name = "stguard_policy_last_edit_bad"
                yield GaugeMetricFamily(name, "1 while the last edit is not put in force.", value=store.badly_edited)
                name = "stguard_policy_reloads"
                reloads = CounterMetricFamily(
                    name, "Readings of the policy's files, the first included.", labels=["result"]
                )
                for result, count in asdict(store.readings).items():
                    reloads.add_metric([result], count)
                yield reloads
        name, labels = "stguard_decisions", ["outcome", "reason"]
        decisions = CounterMetricFamily(name, "Decisions that were enforced; `sg.can` only asks.", labels=labels)
        for reason, count in ENFORCED.values().items():
            decisions.add_metric(["allowed" if reason in _ALLOWING else "refused", reason.value], count)
        yield decisions

    def _in_force(self) -> tuple[Settings, Policy] | None:
        try:
            settings = self.settings()
            return settings, settings.policy()
        except (ConfigurationError, PolicyFileError):
            return None

    def _store(self, settings: Settings) -> Store | None:
        return None if isinstance(settings.store, Policy) else settings.store

    def _age(self, settings: Settings) -> float | None:
        store = self._store(settings)
        return None if store is None else store.age


@dataclass(frozen=True, slots=True, eq=False)
class IdentityState:
    """Tell what the identity sources do. An app whose sources fail still serves what needs none of their facts."""

    settings: Callable[[], Settings]
    name: str = "identity"

    def status(self) -> Status:
        """Return that pages can be served: what a source doesn't say is unknown."""
        return Status.OK

    def details(self) -> object:
        """Return what happened to each source."""
        return [
            {"kind": each.kind, **asdict(each.counts()), "answer_age_seconds": _rounded(each.answer_age)}
            for each in self._sources()
        ]

    def metrics(self) -> Iterator[Metric]:
        """Yield what happened to each source, by its place in the list and its kind."""
        from prometheus_client.core import (  # noqa: PLC0415  an extra
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        sources = [([str(number), each.kind], each) for number, each in enumerate(self._sources())]
        if not sources:
            return
        labels = ["source", "kind"]
        for name, what in (
            ("calls", "Calls that were begun."),
            ("hits", "Questions answered from memory."),
            ("stale", "Questions answered by an old answer, because the source could not be asked."),
            ("failures", "Calls that failed or passed the deadline."),
        ):
            counter = CounterMetricFamily(f"stguard_identity_{name}", what, labels=labels)
            for values, each in sources:
                counter.add_metric(values, getattr(each.counts(), name))
            yield counter
        took = HistogramMetricFamily("stguard_identity_call_seconds", "How long calls took that ended.", labels=labels)
        age = GaugeMetricFamily(
            "stguard_identity_answer_age_seconds", "Since a source last answered about anybody.", labels=labels
        )
        for values, each in sources:
            durations, below, buckets = each.durations(), 0, []
            for bound, count in zip((*map(str, BOUNDS), "+Inf"), durations.counts, strict=True):
                below += count
                buckets.append((bound, below))
            took.add_metric(values, buckets, durations.total)
            answer_age = each.answer_age
            if answer_age is not None:
                age.add_metric(values, answer_age)
        yield took
        yield age

    def _sources(self) -> tuple[Answers, ...]:
        try:
            return self.settings().identity
        except ConfigurationError:
            return ()


@dataclass(frozen=True, slots=True, eq=False)
class AuditState:
    """Tell what became of the records of the audit, which decides about no page."""

    settings: Callable[[], Settings]
    name: str = "audit"

    def status(self) -> Status:
        """Return that pages can be served."""
        return Status.OK

    def details(self) -> object:
        """Return the counts; None without an audit."""
        return self._counts()

    def metrics(self) -> Iterator[Metric]:
        """Yield the counts."""
        from prometheus_client.core import CounterMetricFamily  # noqa: PLC0415  an extra

        counts = self._counts()
        if counts is not None:
            records = CounterMetricFamily("stguard_audit_records", "What became of audit records.", labels=["result"])
            for result, count in counts.items():
                records.add_metric([result], count)
            yield records

    def _counts(self) -> dict[str, int] | None:
        try:
            trail = self.settings().trail
        except ConfigurationError:
            return None
        return None if trail is None else asdict(trail.counts)


@dataclass(frozen=True, slots=True, eq=False)
class SharedState:
    """Tell how this replica stands with the others; whether its policy is too old, the policy's state says."""

    name: str = "shared"

    def status(self) -> Status:
        """Return that pages can be served."""
        return Status.OK

    def details(self) -> object:
        """Return the contact with what replicas share, and when it was last had; None for a process on its own."""
        others = replicas.current()
        if others is None:
            return None
        return {"contact": others.link.contact.value, "age_seconds": _rounded(others.link.age)}

    def metrics(self) -> Iterator[Metric]:
        """Yield the same."""
        from prometheus_client.core import GaugeMetricFamily  # noqa: PLC0415  an extra

        others = replicas.current()
        if others is not None:
            name, held = "stguard_shared_contact", others.link.contact is Contact.HELD
            yield GaugeMetricFamily(name, "1 while what replicas share is reached.", value=held)
            name = "stguard_shared_age_seconds"
            yield GaugeMetricFamily(name, "Since what replicas share was last reached.", value=others.link.age)


@dataclass(frozen=True, slots=True, eq=False)
class TrafficState:
    """Tell what passes through the gateway, and what doesn't."""

    signouts: Signouts
    name: str = "traffic"

    def status(self) -> Status:
        """Return that pages can be served."""
        return Status.OK

    def details(self) -> object:
        """Return how many connections are open, and how much was refused."""
        return {
            "connections": traffic.connections,
            "refused_requests": sum(traffic.refused.values().values()),
            "refused_frames": sum(traffic.frames.values().values()),
            "signouts": self.signouts.count,
        }

    def metrics(self) -> Iterator[Metric]:
        """Yield the same, by kind."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415  an extra

        name, labels = "stguard_requests_refused", ["place", "status"]
        requests = CounterMetricFamily(name, "Requests that the gateway refused.", labels=labels)
        for (place, status), count in traffic.refused.values().items():
            requests.add_metric([place, str(status)], count)
        yield requests
        frames = CounterMetricFamily(
            "stguard_frames_refused", "Frames of browsers that did not reach Streamlit.", labels=["kind"]
        )
        for kind, count in traffic.frames.values().items():
            frames.add_metric([kind], count)
        yield frames
        yield GaugeMetricFamily("stguard_connections", "Open connections of tabs.", value=traffic.connections)
        yield CounterMetricFamily(
            "stguard_signouts", "Logins ended by signing out, or by another sign-in.", value=self.signouts.count
        )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
