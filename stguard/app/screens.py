"""What people see: the sign-in page, refusals, messages, and who is signed in.

SECURITY: no sentence names a rule, a role, a permission or a file, but to who may see the policy; names that came with
the claims are shown as plain text, never as Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import streamlit as st

from stguard.app import asking, localaccounts, private, viewing
from stguard.app.place import OURS, at
from stguard.app.standing import Standing, session_memo, signing_in_keys, standing_or_none
from stguard.errors import PolicyFileError, Severity, StguardError
from stguard.model import BUILT_IN_PERMISSIONS, Decision, PermissionIs, Reason
from stguard.policy import Policy

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

LOCK: Final = ":material/lock:"
SIGN_IN: Final = ":material/login:"
WARNING: Final = ":material/warning:"
VIEWING: Final = ":material/visibility:"

UNAVAILABLE: Final = "Not available right now."
"""What is drawn beside the pages when access can't be checked; the page itself says more."""

NOT_ALLOWED: Final = "You don't have access to this."

NOT_CHECKED: Final = "Not available right now: it could not be checked what you may do. Please try again in a moment."
"""What a refusal says while an identity source can't be asked. Why it can't stands in the decision and in the log."""

_NOT_KNOWN: Final = frozenset({Reason.UNKNOWN, Reason.NO_ORG, Reason.NOT_A_MEMBER})
"""The refusals that a fact from an identity source could have turned."""

_SENTENCES: Final = {
    Reason.NOT_SIGNED_IN: "Please sign in to continue.",
    Reason.NO_ORG: "Choose an organization to continue.",
    Reason.NOT_A_MEMBER: "You are not a member of this organization.",
    Reason.UNKNOWN: "You don't have access to this: your sign-in did not bring what is needed to allow it.",
}
"""What a refusal says, by its reason; every other reason says only that there is no access."""

_KNOWN: Final = (
    ("Google", ("google",), ("accounts.google.com",)),
    ("Microsoft", ("microsoft", "entra", "azure"), ("login.microsoftonline.com", "sts.windows.net")),
    ("Okta", ("okta",), (".okta.com", ".oktapreview.com")),
    ("Auth0", ("auth0",), (".auth0.com",)),
    ("Amazon", ("cognito", "amazon"), (".amazonaws.com",)),
    ("Keycloak", ("keycloak",), ()),
    ("GitHub", ("github",), ("github.com",)),
    ("GitLab", ("gitlab",), ("gitlab.com",)),
    ("PropelAuth", ("propelauth",), (".propelauthtest.com", ".propelauth.com")),
)
"""Name to show, words in a section's name, ends of the host in its `server_metadata_url`."""

_LINKS: Final = re.compile(r"(@|https?|ftp|www)", re.IGNORECASE)
_UNSEEN: Final = re.compile(
    r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
)
"""Controls, marks of direction and widths of nothing; the joiners that scripts and emoji are made with stay."""

_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()<>#+\-!|~$:^&.])")


_SECRET: Final = re.compile(r"\be-mail `|\bto be `|\bemail\b.*@|\bsub\b")
_FORBID_ID: Final = re.compile(r" \(forbid [^)]*\)")

_ERRORS_SHOWN: Final = 3
"""Problems of a policy that are shown above a page; the log has all of them."""

_IN_SIGHT: Final = (
    "<style>div:has(> .st-key-stguard_view) {position: sticky; top: 3.75rem; z-index: 99; backdrop-filter: blur(1rem)}"
    "</style>"
)
"""Keeps the banner in sight while the page scrolls; a Streamlit that nests it another way lets it scroll along."""

_DETAILS: Final = (True, "full", "stacktrace")
"""Values of `client.showErrorDetails` with which Streamlit shows people what went wrong."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Name one way to sign in.

    Attributes:
        name: the section under `[auth]` in Streamlit's secrets; None for `[auth]` itself.
        label: what the button says.
    """

    name: str | None
    label: str


# --- signing in ------------------------------------------------------------------------------------------------------


@at(OURS)
def login_page(title: str = "Sign in", *, text: str | None = None) -> None:
    """Draw a sign-in page with a button for each provider configured under `[auth]` in Streamlit's secrets.

    Args:
        title: the heading.
        text: a sentence below it; None for the usual one.
    """
    asked = standing_or_none()
    if asked is not None and asked.view is not None:
        show_view(asked)  # who looks at the app as somebody else is signed in
        return
    if asked is not None and asked.over is not None:
        text = asked.over
    if asked is not None and asked.by_session:
        st.info(plain(text) if text is not None else "Please sign in to go on.", icon=LOCK)  # the script has the form
        return
    with _card():
        st.header(title, anchor=False, text_alignment="center")
        st.caption(plain(text) if text is not None else "Use your account to continue.", text_alignment="center")
        found = providers()
        for provider in found:
            st.button(
                provider.label,
                key=f"stguard_login_{provider.name or ''}",
                on_click=start_sign_in,
                args=(provider.name,),
                icon=SIGN_IN,
                type="primary" if len(found) == 1 else "secondary",
                width="stretch",
            )
        if not found:
            st.info("Sign-in is not set up for this app.", icon=LOCK)


