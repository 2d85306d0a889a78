"""The admin page: who may do what, why, and how to change it, for people who never read a policy file.

Read in this order: `guarding` (who may use it: the policy's own `policy:view` and `policy:edit`), `page` (the frame),
`directory` (the people it knows), then one module for each tab. Nothing is decided here: the policy answers, the
analysis works out what an edit changes, `stguard.edits` writes.
"""

from __future__ import annotations

from stguard.app.admin.page import admin_page

__all__ = ["admin_page"]
