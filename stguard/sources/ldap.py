"""Groups from an LDAP directory: OpenLDAP, Active Directory, FreeIPA and others.

RFC 4511 (protocol), RFC 4513 (what a bind proves), RFC 4515 (filters), RFC 4514 (names). The groups come from a search
for those that list the person, not from the attribute `memberOf`: where that is absent, nobody can tell whether
somebody is in no group or the server doesn't keep it.

The client is ldap3: pure Python, so that it installs where an app does. python-ldap and bonsai are livelier, and need
the headers of OpenLDAP and a compiler.
"""

from __future__ import annotations

import importlib
import ipaddress
import re
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Self, get_args
from urllib.parse import urlsplit

from stguard import naming
from stguard.errors import ConfigurationError, IdentityError, quote
from stguard.model import Facts

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from stguard.model import Claims

Unlisted = Literal["unknown", "blocked", "empty"]
"""What somebody is whom the directory doesn't list."""

DISABLED: Final = "Your account is disabled."
UNLISTED: Final = "Your account is not in this organization's directory."

DEPTH_LIMIT: Final = 10
"""Most steps from group to group that are followed."""

GROUPS_LIMIT: Final = 1000
"""Most groups of one person."""

IN_CHAIN: Final = "1.2.840.113556.1.4.1941"
"""Active Directory's matching rule that follows nested groups by itself (MS-ADTS, LDAP_MATCHING_RULE_IN_CHAIN)."""

_BATCH: Final = 50
"""Most groups whose parents are asked for in one search."""

_PAGE: Final = 500
"""Entries in one answer: Active Directory cuts off at 1000 (RFC 2696 for the pages)."""

_PLACE: Final = re.compile(r"\{(\w+)\}")
_TOO_MANY: Final = "the directory lists too many to read all"
_ELSEWHERE: Final = "a part of the directory is on another server, which is not asked"
_PORTS: Final = {"ldap": 389, "ldaps": 636}

_STATE: Final = ("userAccountControl", "nsAccountLock", "pwdAccountLockedTime")
_ACCOUNTDISABLE: Final = 2
"""MS-ADTS, section 2.2.16."""
_FOR_GOOD: Final = "000001010000Z"
"""draft-behera-ldap-password-policy, section 5.3.3: locked until somebody unlocks it."""

# RFC 4511, section 4.1.9 and appendix A.
_OK: Final = 0
_SIZE_LIMIT: Final = 4
_REFERRAL: Final = 10
_NO_SUCH_OBJECT: Final = 32
_FOR_THE_MOMENT: Final = frozenset({1, 3, 11, 51, 52, 80})
"""Operations error, time limit, administrative limit, busy, unavailable, other."""


class _Answer(NamedTuple):
    """Hold what a search found.

    Attributes:
        entries: by their DN, with the texts of their attributes, whose names are in lower case.
        partly: why it isn't all there is; None when it is.
    """

    entries: dict[str, dict[str, tuple[str, ...]]]
    partly: str | None