def providers() -> tuple[Provider, ...]:
    """Return the ways to sign in: what Streamlit's secrets configure, in their order, and local accounts."""
    auth = _auth_section()
    named = tuple(
        Provider(name, _label(name, section))
        for name, section in auth.items()
        if isinstance(section, Mapping) and "client_id" in section
    )
    if "client_id" in auth:
        named = (Provider(None, _label("", auth)), *named)
    if not localaccounts.active():
        return named
    return (*named, Provider(localaccounts.PROVIDER, "Continue with a user name" if named else "Sign in"))


def start_sign_in(provider: str | None) -> None:
    """Send whoever asks to where they sign in, by the name of a `Provider`."""
    if provider == localaccounts.PROVIDER:
        localaccounts.start()
    elif provider is None:
        st.login()
    else:
        st.login(provider)


def _auth_section() -> Mapping[str, Any]:
    try:
        auth = st.secrets["auth"]
    except (KeyError, FileNotFoundError):
        return {}
    return auth if isinstance(auth, Mapping) else {}


def _label(name: str, section: Mapping[str, Any]) -> str:
    if isinstance(label := section.get("label"), str) and label:
        return f"Continue with {plain(label)}"
    host = urlsplit(str(section.get("server_metadata_url", ""))).hostname or ""
    for shown, words, ends in _KNOWN:
        if any(word in name.lower() for word in words) or (not name and host.endswith(ends or ("\0",))):
            return f"Continue with {shown}"
    own = name.replace("-", " ").strip()
    return f"Continue with {plain(own.title() if own == own.lower() else own)}" if own else "Sign in"


# --- refusing --------------------------------------------------------------------------------------------------------


def sentence(asked: Standing, decision: Decision) -> str:
    """Return the plain sentence for a refusal: what, never by which rule."""
    if asked.trouble is not None and decision.reason in _NOT_KNOWN:
        return NOT_CHECKED
    if decision.reason is Reason.NO_ORG and not asked.memberships():
        if asked.subject is not None and "memberships" in asked.subject.unknown:
            return NOT_CHECKED
        return "You are not a member of any organization in this app."
    return _SENTENCES.get(decision.reason, NOT_ALLOWED)


@at(OURS)
def show_refusal(asked: Standing, decision: Decision, *, brief: bool = False, locked: bool = False) -> None:
    """Draw a refusal, and how to go on.

    Args:
        asked: who asks.
        decision: the refusal.
        brief: one line in place, for a fragment or a part of a page.
        locked: also say what is missing (for a page whose policy says `on_deny: lock`).
    """
    text = sentence(asked, decision)
    if brief:
        st.error(text, icon=LOCK)
        return
    if decision.reason is Reason.NOT_SIGNED_IN:
        login_page()
        return
    show_view(asked)
    with _card():
        st.subheader(text, anchor=False)
        if locked and (missing := _tellable(decision)):
            st.write("This would open it:")
            for item in missing:
                st.markdown(f"- {plain(item)}")
        for hint in _ways_on(asked, decision):
            st.write(hint)
        if asked.view is not None:
            return
        if locked:
            asking.draw(asked, decision)
        _signed_in_as(asked)
        if not asked.by_session:
            st.button("Sign in with another account", key="stguard_switch_account", on_click=st.logout, icon=SIGN_IN)


def _tellable(decision: Decision) -> list[str]:
    """Return what is missing, as far as it may be told to whoever is refused.

    SECURITY: other people's e-mails and the ids of forbids stay in the log.
    """
    told = [item for item in decision.missing if not _SECRET.search(item)]
    return [_FORBID_ID.sub("", item).replace("`", "") for item in told]


def _ways_on(asked: Standing, decision: Decision) -> list[str]:
    several = len(asked.memberships()) > 1
    if decision.reason is Reason.NO_ORG and several:
        return ["Pick one of your organizations, and this page opens if you have access there."]
    ways = ["You may have access in another of your organizations."] if several else []
    return [*ways, "If you need access, ask an administrator of this app."]


def _signed_in_as(asked: Standing) -> None:
    who = asked.subject
    if who is None:
        return
    shown = " · ".join(part for part in (who.name, who.email, _org_name(asked)) if part)
    if shown:
        st.caption(f"Signed in as {plain(shown)}")


def _org_name(asked: Standing) -> str | None:
    org = asked.org
    membership = asked.policy.membership(asked.subject, org) if org is not None else None
    return membership.name or membership.org if membership is not None else None


def show_notices(asked: Standing) -> None:
    """Draw what was refused in callbacks before this run's body, once."""
    if not asked.memo.notices or private.in_callback(asked.ctx) or private.in_fragment_run(asked.ctx):
        return
    notices, asked.memo.notices = asked.memo.notices, []
    for text in dict.fromkeys(notices):
        st.error(text, icon=LOCK)


