"""People whom the package streamlit-authenticator signed in: who they are stands in the session state.

They never pass `st.login`, so that `st.user` knows nothing of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from stguard.errors import ConfigurationError, quote
from stguard.model import Facts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stguard.model import Claims

STATUS: Final = "authentication_status"
USERNAME: Final = "username"
_PERSON: Final = ("name", "email", "roles")


class AuthenticatorSession:
    """Take who is signed in from streamlit-authenticator: `sg.configure(identity=AuthenticatorSession(credentials))`.

    Then `st.login` plays no role. Call `authenticator.login()` above `sg.navigation`: it draws the form. The `sub` is
    the username; a policy names it as `streamlit-authenticator|ann`. An e-mail there is what somebody typed in: it
    counts where the policy says `identity: {trust_email: true}`.

    SECURITY: whoever knows the cookie's key signs in as anybody; the package's default is public. The session state is
    the server's, but for the keys of widgets, which the browser writes: such a key is refused.

    Attributes:
        issuer: the `iss` of these people.
    """

    issuer: ClassVar[str] = "streamlit-authenticator"

    def __init__(self, credentials: Mapping[str, Any] | None = None) -> None:
        """Take what the package was given.

        Args:
            credentials: the same as `stauth.Authenticate` was given, with `usernames`. Only the status and
                the username are then taken from the session state, the rest stands here: who is removed here is
                signed out, and a role taken away counts no longer. None: everything is taken from the session state,
                as it was at sign-in.

        Raises:
            ConfigurationError: it has no `usernames`.
        """
        if credentials is not None and not (
            isinstance(credentials, Mapping) and isinstance(credentials.get("usernames"), Mapping)
        ):
            raise ConfigurationError(
                "credentials of AuthenticatorSession are those of streamlit-authenticator, with `usernames`; got "
                f"{quote(type(credentials).__name__)}"
            )
        self._credentials: Final = credentials

    @property
    def names(self) -> tuple[str, ...]:
        """Return the keys of the session state that are read."""
        return (STATUS, USERNAME) if self._credentials is not None else (STATUS, USERNAME, *_PERSON)

    def __eq__(self, other: object) -> bool:
        """Compare by what is read: a rerun makes it anew, with credentials that the package may have written to."""
        return isinstance(other, AuthenticatorSession) and self.names == other.names

    def __hash__(self) -> int:
        """Hash as `==` compares."""
        return hash(self.names)

    def __call__(self, claims: Claims) -> Facts:
        """Add nothing: what the package knows stands in the claims."""
        del claims
        return Facts()

    def claims_in(self, session: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the claims of who is signed in; None for nobody.

        Args:
            session: the session state; no key of `names` may be the key of a widget.
        """
        username = session.get(USERNAME)
        # SECURITY: the truth value itself; anything else is no sign-in.
        if session.get(STATUS) is not True or not isinstance(username, str) or not username:
            return None
        person = self._person(username, session)
        if person is None:
            return None
        roles = person.get("roles")
        # The package knows no groups at all, and its people without roles have None: both are known, and none.
        claims = {
            "iss": self.issuer,
            "provider": self.issuer,
            "sub": username,
            "name": person.get("name") or username,
            "email": person.get("email"),
            "roles": [] if roles is None else roles,
            "groups": [],
        }
        return {name: value for name, value in claims.items() if value is not None}

    def _person(self, username: str, session: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if self._credentials is None:
            return {name: session.get(name) for name in _PERSON}
        people = self._credentials["usernames"]
        entry = people.get(username)
        if entry is None:  # the package compares them in lower case
            entry = next((each for name, each in people.items() if str(name).lower() == username), None)
        if not isinstance(entry, Mapping):
            return None
        names = (entry.get("first_name"), entry.get("last_name"))
        full = " ".join(name for name in names if isinstance(name, str) and name)
        return {"name": full or entry.get("name"), "email": entry.get("email"), "roles": entry.get("roles")}


def among(sources: Iterable[object]) -> AuthenticatorSession | None:
    """Return the one among identity sources that says who is signed in; None when none does."""
    return next((source for source in sources if isinstance(source, AuthenticatorSession)), None)