class Ldap:
    """Look up people's groups in a directory: `sg.configure(identity=sg.Ldap("ldaps://ldap.acme.com", base))`.

    Groups become roles where the policy assigns them by `group`. Disabled accounts are nobody. Only a verified e-mail
    looks anybody up; what isn't known about somebody stays unknown.

    Attributes:
        ttl: seconds for which an answer counts.
        stale: seconds up to which an old answer is used while the directory can't be asked.
        deadline: seconds until a call is given up.
    """

    def __init__(  # noqa: PLR0913  one keyword for each thing that differs between directories
        self,
        url: str,
        base: str,
        *,
        bind_dn: str | None = None,
        bind_password: str | None = None,
        user_filter: str = "(mail={email})",
        user_dn: str | None = None,
        group_filter: str = "(|(member={dn})(uniqueMember={dn}))",
        group_base: str | None = None,
        group_name: str = "cn",
        nested: bool = True,
        unlisted: Unlisted = "unknown",
        trust_email: bool = False,
        ignore_referrals: bool = False,
        ca_file: str | None = None,
        start_tls: bool | None = None,
        ttl: float = 60.0,
        stale: float = 600.0,
        deadline: float = 5.0,
    ) -> None:
        """Take where the directory is, and how people and groups are found in it.

        Args:
            url: `ldaps://host`, or `ldap://host`, where TLS is started (StartTLS). The certificate is checked.
            base: the DN below which people are, as `dc=acme,dc=com`.
            bind_dn: DN of the account that searches; None searches without one.
            bind_password: its password, from a secret store.
            user_filter: finds one person. A name in braces is a claim; `{email}` only when it is verified.
            user_dn: the DN of a person in place of a filter, as `uid={sub},ou=people,dc=acme,dc=com`.
            group_filter: finds the groups that list an entry: `{dn}` is its DN, `{uid}` its attribute `uid`.
            group_base: the DN below which groups are; None: as `base`.
            group_name: the attribute that names a group in the policy; `dn` for its whole DN, which nobody else's group
                can have.
            nested: also the groups that list a group of theirs.
            unlisted: what somebody is whom the directory doesn't list: `unknown` (their groups are unknown), `blocked`
                (they are nobody), `empty` (in no group; no `forbid` about a group applies to them).
            trust_email: True where each e-mail that the provider sends is verified, as in the policy.
            ignore_referrals: True where parts of the directory that stand on other servers hold no groups of these
                people; they are never asked. False: then their groups are not all known.
            ca_file: certificates to trust, PEM; None for those of the system.
            start_tls: None: on, but on this machine. False is for this machine only.
            ttl: seconds for which an answer counts.
            stale: seconds up to which an old answer is used while the directory can't be asked.
            deadline: seconds until a call is given up.

        Raises:
            ConfigurationError: something that can't be, or the extra `ldap` isn't installed.
        """
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
            raise ConfigurationError(f"url of Ldap is `ldaps://host` or `ldap://host`, got {quote(url)}")
        local = _is_loopback(parts.hostname)
        if parts.scheme == "ldap" and start_tls is False and not local:
            # SECURITY: whoever is on the way would read the password, and write the groups.
            raise ConfigurationError(f"ldap without TLS is for this machine only, got {quote(url)}; drop start_tls")
        if not isinstance(base, str) or not base.strip():
            raise ConfigurationError("base of Ldap is a DN, as `dc=acme,dc=com`; got none")
        if (bind_dn is None) != (bind_password is None) or bind_dn == "" or bind_password == "":
            # SECURITY: RFC 4513, section 5.1.2: a name with an empty password is let in as nobody, and finds nothing.
            raise ConfigurationError("bind_dn and bind_password of Ldap go together, and neither is empty")
        if not _PLACE.search(user_filter if user_dn is None else user_dn):
            raise ConfigurationError(
                f"user_filter or user_dn of Ldap names a claim, as `{{email}}`; got {quote(user_dn or user_filter)}"
            )
        if not {"dn", "uid"} & set(_PLACE.findall(group_filter)) or set(_PLACE.findall(group_filter)) - {"dn", "uid"}:
            raise ConfigurationError(f"group_filter of Ldap has `{{dn}}` or `{{uid}}`, got {quote(group_filter)}")
        if unlisted not in get_args(Unlisted):
            raise ConfigurationError(f"unlisted is `unknown`, `blocked` or `empty`, got {quote(unlisted)}")
        if ca_file is not None and not Path(ca_file).is_file():
            raise ConfigurationError(f"ca_file of Ldap is no file: {quote(ca_file)}")
        try:
            importlib.import_module("ldap3")
        except ImportError as error:
            raise ConfigurationError('Ldap needs its client library; `pip install "stguard[ldap]"`') from error
        self.url: Final = url
        self.ttl: Final = ttl
        self.stale: Final = stale
        self.deadline: Final = deadline
        self._host: Final = parts.hostname
        self._port: Final = parts.port or _PORTS[parts.scheme]
        self._ldaps: Final = parts.scheme == "ldaps"
        self._start_tls: Final = not self._ldaps and (not local if start_tls is None else start_tls)
        self._ca_file: Final = ca_file
        self._bind: Final = (bind_dn, bind_password)
        self._base: Final = base
        self._group_base: Final = base if group_base is None else group_base
        self._who: Final = user_filter if user_dn is None else user_dn
        self._by_dn: Final = user_dn is not None
        self._group_filter: Final = group_filter
        self._group_name: Final = group_name
        self._nested: Final = nested
        self._unlisted: Final = unlisted
        self._trust_email: Final = trust_email
        self._ignore_referrals: Final = ignore_referrals
        self._needs_state: bool = False

    @classmethod
    def active_directory(cls, url: str, base: str, **options: Any) -> Ldap:  # noqa: ANN401  those of the class
        """Look up people's groups in Active Directory, which follows nested groups itself.

        An account counts only when the directory says that it isn't disabled: the account that searches must be allowed
        to read `userAccountControl`. The primary group (`Domain Users`) is not among the groups.

        Args:
            url: as for the class.
            base: as for the class.
            options: as for the class.

        Raises:
            ConfigurationError: as for the class.
        """
        found = cls(
            url,
            base,
            **{
                "user_filter": "(&(objectCategory=person)(objectClass=user)(mail={email}))",
                "group_filter": f"(&(objectClass=group)(member:{IN_CHAIN}:={{dn}}))",
                "nested": False,
                **options,
            },
        )
        found._needs_state = True
        return found

    def __repr__(self) -> str:
        """Return the address, never the password."""
        return f"Ldap({self.url!r}, {self._base!r})"

    def __eq__(self, other: object) -> bool:
        """Compare by what it was made with: a rerun of the script makes it anew."""
        return isinstance(other, Ldap) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        """Hash as `==` compares."""
        return hash((self.url, self._base))

    # --- the source

    def key(self, claims: Claims) -> Hashable:
        """Tell people apart by what they are looked up by."""
        return self._values(claims)

    def __call__(self, claims: Claims) -> Facts:
        """Look somebody up.

        Returns:
            Their groups; unknown groups for somebody who can't be looked up or isn't listed.

        Raises:
            IdentityError: the directory can't be asked for the moment, or its answer can't be used.
            ConfigurationError: the directory refuses the account, the certificate doesn't fit, or a DN is wrong.
        """
        values = self._values(claims)
        if values is None:
            return _unknown("the sign-in brought nothing verified to look the person up by in the directory")
        try:
            with _Session(self._connection(), until=time.monotonic() + self.deadline * _OF_THE_DEADLINE) as session:
                session.begin(start_tls=self._start_tls, anonymous=self._bind[0] is None)
                return self._facts(session, dict(values))
        except (IdentityError, ConfigurationError):
            raise
        except Exception as error:  # noqa: BLE001  raised anew, in words that tell no address and no secret
            raise _translated(error) from None

    def _values(self, claims: Claims) -> tuple[tuple[str, str], ...] | None:
        """Return what stands for the names in braces; None when one isn't there, or not verified."""
        found = []
        for name in dict.fromkeys(_PLACE.findall(self._who)):
            value = claims.get(name)
            if not isinstance(value, str) or not value.strip() or not value.isprintable():
                return None
            if name == "email":
                # SECURITY: anybody may type in an e-mail that is somebody else's in the directory.
                if claims.get("email_verified") is not True and not self._trust_email:
                    return None
                normal = naming.normalise(value)
                if not naming.email_domain(normal) or normal.count("@") != value.count("@"):
                    return None
                value = normal
            found.append((name, value))
        return tuple(found)

    def _connection(self) -> Any:  # noqa: ANN401  the module of its type is an extra without types
        ldap3 = importlib.import_module("ldap3")
        tls = _tls(self._host, ca_file=self._ca_file) if self._ldaps or self._start_tls else None
        server = ldap3.Server(
            self._host,
            port=self._port,
            use_ssl=self._ldaps,
            tls=tls,
            get_info=ldap3.NONE,
            connect_timeout=self.deadline * _OF_THE_DEADLINE,
        )
        user, password = self._bind
        return ldap3.Connection(
            server,
            user=user,
            password=password,
            authentication=ldap3.ANONYMOUS if user is None else ldap3.SIMPLE,
            client_strategy=ldap3.SYNC,
            # SECURITY: a referral would have the password sent to a host that the directory, or a forger, names.
            auto_referrals=False,
            check_names=False,
            read_only=True,
            receive_timeout=max(1, int(self.deadline)),
        )

    def _facts(self, session: _Session, values: dict[str, str]) -> Facts:
        people = self._people(session, values)
        if len(people.entries) > 1:
            return _unknown("the directory lists several people with what the sign-in brought")
        if people.partly is not None:  # there may be another
            return _unknown(people.partly)
        if not people.entries:
            return self._of_nobody()
        ((dn, entry),) = people.entries.items()
        if _disabled(entry, needed=self._needs_state):
            return Facts(blocked=DISABLED)
        groups, partly = self._groups(session, dn, entry)
        if partly is not None:
            return Facts(groups=groups, unknown={"groups": partly})
        return Facts(groups=groups, complete=("groups",))

    def _people(self, session: _Session, values: dict[str, str]) -> _Answer:
        attributes = ("uid", *_STATE)
        if self._by_dn:
            named = _PLACE.sub(lambda place: _in_dn(values[place[1]]), self._who)
            return self._search(session, named, "(objectClass=*)", attributes, one=True)
        wanted = _PLACE.sub(lambda place: _in_filter(values[place[1]]), self._who)
        return self._search(session, self._base, wanted, attributes, limit=2)

    def _of_nobody(self) -> Facts:
        match self._unlisted:
            case "blocked":
                return Facts(blocked=UNLISTED)
            case "empty":
                return Facts(complete=("groups",))
            case _:
                return _unknown("the directory doesn't list this person")

    def _groups(
        self, session: _Session, dn: str, entry: dict[str, tuple[str, ...]]
    ) -> tuple[tuple[str, ...], str | None]:
        """Return the names of all groups of an entry, and why these aren't all; None when they are."""
        uids = entry.get("uid", ())
        if "{uid}" in self._group_filter and not uids:
            return (), "the directory shows no `uid` of this person"
        found: dict[str, dict[str, tuple[str, ...]]] = {}
        partly: str | None = None
        # Whoever lists the person may do so by DN or by uid; groups are listed by DN.
        filters = [_filled(self._group_filter, dn, uid) for uid in (uids if "{uid}" in self._group_filter else ("",))]
        for _ in range(DEPTH_LIMIT):
            fresh: list[str] = []
            for batch in _batches(filters):
                answer = self._search(session, self._group_base, batch, self._naming(), limit=GROUPS_LIMIT)
                partly = partly or answer.partly
                fresh += [each for each in answer.entries if each not in found]
                found.update(answer.entries)
            if len(found) > GROUPS_LIMIT:
                return self._named(found)[0], _TOO_MANY
            if not fresh or not self._nested or "{dn}" not in self._group_filter:
                names, unnamed = self._named(found)
                return names, partly or unnamed
            filters = [_filled(self._group_filter, each, each) for each in fresh]
        return self._named(found)[0], _TOO_MANY

    def _naming(self) -> tuple[str, ...]:
        return () if self._group_name == "dn" else (self._group_name,)

    def _named(self, found: dict[str, dict[str, tuple[str, ...]]]) -> tuple[tuple[str, ...], str | None]:
        if self._group_name == "dn":
            return tuple(found), None
        names = [name for entry in found.values() for name in entry.get(self._group_name.lower(), ())]
        unnamed = any(not entry.get(self._group_name.lower()) for entry in found.values())
        return tuple(dict.fromkeys(names)), "the directory shows groups without a name" if unnamed else None

    def _search(
        self, session: _Session, base: str, wanted: str, attributes: Sequence[str], *, limit: int = 2, one: bool = False
    ) -> _Answer:
        """Search below a DN, or look at that one entry; stop when there are `limit` entries."""
        entries: dict[str, dict[str, tuple[str, ...]]] = {}
        elsewhere = False
        for code, response in session.search(base, wanted, attributes, one=one, page=min(limit, _PAGE)):
            if code == _NO_SUCH_OBJECT and one:
                return _Answer({}, None)
            if code == _REFERRAL:
                elsewhere = True
            elif code not in {_OK, _SIZE_LIMIT}:
                _reject(code)
            for each in response:
                if each.get("type") == "searchResEntry":
                    entries[each["dn"]] = _texts(each["raw_attributes"])
                else:
                    elsewhere = True
            if code == _SIZE_LIMIT or len(entries) >= limit:
                return _Answer(entries, _TOO_MANY)
        return _Answer(entries, _ELSEWHERE if elsewhere and not self._ignore_referrals else None)


