"""The menu: `navigation` in place of `st.navigation`, with the pages that who asks may open.

A page is decided about before it is built, and again when it runs. What is refused is not registered with Streamlit:
no address, hash or `st.switch_page` reaches it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import streamlit as st
from streamlit.errors import StreamlitAPIException

from stguard.app import failures, listed, mediation, orgs, private, screens
from stguard.app.guard import rule_of
from stguard.app.place import OURS, Place, at
from stguard.app.private import StreamlitPage
from stguard.app.standing import Memo, Standing, log_once, standing
from stguard.errors import ConfigurationError, StguardError, quote
from stguard.model import OnDeny, Page, Reason, Rule, SignedIn
from stguard.policy import DEFAULT_PAGE

if TYPE_CHECKING:
    from stguard.model import Decision

PageLike = str | Path | Callable[[], object] | StreamlitPage
"""What `st.navigation` takes for a page."""

Pages = Sequence[PageLike] | Mapping[str, Sequence[PageLike]]

V1_FOLDER: Final = "pages"
"""A folder of this name beside the main script is run by Streamlit without the main script."""

_LOG: Final = logging.getLogger("stguard")
_SIGNED_IN: Final = SignedIn()


@dataclass(frozen=True, slots=True)
class _Entry:
    """One page as the author listed it.

    Attributes:
        given: what the author gave.
        name: its url path, as the policy names it.
        section: the menu section, None in a list.
        header: the key of the section in the mapping, empty in a list.
        extra: what the page function demands itself.
        link: whether it is an external link.
        default: whether the author made it the default page.
    """

    given: PageLike
    name: str
    section: str | None
    header: str
    extra: Rule | None
    link: bool
    default: bool


class GuardedPage(StreamlitPage):
    """Be a page that is decided about once more when it runs. Equal to the page object it was made from."""

    _stguard_entry: _Entry | None = None

    def run(self) -> None:
        """Run the page, or show the refusal when the policy no longer allows it."""
        place, ctx = self._settle(), private.context()
        if ctx is not None:
            private.run_at(ctx, place)
        with at(place), nullcontext() if place.free else failures.contained(standing(), page=place.page):
            super().run()

    def _settle(self) -> Place:
        """Decide, put a refusal in the page's place where it is refused, and return where the code belongs."""
        entry = self._stguard_entry
        if entry is None:
            return OURS
        try:
            asked = standing()
            decision = _decide(asked, entry)
        except StguardError as error:
            log_once(error)
            private.replace_source(self, _shows(error))
            return OURS
        asked.report(decision)
        if decision.allowed:
            screens.show_notices(asked)
            screens.show_bad_edit(asked)
            return Place(page=entry.name, section=entry.section, extra=entry.extra)
        private.replace_source(self, lambda: screens.show_refusal(asked, decision, locked=_locks(asked, entry)))
        return OURS

    def __eq__(self, other: object) -> bool:
        """Compare as the page the author made: `if page == home` keeps working."""
        entry = self._stguard_entry
        return self is other or (entry is not None and entry.given is other)

    def __hash__(self) -> int:
        """Hash as the page the author made."""
        entry = self._stguard_entry
        return hash(entry.given) if entry is not None else object.__hash__(self)


