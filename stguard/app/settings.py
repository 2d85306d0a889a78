"""Process-wide settings, one set for each main script: the policy store, the identity source, the audit."""

from __future__ import annotations

import inspect
import logging
import operator
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

from stguard.app import private, replicas
from stguard.app.recent import Recent
from stguard.audit import AUDIT_VARIABLE, Sink, Trail, trail_to
from stguard.edits.history import KEPT, kept
from stguard.errors import ConfigurationError, quote
from stguard.policy import Policy
from stguard.remote.policyurl import PolicyUrl, from_environment, is_address
from stguard.remote.store import RemoteStore
from stguard.shared.kept import Kept, folder_of
from stguard.sources.answers import Answers, IdentitySource, limits_of
from stguard.sources.headers import among
from stguard.store import POLICY_VARIABLE, OnBadEdit, PolicyStore, discover

if TYPE_CHECKING:
    from types import FunctionType

    from stguard.app.private import ScriptRunContext
    from stguard.model import Rule
    from stguard.shared.replicas import SharedChoice
    from stguard.store import Store

IdentityChoice = IdentitySource | Sequence[IdentitySource]
"""One identity source, or several whose facts are joined."""

AuditChoice = str | Path | logging.Logger | Sink
"""A file of JSON lines, a logger, or what is told of each record."""

PolicyChoice = str | Path | PolicyStore | Policy | PolicyUrl
"""A file, a folder, a store, an address, or a policy that is already loaded."""

Hooks = Literal["require", "off"]
"""Whether the hooks into Streamlit must hold, or are left out."""

