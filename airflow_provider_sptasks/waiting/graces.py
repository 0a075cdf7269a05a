"""For how long a wait bears what usually passes, unless its caller says otherwise."""

from __future__ import annotations

NOT_FOUND_GRACE_SECONDS = 60.0
RETRY_GRACE_SECONDS = 900.0
