"""Identity sources: what knows more about people than their claims, and how often it is asked.

A source is any callable `claims -> Facts`. What it raises says how bad it is: `IdentityError` and `OSError` mean that
it can't be asked for the moment, `ConfigurationError` that somebody must set it up, anything else that it is broken.
The text of an `IdentityError` ends in decisions and in the log: plain words, no address, no token.

It runs in a thread of its own, without a script run: no `st.session_state`, no `st.user`. What it says about a person
is for every session of theirs.

These attributes of a source are optional:

- `ttl` (60): seconds for which an answer counts.
- `stale` (600): seconds after which an old answer no longer counts, though the source can't be asked for the moment.
- `deadline` (5): longest a page waits for an answer, in seconds.
- `key(claims)`: tells people apart: equal keys get one answer. Hashable. By default all claims count but those that
  change with each login.
- `shared_name`: by which replicas that share know it, where they can't tell by themselves how it is set up.
- `needs_tokens` (False): whether it is called with the claims plus `tokens` of `st.user`.
"""