_OF_THE_DEADLINE: Final = 0.9
"""How much of the deadline a call may take, so that it ends by itself, with its own reason."""


class _Session:
    """Ask over one connection, within the deadline, and close it."""

    def __init__(self, connection: Any, *, until: float) -> None:  # noqa: ANN401  as above
        self._connection = connection
        self._until = until

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._connection.unbind()
        elif self._connection.socket is not None:
            self._connection.socket.close()  # nothing more is said over what failed

    def begin(self, *, start_tls: bool, anonymous: bool) -> None:
        """Connect, and say who asks.

        Raises:
            ConfigurationError: the directory doesn't start TLS, or refuses who asks.
        """
        self._connection.open(read_server_info=False)
        # SECURITY: without TLS nothing is sent, not even who asks.
        if start_tls and not self._connection.start_tls(read_server_info=False):
            raise ConfigurationError("the directory doesn't start TLS; use `ldaps://`")
        self._in_time()
        self._connection.bind(read_server_info=False)
        code = self._connection.result["result"]
        if code != _OK:
            who = "an account to search with" if anonymous else "the bind_dn or the bind_password"
            _reject(code, f"the directory refuses {who}")

    def search(
        self, base: str, wanted: str, attributes: Sequence[str], *, one: bool, page: int
    ) -> Iterator[tuple[int, list[dict[str, Any]]]]:
        """Yield the result code and the entries of each page."""
        ldap3 = importlib.import_module("ldap3")
        cookie = None
        while True:
            left = self._in_time()
            self._connection.search(
                base,
                wanted,
                search_scope=ldap3.BASE if one else ldap3.SUBTREE,
                dereference_aliases=ldap3.DEREF_NEVER,
                attributes=list(attributes) or ["1.1"],  # RFC 4511, section 4.5.1.8: none
                time_limit=max(1, int(left)),
                paged_size=None if one else page,
                paged_cookie=cookie,
            )
            result = self._connection.result
            yield result["result"], list(self._connection.response or ())
            cookie = _cookie(result)
            if not cookie:
                return

    def _in_time(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise IdentityError("the directory did not answer in time")
        return left


def _tls(host: str, *, ca_file: str | None) -> Any:  # noqa: ANN401  as above
    """Return how TLS is begun: by the standard library, which checks the certificate's names as well."""
    kind: Any = importlib.import_module("ldap3").Tls

    class Checked(kind):  # type: ignore[misc]  # as above
        def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:  # noqa: ANN401, ARG002, FBT001, FBT002  theirs
            connection.socket = self.context.wrap_socket(connection.socket, server_hostname=host)

    made = Checked(validate=ssl.CERT_REQUIRED)
    made.context = ssl.create_default_context(cafile=ca_file)
    return made


def _cookie(result: dict[str, Any]) -> bytes | None:
    pages = result.get("controls", {}).get("1.2.840.113556.1.4.319")  # RFC 2696
    return pages["value"]["cookie"] if pages else None


def _reject(code: int, why: str = "the directory refuses the search: see base, group_base and the filters") -> None:
    """Raise what a result code means.

    Raises:
        IdentityError: it passes by itself.
        ConfigurationError: somebody must set it up.
    """
    if code in _FOR_THE_MOMENT:
        raise IdentityError(f"the directory did not answer (result {code})")
    raise ConfigurationError(f"{why} (result {code})")


def _translated(error: Exception) -> IdentityError | ConfigurationError:
    """Return the error that identity sources know for what the client library raised."""
    errors = importlib.import_module("ldap3.core.exceptions")
    trouble = str(error).lower()
    if isinstance(error, errors.LDAPCertificateError | errors.LDAPStartTLSError) or "certificate" in trouble:
        return ConfigurationError("the directory's certificate is not trusted, or of another host; see ca_file and url")
    if isinstance(error, errors.LDAPCommunicationError | errors.LDAPResponseTimeoutError | OSError):
        return IdentityError("the directory could not be reached, or did not answer in time")
    if isinstance(error, errors.LDAPInvalidFilterError | errors.LDAPInvalidDnError | errors.LDAPConfigurationError):
        return ConfigurationError("a filter or a DN of Ldap can't be read")
    return IdentityError("the directory gave an answer that can't be used")


def _disabled(entry: dict[str, tuple[str, ...]], *, needed: bool) -> bool:
    """Tell whether an account is switched off.

    Raises:
        IdentityError: that can't be known.
    """
    control = entry.get("useraccountcontrol", ())
    if control or needed:
        if len(control) != 1 or not re.fullmatch(r"-?\d{1,10}", control[0]):
            raise IdentityError("the directory doesn't say whether the account is disabled")
        if int(control[0]) & _ACCOUNTDISABLE:
            return True
    locked = any(value.casefold() == "true" for value in entry.get("nsaccountlock", ()))
    return locked or _FOR_GOOD in entry.get("pwdaccountlockedtime", ())


def _texts(raw: dict[str, list[bytes]]) -> dict[str, tuple[str, ...]]:
    """Return the texts of an entry's attributes.

    Raises:
        IdentityError: one is no text.
    """
    try:
        return {name.lower(): tuple(value.decode("utf-8") for value in values) for name, values in raw.items()}
    except UnicodeDecodeError as error:
        raise IdentityError("the directory gave an answer that can't be used") from error


def _unknown(why: str) -> Facts:
    return Facts(groups=None, unknown={"groups": why})


def _filled(template: str, dn: str, uid: str) -> str:
    return _PLACE.sub(lambda place: _in_filter(dn if place[1] == "dn" else uid), template)


def _batches(filters: list[str]) -> Iterator[str]:
    for start in range(0, len(filters), _BATCH):
        several = filters[start : start + _BATCH]
        yield several[0] if len(several) == 1 else f"(|{''.join(several)})"


def _in_filter(text: str) -> str:
    """Write a text into a filter (RFC 4515, section 3), each octet that could mean anything as its number."""
    return "".join(
        char if char.isascii() and (char.isalnum() or char in "@.-_") else _octets(char, "\\%02x") for char in text
    )


def _in_dn(text: str) -> str:
    """Write a text into a DN (RFC 4514, section 2.4), each octet that could mean anything as its number."""
    return "".join(
        char if char.isascii() and (char.isalnum() or char in "@.-_") else _octets(char, "\\%02X") for char in text
    )


def _octets(char: str, form: str) -> str:
    return "".join(form % octet for octet in char.encode("utf-8"))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
