"""Who asks, under which policy, in which org, now: the one place where `st.user` is read.

The claims are read once in a run, and again in the next; the subject made of them is kept in the session as long as
claims, facts and policy are the same. The policy in force is asked for at each call.
"""

from __future__ import annotations

import logging
import operator
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING, Final

import streamlit as st

from stguard import lifetime
from stguard.app import listed, logins, private, told, viewing, wishes
from stguard.app.settings import Settings, known_settings, settings_of
from stguard.audit import Event, Record, impersonal
from stguard.claims import widened
from stguard.errors import ConfigurationError, StguardError, quote
from stguard.model import EMPTY, AllOf, Claims, Decision, Facts, PermissionIs, Reason, Rule, Subject
from stguard.sources import authenticator
from stguard.sources.answers import BLOCKED, Answer, Answers, joined
from stguard.tally import Tallies

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from stguard.app.private import ScriptRunContext
    from stguard.audit import Actor
    from stguard.model import Membership
    from stguard.policy import Policy
    from stguard.sources.authenticator import AuthenticatorSession


MEMO_KEY: Final = "_stguard"
"""Key in the session state under which stguard keeps what it worked out."""

ENDED: Final = "Your sign-in has ended. Please sign in again."
"""What the sign-in page says to who was signed in for too long."""

FAILED: Final = "Sign-in did not work. Please try again."
"""What the sign-in page says to who comes back from the provider without a login."""

NO_SIGN_IN: Final = (
    "sign-in is not configured: `st.user` has no `is_logged_in`; "
    "add an [auth] section to .streamlit/secrets.toml, or start the app with `stguard dev`"
)

ENFORCED: Final[Tallies[Reason]] = Tallies(Reason)
"""Decisions that were enforced in this process, by their reason; what only was asked (`sg.can`) is not counted."""