RULES_LIMIT: Final = 4096
"""Most rules from code remembered as checked; a program that makes ever new ones only loses the memory."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settings:
    """Hold what one app is configured with. Replaced whole, never changed.

    Attributes:
        choice: the policy as `configure` was given it; None when it was discovered.
        on_bad_edit: what a bad later edit does.
        store: where the policy in force comes from; a loaded policy stands for itself.
        identity: the identity sources, with what they said; none: the claims alone.
        audit: as `configure` was given it; None: refusals are logged, nothing else.
        trail: hands the records on.
        history: how many versions of the policy its history keeps after an edit in the app.
        hooks: whether what a page registers must be asked about again when it runs.
        show_errors: whether people see an exception as it is, for development.
        checked: rules from code whose names were found in a policy: that policy, and the rule in its compared form.
        recent: who signed in and what was refused, for the admin page.
    """

    choice: PolicyChoice | None
    on_bad_edit: OnBadEdit
    store: Store | Policy
    identity: tuple[Answers, ...] = ()
    audit: AuditChoice | None = None
    trail: Trail | None = None
    history: int = KEPT
    hooks: Hooks = "require"
    show_errors: bool = False
    checked: dict[Rule, tuple[Policy, Rule]] = field(default_factory=dict)
    recent: Recent = field(default_factory=Recent)

    def policy(self) -> Policy:
        """Return the policy in force now; raises PolicyFileError when there is none."""
        return self.store if isinstance(self.store, Policy) else self.store.current()

    def check(self, rule: Rule, *, policy: Policy) -> Rule:
        """Return a rule from code in its compared form; ConfigurationError when it names what is not declared."""
        known = self.checked.get(rule)
        if known is None or known[0] is not policy:
            known = (policy, policy.rule(rule))
            if len(self.checked) >= RULES_LIMIT:
                self.checked.clear()
            self.checked[rule] = known
        return known[1]


_lock: Final = threading.Lock()
_by_script: Final[dict[str, Settings]] = {}
_served: Final[dict[str, tuple[PolicyChoice | None, IdentityChoice | None, SharedChoice | None]]] = {}
"""What a server was given for its main script; it stands where `configure` names nothing else."""


def serve(
    script: str,
    *,
    policy: PolicyChoice | None,
    identity: IdentityChoice | None,
    shared: SharedChoice | None = None,
) -> None:
    """Take what the server of a main script was given, before the script runs."""
    _served[script] = (policy, identity, shared)


def is_served(script: str) -> bool:
    """Tell whether the server of a main script was given anything: then its requests go through the gateway."""
    return script in _served


def settings_of(ctx: ScriptRunContext) -> Settings:
    """Return the settings of the app that runs; the defaults when `configure` was not called.

    Raises:
        ConfigurationError: no policy can be found.
    """
    return settings_at(private.script_key(ctx))


def settings_at(script: str) -> Settings:
    """Return the settings of the app with that main script, as `settings_of` does in a run.

    Raises:
        ConfigurationError: no policy can be found.
    """
    known = _by_script.get(script)
    if known is not None:
        return known
    return _put(
        script,
        policy=None,
        identity=None,
        on_bad_edit="keep",
        audit=None,
        hooks="require",
        show_errors=False,
        shared=None,
        history=None,
    )


def known_settings(ctx: ScriptRunContext) -> Settings | None:
    """Return the settings of the app that runs when there are any yet."""
    return _by_script.get(private.script_key(ctx))


def configure(
    policy: PolicyChoice | None = None,
    identity: IdentityChoice | None = None,
    on_bad_edit: OnBadEdit = "keep",
    audit: AuditChoice | None = None,
    *,
    hooks: Hooks = "require",
    show_errors: bool = False,
    shared: SharedChoice | None = None,
    history: int | None = None,
) -> None:
    """Set up stguard for this app; optional. Call it at the top of the main script.

    It may be called in each rerun: equal values change nothing, other values take effect from now on.

    Args:
        policy: the policy file or folder, relative to the main script's folder; or a `PolicyStore`, a
            `PolicyUrl`, or a loaded `Policy`. None: `$STGUARD_POLICY`, else `policies/` or `policy.yaml` beside the
            main script.
        identity: adds roles, groups and memberships to the claims: called with the claims, returns `Facts`. Asked
            once a minute for each person, whatever the number of sessions (`stguard.sources` lists what else a source
            can state); what it raises makes those facts unknown. Several in a list are joined.
        on_bad_edit: `keep` leaves the last good policy in force after a bad edit of its files, `deny` refuses
            everything until they are good again.
        audit: a file to which each record is written as a line of JSON, relative to the main script's folder; a
            logger; or a function that is called with each `Record`. Refusals are told always, what is allowed once for
            each session and action. It happens in a thread of its own: a slow or failing audit keeps no page waiting.
            None: the file `$STGUARD_AUDIT`, else no audit.
        hooks: `require` asks again whenever a callback, fragment, dialog, deferred download or lazy table of a page
            runs, and serves no page on a Streamlit where that can't be done; `off` leaves each of them to `requires`.
        show_errors: True shows an exception in a page as Streamlit does, for development; False shows a sentence with a
            reference number, and the log has the rest.
        shared: where the replicas of this app share the policy in force, sign-outs and what identity sources said: an
            address of Redis or Valkey, or `sg.Shared(...)`. None: `$STGUARD_REDIS_URL`, else nowhere.
        history: how many versions of the policy its history keeps after an edit in the app. None: `$STGUARD_HISTORY`,
            else 100.

    Raises:
        ConfigurationError: called outside a script run, or no policy can be found.
    """
    ctx = private.context()
    if ctx is None:
        raise ConfigurationError(
            "configure() outside a script run; call it in the main script that `streamlit run` starts"
        )
    if is_address(policy):
        raise ConfigurationError(
            f"policy is an address, {quote(policy)}: sg.PolicyUrl(...) takes it, with `public_key` or `sha256`"
        )
    if policy is not None and not isinstance(policy, str | Path | PolicyStore | Policy | PolicyUrl):
        raise ConfigurationError(f"policy is a path, got {quote(type(policy).__name__)}")
    if hooks not in get_args(Hooks):
        raise ConfigurationError(f"hooks is `require` or `off`, got {quote(hooks)}")
    if among(identity) is not None:
        raise ConfigurationError(
            "TrustedHeaders in configure(): headers count only behind the gateway, which checks that the proxy set "
            "them; give it to sg.App(..., identity=..., proxy=sg.TrustedProxy(...))"
        )
    if audit is not None and not isinstance(audit, str | Path | logging.Logger) and not callable(audit):
        raise ConfigurationError(f"audit is a file's path, a logger or a function, got {quote(type(audit).__name__)}")
    _put(
        private.script_key(ctx),
        policy=policy,
        identity=identity,
        on_bad_edit=on_bad_edit,
        audit=audit,
        hooks=hooks,
        show_errors=show_errors,
        shared=shared,
        history=history,
    )


def same_callable(one: object, other: object) -> bool:
    """Tell whether two callables do the same: a rerun of a script makes its functions anew.

    Functions are the same by their code, its place and what they were made with; methods and partials by what they are
    made of; other objects by equality, or by type and attributes where those are all that they hold.
    """
    if one is other or one == other:
        return True
    if inspect.isfunction(one) and inspect.isfunction(other):
        return _made_of(one) == _made_of(other)
    # SECURITY: what is told about these by `__dict__` is not what they call, nor with what.
    if inspect.ismethod(one) and inspect.ismethod(other):
        return same_callable(one.__func__, other.__func__) and _same_object(one.__self__, other.__self__)
    if isinstance(one, partial) and isinstance(other, partial):
        given = [(each.args, each.keywords, each.__dict__) for each in (one, other)]
        return given[0] == given[1] and same_callable(one.func, other.func)
    return _same_object(one, other)


def _same_object(one: object, other: object) -> bool:
    if one is other or one == other:
        return True
    if type(one).__module__ != type(other).__module__ or type(one).__qualname__ != type(other).__qualname__:
        return False
    attributes = getattr(one, "__dict__", None)
    if any(getattr(kind, "__slots__", ()) for kind in type(one).__mro__):
        return False
    return bool(attributes) and attributes == getattr(other, "__dict__", None)


def _made_of(function: FunctionType) -> tuple[object, ...]:
    """Return what a function does: two of the same text, in modules whose constants differ, don't do the same."""
    code = function.__code__
    place = function.__module__, code.co_filename
    return *place, code, function.__defaults__, function.__kwdefaults__, _cells(function)