def navigation(
    pages: Pages,
    *,
    position: Literal["sidebar", "hidden", "top"] = "sidebar",
    expanded: bool | int = False,
) -> StreamlitPage:
    """Build the menu of the pages that who asks may open, and return the current page; as `st.navigation`.

    Pages that are refused are not registered. With nobody signed in, the sign-in page stands beside the public pages,
    and is what opens wherever a page needs a person. A default page that is refused gives way to the first page
    allowed. Where nothing may be opened, or access can't be checked, a page says so.

    Args:
        pages: page objects, paths and functions, in a list or by section, as for `st.navigation`. A page's name in the
            policy is its url path; a function's `@requires` counts besides.
        position: as for `st.navigation`.
        expanded: as for `st.navigation`.

    Returns:
        The current page; its `run()` asks once more before it runs.

    Raises:
        ConfigurationError: two pages share a url path, several are the default, a name in a guard is not declared, a
            folder `pages` lies beside the main script, or there is no script run.
    """
    ctx = private.context()
    if ctx is None:
        raise ConfigurationError("navigation() outside a script run; start the app with `streamlit run`")
    reject_pages_folder(private.main_script(ctx).resolve().parent)
    entries = _entries(pages)
    try:
        mediation.mediate(ctx)
        failures.install()
        asked = standing()
    except StguardError as error:
        log_once(error)
        return st.navigation([_stand_in(_shows(error), title="Not available")], position="hidden")
    menu_listed = {e.name: (e.section, e.extra) for e in entries if not e.link or e.section is not None}
    asked.memo.pages = listed.remember(private.script_key(ctx), menu_listed)
    try:
        screens.show_view(asked)
        if asked.view is not None and asked.view.ended is not None:
            return st.navigation([_stand_in(_shows_nothing, title="Ended")], position="hidden")
        orgs.settle(asked)
        menu = _menu(asked, entries)
    except (StguardError, StreamlitAPIException):
        raise  # the author's to mend
    except Exception:  # noqa: BLE001  an exception in deciding is a refusal of everything
        _LOG.exception("deciding about the menu failed; no page is shown")
        failure = ConfigurationError("deciding about the menu failed; the log says why")
        return st.navigation([_stand_in(_shows(failure), title="Not available")], position="hidden")
    current = st.navigation(menu, position=position, expanded=expanded)
    if asked.memo.goes_to is not None:
        _lead(asked.memo, menu, current)
    return current


def _lead(memo: Memo, menu: Mapping[str, Sequence[StreamlitPage]], current: StreamlitPage) -> None:
    """Go to the page that a callback has named, once; where it isn't in the menu, to the default page."""
    wanted, memo.goes_to = memo.goes_to, None
    pages = [page for section in menu.values() for page in section if not page.is_external]
    default = next((page for page in pages if private.is_default(page)), current)
    target = next((page for page in pages if wanted and private.page_name(page) == wanted), default)
    if target is not current:
        st.switch_page(target)


# --- what the author listed ------------------------------------------------------------------------------------------


def _entries(pages: Pages) -> list[_Entry]:
    if isinstance(pages, Mapping):
        sections = [(str(header), header or None, listed) for header, listed in pages.items()]
    elif isinstance(pages, str) or not isinstance(pages, Sequence):
        raise ConfigurationError(f"navigation takes a list or a mapping of pages, got {quote(type(pages).__name__)}")
    else:
        sections = [("", None, pages)]
    entries = [_entry(given, section, header) for header, section, listed in sections for given in listed]
    if not entries:
        raise ConfigurationError("navigation got no page; list at least one")
    _reject_duplicates(entries)
    return entries


def _entry(given: PageLike, section: str | None, header: str) -> _Entry:
    if isinstance(given, StreamlitPage):
        if not private.is_complete(given):
            raise ConfigurationError("an st.Page was made outside a script run; make it in the main script")
        source = private.page_source(given)
        name = private.page_name(given) or _inferred(source)
        return _Entry(
            given, name, section, header, rule_of(source), link=given.is_external, default=private.is_default(given)
        )
    if not isinstance(given, str | Path) and not callable(given):
        raise ConfigurationError(f"a page is a path, a function or an st.Page, got {quote(type(given).__name__)}")
    return _Entry(given, _inferred(given), section, header, rule_of(given), link=False, default=False)


def _inferred(source: object) -> str:
    """Return the url path that Streamlit infers from a file or a function."""
    if isinstance(source, str | Path):
        return private.file_page_name(str(source))
    return str(getattr(source, "__name__", ""))