_LOG: Final = logging.getLogger("stguard")
_DECISIONS: Final = logging.getLogger("stguard.decision")


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """Whom the identity sources are asked about: with each, the claims it gets and the key they have there.

    None for the key of a source that makes its own: it may tell a login that has just ended from one that counts.
    """

    claims: Claims
    sources: tuple[Answers, ...]
    about: tuple[tuple[Claims, Hashable | None], ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """The subject made of some claims and answers under one policy.

    Attributes:
        blocked: why the account counts as nobody, for the person; None when it doesn't.
        trouble: why a source could not be asked, in plain words; None when none failed.
    """

    claims: Claims
    policy: Policy
    answers: tuple[Answer, ...]
    subject: Subject | None
    ends_at: float
    blocked: str | None = None
    trouble: str | None = None


class Memo:
    """Keep, for one session, what was worked out from its claims.

    Parallel fragments share it: what belongs together is one value, replaced at once.
    """

    __slots__ = (
        "asked",
        "goes_to",
        "known",
        "navigates",
        "news",
        "notices",
        "pages",
        "problem",
        "signed_in",
        "tokens",
        "told",
        "view",
        "wishes",
    )

    def __init__(self) -> None:
        """Start with nothing known."""
        self.known: _Known | None = None
        self.asked: _Asked | None = None
        self.tokens: Mapping[str, object] = EMPTY
        self.signed_in: dict[str, object] = {}
        self.pages: listed.Menu = listed.NOTHING
        self.notices: list[str] = []
        self.news: list[str] = []
        self.navigates = False
        self.problem = ""
        self.told = told.Told()
        self.wishes = wishes.Wishes()
        self.goes_to: str | None = None
        self.view: viewing.View | None = None

    def __reduce__(self) -> tuple[type[Memo], tuple[()]]:
        """Pickle as an empty memo: everything in it can be worked out again."""
        return Memo, ()


@dataclass(slots=True, eq=False)
class Run:
    """Remember the claims read in one run, from what, and what the session remembers.

    Another one in each run, and after `st.logout` in the middle of one.

    Attributes:
        bound: what `mediation` last bound in this run, and under which circumstances.
    """

    token: object
    user: dict[str, object]
    claims: Claims | None
    memo: Memo
    bound: tuple[object, object] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """Say who asks under which policy at this moment.

    Attributes:
        ctx: the script run.
        settings: what the app is configured with.
        policy: the policy in force now.
        subject: who asks; None when nobody is signed in.
        memo: what the session remembers.
        over: a sentence for who has or wants a login and counts as nobody (it has ended, it did not work, the account
            is blocked): why; None when they count, and for who never tried.
        trouble: why an identity source could not be asked, in plain words; None when none failed.
        claims: the claims of who is signed in; None for nobody.
        viewer: who is signed in and looks at the app as the subject; None where the two are the same.
    """

    ctx: ScriptRunContext
    settings: Settings
    policy: Policy
    subject: Subject | None
    memo: Memo
    over: str | None = None
    trouble: str | None = None
    claims: Claims | None = None
    viewer: Subject | None = None

    @property
    def view(self) -> viewing.View | None:
        """As whom the app is looked at; None where nobody looks as somebody else."""
        return None if self.viewer is None else self.memo.view

    @property
    def by_session(self) -> bool:
        """Whether a form of the script's own signs people in, so that `st.login` and `st.logout` do nothing."""
        return authenticator.among(each.source for each in self.settings.identity) is not None

    @property
    def org(self) -> str | None:
        """The active org: the one that is wished for, when the subject is a member there now.

        SECURITY: the wish comes from the browser (a widget, the address). A wish that isn't granted leaves no org
        active; another org in its place would let an action that was meant for one org happen in another.
        """
        if self.subject is None or not self.policy.multi_tenant:
            return None
        wish = self.wish
        return wish if isinstance(wish, str) and self.is_member(wish) else None

    def is_member(self, org: str) -> bool:
        """Tell whether who asks is a member of an org now, and who looks at the app as them is too."""
        if self.policy.membership(self.subject, org) is None:
            return False
        return self.viewer is None or self.policy.membership(self.viewer, org) is not None

    def memberships(self) -> tuple[Membership, ...]:
        """Return the orgs in which who asks is a member now, with the roles held there."""
        mine = self.policy.memberships(self.subject)
        return mine if self.viewer is None else tuple(each for each in mine if self.is_member(each.org))

    @property
    def wish(self) -> object:
        """The org that is wished for, unverified; None for none."""
        if self.subject is None:
            return None
        script = private.script_key(self.ctx)
        return wishes.wished(self.policy, self.subject, script=script, wishes=self.memo.wishes)

    def both(self, decide: Callable[[Subject | None], Decision]) -> Decision:
        """Decide about who asks and, where somebody looks at the app as them, about who looks as well.

        INVARIANT: who looks as somebody else is never allowed what is refused to them alone.
        """
        decision = decide(self.subject)
        return decision if self.viewer is None or not decision.allowed else decide(self.viewer)

    def decide(self, rule: Rule, *, org: str | None) -> Decision:
        """Decide what code demands. Refuses when deciding fails."""
        checked = self.settings.check(rule, policy=self.policy)
        if isinstance(checked, PermissionIs) and len(checked.names) == 1:
            # The same answer, with the permission itself as the action.
            name = checked.names[0]
            return _guarded(lambda: self.both(lambda who: self.policy.decide(who, name, org=org)), action=name)
        return _guarded(lambda: self.both(lambda who: self.policy.explain(who, checked, org=org)), action="rule")

    def holds(self, rule: Rule, *, org: str | None) -> bool:
        """Tell whether what code asks holds. False when deciding fails."""
        checked = self.settings.check(rule, policy=self.policy)
        if not _guarded_bool(lambda: self.policy.holds(self.subject, checked, org=org)):
            return False
        return self.viewer is None or _guarded_bool(lambda: self.policy.holds(self.viewer, checked, org=org))

    def opens(self, page: str, *, section: str | None, extra: Rule | None, org: str | None) -> Decision:
        """Decide about a page as the menu asks. Refuses when deciding fails."""
        checked = None if extra is None else self.settings.check(extra, policy=self.policy)
        return _guarded(
            lambda: self.both(lambda who: self.policy.opens(who, page, section=section, extra=checked, org=org)),
            action=f"page:{page}",
        )

    def pages(self, *, org: str | None) -> frozenset[str]:
        """Return the pages of the policy that its own rules open."""
        mine = frozenset(self.policy.pages(self.subject, org=org))
        return mine if self.viewer is None else mine & frozenset(self.policy.pages(self.viewer, org=org))

    def page(self, page: str, *, org: str | None) -> Decision:
        """Decide about a page as the menu does: with its section and what its function demands.

        As this session's menu last listed it; before there is one, in each way a menu of the process has. Of a page
        that no menu has listed neither section nor function is known: then the rule of every section must hold, and
        what `requires` demands of any function that has the page's name.
        """
        mine = self.memo.pages.get(page)
        if mine is not None:
            return self._as_listed(page, mine, org=org)
        script = private.script_key(self.ctx)
        listings = listed.listings(script, page)
        if listings:
            decisions = [self._as_listed(page, listing, org=org) for listing in listings]
            return next((decision for decision in decisions if not decision.allowed), decisions[0])
        decision = self._by_policy(page, org=org)
        rules = (*self.policy.parts.sections.values(), *listed.demands(script, page))
        if not rules or not decision.allowed:
            return decision
        return self._as_listed(page, (None, AllOf(rules)), org=org)

    def _by_policy(self, page: str, *, org: str | None) -> Decision:
        action = f"page:{page}"
        return _guarded(lambda: self.both(lambda who: self.policy.decide(who, action, org=org)), action=action)

    def _as_listed(self, page: str, listing: listed.Listing, *, org: str | None) -> Decision:
        section, extra = listing
        if section is None and extra is None:
            return self._by_policy(page, org=org)
        try:
            if extra is not None:
                self.settings.check(extra, policy=self.policy)
        except ConfigurationError:
            # What is remembered may be older than the code and the policy are; `navigation` names what is wrong now.
            return refused(f"page:{page}")
        return self.opens(page, section=section, extra=extra, org=org)

    def report(self, decision: Decision) -> None:
        """Tell the log and the audit of a decision that is about to be enforced: a refusal always, else once."""
        if self.viewer is None:
            ENFORCED.add(decision.reason)
        if not decision.allowed:
            self.remember_refusal(decision)
            fields = self._fields(decision)
            _DECISIONS.info(
                "refused %s to %s: %s, rule %s, org %s, policy %s",
                quote(fields["action"]),
                self._named(),
                decision.reason.value,
                quote(fields["rule"]),
                quote(decision.org),
                self.policy.version,
                extra=fields,
            )
        who = None if self.subject is None else self.subject.id
        if self.settings.trail is not None and self.memo.told.first(decision, who):
            told.tell(
                self.settings.trail,
                decision,
                subject=self.subject,
                policy=self.policy,
                session=private.session_id(self.ctx),
                event=Event.DECISION if self.viewer is None else Event.VIEW_AS,
            )

    def _fields(self, decision: Decision) -> dict[str, object]:
        """Return what a formatter for programs adds to the line of the log, under the names of the audit's records."""
        return {
            "subject": None if self.subject is None else self.subject.id,
            "org": decision.org,
            "action": told.action(decision, self.policy),
            "allowed": decision.allowed,
            "reason": decision.reason.value,
            "rule": None if decision.rule is None else impersonal(decision.rule),
            "policy": self.policy.version,
            "impersonator": None if self.subject is None else self.subject.impersonator,
        }

    def remember_refusal(self, decision: Decision) -> None:
        """Remember a refusal for admins; what is refused to who only looks was refused to nobody."""
        if self.viewer is None:
            self.settings.recent.refused(self.subject, decision)

    @property
    def actor(self) -> Actor:
        """Who does something in this run, as records of the audit name them."""
        return told.actor(self.subject, session=private.session_id(self.ctx))

    def report_view(self, view: viewing.View, viewer: Subject, *, begins: bool) -> None:
        """Tell the log and the audit that somebody begins or ends to look at the app as somebody else."""
        viewing.tell_log(view, viewer, begins=begins)
        if self.settings.trail is not None:
            record = Record.of(
                told.actor(viewer, session=private.session_id(self.ctx)),
                at=time.time(),
                event=Event.VIEW_AS,
                org=view.target.org,
                action="view_as:start" if begins else "view_as:stop",
                allowed=True,
                reason=view.target.id,
                policy=self.policy.version,
            )
            self.settings.trail.tell(lambda: record)

    def _named(self) -> str:
        who = self.subject
        if who is None:
            return quote("nobody signed in")
        return quote(who.id) + (f" (as whom {quote(who.impersonator)} acts)" if who.impersonator is not None else "")


def _guarded(decide: Callable[[], Decision], *, action: str) -> Decision:
    # INVARIANT: any exception in deciding is a refusal; only what the author must mend is raised.
    try:
        return decide()
    except StguardError:
        raise
    except Exception:  # noqa: BLE001  see above
        _LOG.exception("deciding %s failed; refused", quote(action))
        return refused(action)


def _guarded_bool(decide: Callable[[], bool]) -> bool:
    try:
        return decide() is True
    except StguardError:
        raise
    except Exception:  # noqa: BLE001  as above
        _LOG.exception("deciding failed; refused")
        return False


def refused(action: str) -> Decision:
    """Return the refusal of a question that could not be decided."""
    return Decision(allowed=False, reason=Reason.UNKNOWN, action=action, org=None, at=time.time())


def standing() -> Standing:
    """Find out who asks under which policy, now; where somebody looks at the app as somebody else, that is whom.

    Raises:
        ConfigurationError: outside a script run, inside a cached function, without configured sign-in, or without a
            policy.
        PolicyFileError: the policy can't be loaded.
    """
    own = _own_standing()
    return own if own.memo.view is None else _viewed(own, own.memo.view)


def _viewed(own: Standing, view: viewing.View) -> Standing:
    """Return how whom is looked at stands, or that nothing opens any more: asked at each use."""
    who = own.subject
    if who is None or not view.is_of(who):
        viewing.drop(own.ctx, own.memo)
        if view.ended is None:
            own.report_view(view, view.viewer, begins=False)
        return own
    lasted = view.ended is None
    subject = view.subject(own.policy, who, at=time.time())
    if lasted and view.ended is not None:
        own.report_view(view, who, begins=False)
    return replace(own, subject=subject, viewer=who, over=view.ended)


def _own_standing() -> Standing:
    """Find out who is signed in."""
    ctx = private.context()
    if ctx is None:
        raise ConfigurationError(
            "access was asked for outside a script run, where nobody is known to ask; "
            "ask in the app's script and hand the answer on"
        )
    if private.in_cached_function():
        # SECURITY: the answer for one person would be kept for everybody.
        raise ConfigurationError(
            "access was asked for inside a cached function, whose result is kept for everybody; "
            "put the guard outside: `@sg.requires(...)` above `@st.cache_data`"
        )
    settings = settings_of(ctx)
    policy = settings.policy()
    run = this_run(ctx)
    known = _known(run.claims, settings, policy, run.memo)
    if known is None or known.subject is None:
        over = known.blocked if known is not None else None
        if run.claims is None and private.sign_in_failed(ctx):
            over = FAILED
        elif run.claims is None and private.sign_in_ended(ctx):
            over = ENDED  # the gateway has taken the login out
        return Standing(ctx, settings, policy, None, run.memo, over=over, claims=run.claims)
    acts = private.in_callback(ctx) or not private.in_fragment_run(ctx)
    if logins.over(policy, known.subject, ends_at=known.ends_at, acts=acts):
        return Standing(ctx, settings, policy, None, run.memo, over=ENDED, claims=run.claims)
    return Standing(ctx, settings, policy, known.subject, run.memo, trouble=known.trouble, claims=known.claims)


def subject_of(claims: Claims, settings: Settings, policy: Policy, memo: Memo) -> Subject | None:
    """Return who claims stand for under a policy now, also outside a script run; None when the login has ended."""
    known = _known(claims, settings, policy, memo)
    if known is None or known.subject is None:
        return None
    over = logins.over(policy, known.subject, ends_at=known.ends_at, acts=False)
    return None if over else known.subject


def subject_with(claims: Claims | None, facts: Facts, policy: Policy) -> Subject | None:
    """Return who claims stand for with what identity sources said; None for nobody, and for a blocked account."""
    if facts.blocked is not None:
        return None
    return policy.subject(
        widened(claims, facts.claims),
        roles=facts.roles,
        groups=facts.groups,
        memberships=facts.memberships,
        unknown=facts.unknown,
        complete=facts.complete,
        active_org=facts.active_org,
        impersonator=facts.impersonator,
    )


def standing_under(asked: Standing, policy: Policy) -> Standing:
    """Return how who asks would stand under another policy: with the same claims and facts, once they sign in anew."""
    known = asked.memo.known
    subject = None
    if asked.subject is not None and known is not None:
        # SECURITY: made anew of the claims; what the subject holds was read by the rules of the policy in force.
        subject = subject_with(known.claims, joined(known.answers) if known.answers else _NOTHING_ADDED, policy)
    if subject is not None and not lifetime.lets_in(policy, subject, at=time.time()):
        subject = None
    return replace(asked, policy=policy, subject=subject)


def standing_or_none() -> Standing | None:
    """Find out who asks, for what is drawn beside the pages: None, and a line in the log, where it can't be known.

    Raises:
        ConfigurationError: outside a script run.
    """
    try:
        return standing()
    except StguardError as error:
        if private.context() is None:
            raise
        log_once(error)
        return None


def log_once(error: StguardError) -> None:
    """Log what keeps the app from checking access, once in a session."""
    notice = str(error)
    memo = session_memo()
    if memo.problem != notice:
        memo.problem = notice
        _LOG.error("access can't be checked, nothing is shown: %s", notice)


def session_memo() -> Memo:
    """Return what this session remembers, made at first need."""
    memo = st.session_state.get(MEMO_KEY)
    if not isinstance(memo, Memo):
        memo = Memo()
        ctx = private.context()
        pinned = private.pinned(ctx) if ctx is not None else None
        if isinstance(pinned, viewing.View):
            memo.view = pinned  # `st.session_state.clear()` of a page doesn't end a view
        st.session_state[MEMO_KEY] = memo
    return memo


def this_run(ctx: ScriptRunContext) -> Run:
    """Return what was read in this run: who is signed in, or nobody; `st.user` is read once in a run."""
    source = _session_source(ctx)
    if source is not None:
        _read_session(ctx, source)
    live, token = live_user(ctx), private.run_token(ctx)
    run = private.recall(ctx)
    # `st.logout` empties the user in the middle of a run, and a form of the script's own signs in there.
    if not isinstance(run, Run) or run.token is not token or run.user != live:
        memo = session_memo()
        claims, memo.tokens = _read_user() if source is None else (dict(live) or None, EMPTY)
        run = Run(token, dict(live), claims, memo)
        wishes.read_address(memo.wishes)
        private.remember(ctx, run)
    return run


def live_user(ctx: ScriptRunContext) -> Mapping[str, object]:
    """Return the dict that says who is signed in now; it is empty, or says so, when that has ended."""
    return private.live_user(ctx) if _session_source(ctx) is None else session_memo().signed_in


def _session_source(ctx: ScriptRunContext) -> AuthenticatorSession | None:
    """Return the identity source that finds who is signed in in the session state; None: `st.user` says it."""
    settings = known_settings(ctx)
    return authenticator.among(each.source for each in settings.identity) if settings and settings.identity else None


def signing_in_keys(ctx: ScriptRunContext) -> tuple[str, ...]:
    """Return the keys of the session state that say who is signed in; empty where `st.user` says it."""
    source = _session_source(ctx)
    return () if source is None else source.names


def _read_session(ctx: ScriptRunContext, source: AuthenticatorSession) -> None:
    """Note who is signed in by the session state; asked at each use, since a form in the page may have changed it.

    Raises:
        ConfigurationError: a widget has a key that says who is signed in.
    """
    written = private.keys_of_widgets(ctx, source.names)
    signed_in = session_memo().signed_in
    found = None
    if not written:
        found = source.claims_in(st.session_state)  # type: ignore[arg-type]  # keys are texts
    if signed_in != found:
        signed_in.clear()
        signed_in.update(found or {})
    if written:
        # SECURITY: what a browser sends for that widget would be who is signed in.
        raise ConfigurationError(
            f"a widget has the key {quote(written[0])}, under which streamlit-authenticator keeps who is signed in; "
            "give the widget another key"
        )


def _read_user() -> tuple[Claims | None, Mapping[str, object]]:
    """Return the claims of who is signed in, None for nobody; and their tokens, for sources that need them."""
    user = st.user.to_dict()
    if "is_logged_in" not in user:
        raise ConfigurationError(NO_SIGN_IN)
    if user["is_logged_in"] is not True:
        return None, EMPTY
    tokens = user.pop("tokens", None)
    return user, dict(tokens) if isinstance(tokens, Mapping) else EMPTY


def _known(claims: Claims | None, settings: Settings, policy: Policy, memo: Memo) -> _Known | None:
    if claims is None:
        return None
    answers = _answers(claims, settings, memo)
    known = memo.known
    if (
        known is not None
        and known.policy is policy
        and len(known.answers) == len(answers)
        and all(map(operator.is_, known.answers, answers))
        and _same_claims(known.claims, claims)
    ):
        return known
    try:
        facts = joined(answers) if answers else _NOTHING_ADDED
        subject = subject_with(claims, facts, policy)
    except Exception:  # noqa: BLE001  claims of a shape nobody thought of must not open anything
        _LOG.exception("claims could not be read; they count as nobody")
        return None
    # Not read back: another thread of the session may have put what it found under another policy there.
    found = memo.known = _Known(
        claims,
        policy,
        answers,
        subject,
        inf if subject is None else lifetime.ends_at(policy, subject),
        blocked=_sentence(facts.blocked),
        trouble=next((answer.failure for answer in answers if answer.failure is not None), None),
    )
    if subject is not None:
        settings.recent.saw(subject, claims, facts)
    return found


def _sentence(blocked: object) -> str | None:
    return blocked if blocked is None or (isinstance(blocked, str) and blocked) else BLOCKED


def _same_claims(one: Claims, other: Claims) -> bool:
    # SECURITY: `True == 1`, but only one of them verifies an e-mail.
    return one is other or (one == other and repr(one) == repr(other))


def _answers(claims: Claims, settings: Settings, memo: Memo) -> tuple[Answer, ...]:
    """Return what each identity source says about somebody now."""
    sources = settings.identity
    if not sources:
        return ()
    asked = memo.asked
    if asked is None or asked.claims is not claims or asked.sources is not sources:
        given = [{**claims, "tokens": memo.tokens} if each.needs_tokens else claims for each in sources]
        about = tuple(
            (whom, None if each.makes_keys else each.key(whom)) for each, whom in zip(sources, given, strict=True)
        )
        asked = memo.asked = _Asked(claims, sources, about)
    return tuple(each.get(whom, key=key) for each, (whom, key) in zip(sources, asked.about, strict=True))


_NOTHING_ADDED: Final = Facts()