@at(OURS)
def show_view(asked: Standing) -> None:
    """Draw as whom the app is looked at, and the way to stop; once in a run, above everything else."""
    view = asked.view
    if view is None or private.in_callback(asked.ctx) or private.in_fragment_run(asked.ctx):
        return
    run = private.run_token(asked.ctx)
    drawn, view.drawn = view.drawn, (run, view.ended)
    if drawn is not None and drawn[0] is run:
        if drawn[1] != view.ended:
            st.rerun()  # it ended in the middle of the run
        return
    pressed, view.pressed = view.pressed, False
    who = plain(view.target.shown)
    with (
        private.main_area(),
        st.container(key="stguard_view", horizontal=True, vertical_alignment="center", gap="small"),
    ):
        if view.ended is None:
            # Not a toast, which would cover the button that ends it; and short, so that the button stays beside it.
            say, told = (st.error, "Your click did nothing") if pressed else (st.warning, "Nothing can be done")
            say(f"You see the app as **{who}**. {told} here.", icon=VIEWING)
        else:
            st.warning(f"You no longer see the app as **{who}**. {view.ended}", icon=VIEWING)
        st.html(_IN_SIGHT)
        label = "Stop" if view.ended is None else "Go on as yourself"
        st.button(label, key=viewing.STOP, on_click=_stop, icon=":material/close:")


def say_not_heard(view: viewing.View | None) -> None:
    """Say that what was clicked in a fragment did nothing, once: the banner isn't drawn then."""
    if view is not None and view.pressed:
        view.pressed = False
        st.toast(f"You are looking at the app as {plain(view.target.shown)}; nothing can be done here.", icon=VIEWING)


def _stop() -> None:
    """End a view: needs no right, only that it is on."""
    asked = standing_or_none()
    ctx, memo = private.context(), session_memo()
    if ctx is None or memo.view is None:
        return
    if asked is not None and asked.viewer is not None and memo.view.ended is None:
        asked.report_view(memo.view, asked.viewer, begins=False)
    viewing.end(ctx, memo, stays=signing_in_keys(ctx))


def show_bad_edit(asked: Standing) -> None:
    """Draw for who may see or edit the policy that its files have errors, and the first of them; once in a run.

    SECURITY: the problems name roles and people, so nobody else gets to see them.
    """
    store = asked.settings.store
    if isinstance(store, Policy) or private.in_callback(asked.ctx) or private.in_fragment_run(asked.ctx):
        return
    errors = [each for each in store.problems if each.severity is Severity.ERROR]
    if not errors or not any(asked.holds(PermissionIs((name,)), org=None) for name in BUILT_IN_PERMISSIONS):
        return
    told = [f"{each.file.rpartition('/')[2]} line {each.line}: {each.message}" for each in errors[:_ERRORS_SHOWN]]
    if len(errors) > _ERRORS_SHOWN:
        told.append(f"and {len(errors) - _ERRORS_SHOWN} more; `stguard check` lists them")
    lines = "".join(f"\n- {plain(line)}" for line in told)
    st.warning(f"The policy file has errors; the last good version stays in force.\n{lines}", icon=WARNING)


# --- messages --------------------------------------------------------------------------------------------------------


def show_problem(error: StguardError) -> None:
    """Draw a page that says that the app can't check access, and what its author must do. Nothing else opens.

    SECURITY: the problems of a policy name roles and people; they go to the log, not to whoever opens the app. What
    else is wrong is told where Streamlit shows errors, too (`client.showErrorDetails`).
    """
    with _card():
        st.subheader("This app is not available right now.", anchor=False)
        st.write("It could not check who may see what, so it shows nothing.")
        if isinstance(error, PolicyFileError):
            st.caption("For the author: the policy has errors. The log lists them, and so does `stguard check`.")
        elif st.get_option("client.showErrorDetails") in _DETAILS:
            st.caption(f"For the author: {error}")
        else:
            st.caption("For the author: the log says why.")


# --- text ------------------------------------------------------------------------------------------------------------


def plain(text: str) -> str:
    """Return text escaped so that Markdown shows it as it stands, on one line and as valid Unicode.

    Addresses and e-mails get an invisible word joiner, since Markdown makes links of them by itself.
    """
    return _LINKS.sub("\\1\N{WORD JOINER}", _MARKDOWN.sub(r"\\\1", one_line(text)))


def one_line(text: str) -> str:
    """Return text as it may be shown where no Markdown is read: on one line, as valid Unicode, without what is unseen.

    SECURITY: without control characters and marks that turn the direction, a name can't look like another by them.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    return " ".join(_UNSEEN.sub("", text).split())


def _card() -> DeltaGenerator:
    """Return a bordered container in the middle of the page."""
    middle: DeltaGenerator = st.columns([1, 2, 1])[1]
    return middle.container(border=True)
