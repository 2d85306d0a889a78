"""How often somebody may guess passwords, counted by all replicas together: what each allows, all allow once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from stguard.shared.link import Contact, script

if TYPE_CHECKING:
    from stguard.accounts.throttle import Attempt
    from stguard.shared.link import Link

_ATTEMPT: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local longest, counts = 0, {}
for at, key in ipairs(KEYS) do
  local failures, charged = string.match(redis.call('GET', key) or '0:0', '^(%d+):(%d+)$')
  failures, charged = tonumber(failures or 0), math.min(tonumber(charged or 0), now)
  local waits = cjson.decode(ARGV[at * 2])
  longest = math.max(longest, charged + waits[math.min(failures, #waits - 1) + 1] - now)
  counts[at] = failures
end
if longest > 0 then return longest end
for at, key in ipairs(KEYS) do
  redis.call('SET', key, string.format('%d:%d', counts[at] + 1, now), 'PX', ARGV[at * 2 - 1])
end
return 0
"""

_SUCCEEDED: Final = """
for at, key in ipairs(KEYS) do
  local failures, charged = string.match(redis.call('GET', key) or '', '^(%d+):(%d+)$')
  if ARGV[at] == '1' or not failures or tonumber(failures) <= 1 then
    redis.call('DEL', key)
  else
    redis.call('SET', key, string.format('%d:%s', failures - 1, charged), 'KEEPTTL')
  end
end
return 0
"""


class SharedAttempts:
    """Count attempts in the engine. Each call waits for the link's deadline at most."""

    def __init__(self, link: Link) -> None:
        """Take the connection."""
        self._link: Final = link

    def attempt(self, who: Attempt) -> float:
        """Charge an attempt and return 0, or return the seconds to wait; then it was not charged.

        Without contact it returns 0: each replica then counts by itself, as it does in any case.
        """
        arguments: list[Any] = []
        for kind, _ in who.counted:
            waits = [int(seconds * 1000) for seconds in kind.waits]
            arguments += [int(kind.limit.forgotten * 1000), json.dumps(waits)]
        answer = self._ask(_ATTEMPT, who, arguments)
        return 0.0 if answer is None else int(answer) / 1000

    def succeeded(self, who: Attempt) -> None:
        """Take back what an attempt was charged, which turned out right."""
        self._ask(_SUCCEEDED, who, [int(kind.clears) for kind, _ in who.counted])

    def _ask(self, text: str, who: Attempt, arguments: list[Any]) -> Any:  # noqa: ANN401  what the engine says
        if self._link.contact is not Contact.HELD:
            return None
        # SECURITY: who tries, and from where, does not stand in the engine.
        names = [self._link.vault.name(f"attempt {kind.value}", key) for kind, key in who.counted]
        keys = [self._link.key(f"attempt:{name}") for name in names]
        try:
            return self._link.ask(lambda client: script(client, text, keys, arguments))
        except self._link.errors:
            return None