def _cells(function: FunctionType) -> list[object]:
    """Return what a function remembers of where it was made."""
    return [cell.cell_contents for cell in function.__closure__ or ()]


def _put(  # noqa: PLR0913  what `configure` is given, by name
    script: str,
    *,
    policy: PolicyChoice | None,
    identity: IdentityChoice | None,
    on_bad_edit: OnBadEdit,
    audit: AuditChoice | None,
    hooks: Hooks,
    show_errors: bool,
    shared: SharedChoice | None,
    history: int | None,
) -> Settings:
    served = _served.get(script, (None, None, None))
    policy = policy if policy is not None else served[0]
    identity = identity if identity is not None else served[1]
    shared = shared if shared is not None else served[2]
    audit = os.environ.get(AUDIT_VARIABLE) or None if audit is None else audit
    versions = kept(history)
    with _lock:
        known = _by_script.get(script)
        if known is None or shared is not None:
            replicas.join(shared, folder=Path(script).resolve().parent)  # before what is kept for the others
        answers = _answers(identity, known=known.identity if known is not None else ())
        if known is not None and known.choice == policy and known.on_bad_edit == on_bad_edit:
            same = known.hooks == hooks and known.show_errors is show_errors and known.history == versions
            if same and known.identity is answers and same_callable(known.audit, audit):
                return known
            made = replace(known, identity=answers, hooks=hooks, show_errors=show_errors, history=versions)
        else:
            made = Settings(
                choice=policy,
                on_bad_edit=on_bad_edit,
                store=_store(policy, folder=Path(script).resolve().parent, on_bad_edit=on_bad_edit),
                identity=answers,
                hooks=hooks,
                show_errors=show_errors,
                history=versions,
            )
        if known is not None and isinstance(known.store, RemoteStore) and known.store is not made.store:
            known.store.close()
        if known is not None and same_callable(known.audit, audit):
            made = replace(made, audit=known.audit, trail=known.trail)
        else:
            made = replace(made, audit=audit, trail=_trail(audit, folder=Path(script).resolve().parent))
        others = replicas.current()
        if others is not None and (known is None or made.recent is not known.recent):
            made.recent.share(others.requests)
        _by_script[script] = made
        return made


def _trail(audit: AuditChoice | None, *, folder: Path) -> Trail | None:
    others = replicas.current()
    if audit is None:
        return None if others is None else Trail(others.records)
    return trail_to(
        folder / audit if isinstance(audit, str | Path) else audit, also=None if others is None else others.records
    )


def _answers(identity: IdentityChoice | None, *, known: tuple[Answers, ...]) -> tuple[Answers, ...]:
    """Return the answers of the sources, with what is known already of those that are the same."""
    given = () if identity is None else tuple(identity) if isinstance(identity, list | tuple) else (identity,)
    made = tuple(_answers_of(source, known, place=place) for place, source in enumerate(given))
    return known if len(made) == len(known) and all(map(operator.is_, made, known)) else made


def _answers_of(source: IdentitySource, known: tuple[Answers, ...], *, place: int) -> Answers:
    for each in known:
        if each.place == place and same_callable(each.source, source) and each.limits == limits_of(source):
            each.source = source  # a rerun made it anew; the old one holds on to what the last run left
            return each
    others = replicas.current()
    return Answers(source, shelf=None if others is None else others.shelf, place=place)


def _store(policy: PolicyChoice | None, *, folder: Path, on_bad_edit: OnBadEdit) -> Store | Policy:
    if isinstance(policy, PolicyStore | Policy):
        return policy
    named = os.environ.get(POLICY_VARIABLE, "")
    if policy is None and is_address(named):
        policy = from_environment(url=named)
    if isinstance(policy, PolicyUrl):
        kept = Kept(folder_of(folder, environ=os.environ), of="the published policy")
        return RemoteStore(policy, kept=kept, on_bad_edit=on_bad_edit)
    path = discover(folder, environ=os.environ) if policy is None else folder / policy
    if policy is not None and not path.exists():
        raise ConfigurationError(
            f"no policy at {quote(policy)} (looked for relative to the main script's folder); `stguard init` writes one"
        )
    others = replicas.current()
    if others is None or not others.shared.policy:
        return PolicyStore(path, on_bad_edit=on_bad_edit)
    return others.policy(path, on_bad_edit=on_bad_edit)