def _reject_duplicates(entries: Sequence[_Entry]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise ConfigurationError(
                f"two pages have the url path {quote(entry.name)}; give one another url_path in st.Page"
            )
        seen.add(entry.name)
    if sum(entry.default for entry in entries) > 1:
        raise ConfigurationError("several pages have default=True; leave it on one")


def has_pages_folder(folder: Path) -> bool:
    """Tell whether a folder `pages` with scripts in it lies beside the main script."""
    # STREAMLIT 1.67: files in `pages/` are served without the main script, until a session has called st.navigation.
    try:
        return any(entry.suffix == ".py" for entry in (folder / V1_FOLDER).iterdir())
    except OSError:
        return False


def reject_pages_folder(folder: Path) -> None:
    """Raise a ConfigurationError where a folder `pages` with scripts in it lies beside the main script."""
    if has_pages_folder(folder):
        raise ConfigurationError(
            "the folder `pages` beside the main script is served by Streamlit without any check; "
            "rename it, for example to `views`"
        )


# --- deciding --------------------------------------------------------------------------------------------------------


def _decide(asked: Standing, entry: _Entry) -> Decision:
    """Decide about one page with its reason."""
    return _decide_in(asked, entry, org=asked.org)


def _decide_in(asked: Standing, entry: _Entry, *, org: str | None) -> Decision:
    if entry.link and entry.name not in asked.policy.parts.pages and DEFAULT_PAGE not in asked.policy.parts.pages:
        return _decide_link(asked, entry, org=org)
    return asked.opens(entry.name, section=entry.section, extra=entry.extra, org=org)


def _decide_link(asked: Standing, entry: _Entry, *, org: str | None) -> Decision:
    """Decide about a link that no rule names: for who is signed in, and as its section says."""
    rule = asked.policy.parts.sections.get(entry.section) if entry.section is not None else None
    return asked.opens(entry.name, section=None, extra=rule if rule is not None else _SIGNED_IN, org=org)


def _allowed(asked: Standing, entry: _Entry, *, listed: frozenset[str], org: str | None) -> bool:
    """Decide about one page without its reason; the usual case is one look-up in what may be opened."""
    if entry.name in asked.policy.parts.pages and entry.name not in listed:
        return False
    by_section = asked.policy.parts.sections.get(entry.section) if entry.section is not None else None
    if entry.name in listed and by_section is None:
        return entry.extra is None or asked.holds(entry.extra, org=org)
    return _decide_in(asked, entry, org=org).allowed


def _policy_page(asked: Standing, entry: _Entry) -> Page | None:
    pages = asked.policy.parts.pages
    return pages.get(entry.name) or pages.get(DEFAULT_PAGE)


def _locks(asked: Standing, entry: _Entry) -> bool:
    rule = _policy_page(asked, entry)
    return rule is not None and rule.on_deny is OnDeny.LOCK


# --- the menu --------------------------------------------------------------------------------------------------------


def _menu(asked: Standing, entries: Sequence[_Entry]) -> dict[str, list[StreamlitPage]]:
    org = asked.org
    listed = asked.pages(org=org)
    allowed = {id(entry) for entry in entries if _allowed(asked, entry, listed=listed, org=org)}
    locked = {
        id(entry)
        for entry in entries
        if asked.subject is not None and id(entry) not in allowed and not entry.link and _locks(asked, entry)
    }
    shown = [entry for entry in entries if id(entry) in allowed or id(entry) in locked]
    own = next((entry for entry in entries if entry.default), entries[0])
    default = own if id(own) in allowed and not own.link else _fallback(shown, allowed)
    wanted = private.asked_page(asked.ctx)
    ours = _our_pages(asked, entries, shown, wanted=wanted, keeps_default=default is own)
    if default is not own and default is not None and (asked.subject is None or wanted == default.name):
        # STREAMLIT 1.67: the default page has no address but the root, so a page that is asked for by its own must not
        # be the default in this run.
        if asked.subject is not None:
            ours.append(_stand_in(_shows_nothing, title="Start", path=_free("start", entries), visibility="hidden"))
        default = None
    menu: dict[str, list[StreamlitPage]] = {"": []} if ours else {}
    for entry in shown:
        page = _build(asked, entry, default=entry is default, locked=id(entry) in locked)
        menu.setdefault(entry.header, []).append(page)
    if ours:
        menu[""] += ours
    return menu


def _fallback(shown: Sequence[_Entry], allowed: set[int]) -> _Entry | None:
    """Return the first page that can stand for the default page: open before locked, in the menu before hidden."""
    pages = [entry for entry in shown if not entry.link]
    visible = (e for e in pages if id(e) in allowed and not _author_hides(e))
    return next(visible, next((e for e in pages if id(e) in allowed), pages[0] if pages else None))


def _author_hides(entry: _Entry) -> bool:
    return isinstance(entry.given, StreamlitPage) and entry.given.visibility == "hidden"


def _build(asked: Standing, entry: _Entry, *, default: bool, locked: bool) -> GuardedPage:
    page = entry.given if isinstance(entry.given, StreamlitPage) else st.Page(entry.given)  # type: ignore[arg-type]  # its result is not used
    rule = _policy_page(asked, entry)
    changes: dict[str, Any] = {"default": default}
    if rule is not None and rule.hidden:
        changes["visibility"] = "hidden"
    if locked:
        changes["icon"] = screens.LOCK
    made = private.copy_page(page, GuardedPage, **changes)
    made._stguard_entry = entry  # noqa: SLF001  an attribute of our own class
    return made


def _our_pages(
    asked: Standing, entries: Sequence[_Entry], shown: Sequence[_Entry], *, wanted: str, keeps_default: bool
) -> list[StreamlitPage]:
    """Return the pages of ours that stand where nothing else may: sign-in, a refusal, the choice of an org."""
    lost = bool(wanted) and wanted not in {entry.name for entry in shown if not entry.link}
    if lost and (asked_for := next((entry for entry in entries if entry.name == wanted), None)) is not None:
        asked.remember_refusal(_decide(asked, asked_for))  # what no page of ours may tell them
    if asked.subject is None:
        # Any address that isn't public shows the sign-in page, listed or not: what exists stays unknown.
        shows: Callable[[], None] = screens.login_page
        title, icon, path = "Sign in", screens.SIGN_IN, _free("sign-in", entries)
    elif not any(not entry.link for entry in shown):
        shows = partial(_shows_refusal, _why_nothing(asked, entries))
        title, icon, path = "No access", screens.LOCK, _free("no-access", entries)
    else:
        return _choose_org(asked, entries, wanted) if lost else []
    pages: list[StreamlitPage] = [_stand_in(shows, title=title, icon=icon, path=path, default=not keeps_default)]
    if lost and wanted != path:
        pages.append(_stand_in(shows, title=title, icon=icon, path=wanted, default=False, visibility="hidden"))
    return pages


def _why_nothing(asked: Standing, entries: Sequence[_Entry]) -> Decision:
    """Return the refusal that says most: one that the person can do something about comes first."""
    decisions = [_decide(asked, entry) for entry in entries]
    telling = (Reason.NO_ORG, Reason.UNKNOWN, Reason.NOT_A_MEMBER)
    return min(decisions, key=lambda d: telling.index(d.reason) if d.reason in telling else len(telling))


def _choose_org(asked: Standing, entries: Sequence[_Entry], wanted: str) -> list[StreamlitPage]:
    """Return a page for an address that would open in one of the subject's orgs, when none is active; else nothing."""
    if not asked.policy.multi_tenant or asked.org is not None:
        return []
    entry = next((entry for entry in entries if entry.name == wanted and not entry.link), None)
    mine = asked.memberships()
    if entry is None or not any(_decide_in(asked, entry, org=membership.org).allowed for membership in mine):
        return []
    refuses = partial(_shows_refusal, _decide(asked, entry))
    return [_stand_in(refuses, title="Choose an organization", path=wanted, default=False, visibility="hidden")]


def _stand_in(
    shows: Callable[[], None],
    *,
    title: str,
    icon: str = screens.LOCK,
    path: str = "not-available",
    default: bool = True,
    visibility: str = "visible",
) -> GuardedPage:
    """Return a page of our own. `path` may be what the browser asked for: it is only compared with that again."""
    page = st.Page(shows, title=title, icon=icon, url_path="stguard", default=default)
    return private.copy_page(page, GuardedPage, url_path=path, visibility=visibility)


def _free(name: str, entries: Sequence[_Entry]) -> str:
    taken = {entry.name for entry in entries}
    while name in taken:
        name += "-"
    return name


def _shows_nothing() -> None:
    """Be the source of a page that is registered and never run."""


def _shows_refusal(decision: Decision) -> None:
    screens.show_refusal(standing(), decision)


def _shows(error: StguardError) -> Callable[[], None]:
    return partial(screens.show_problem, error)
