"""What shows that a form is one of ours, filled in by the browser that it was given to, for this very address."""

from __future__ import annotations

import hmac
import secrets
import time

LIFETIME_SECONDS = 3600.0
COOKIE = "ccdwatch-form"


class Tokens:
    """Makes and checks tokens by a secret that only this process has."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def new(self, path: str, browser: str) -> str:
        """Return a token of a form at an address for the browser that has this cookie."""
        until = f"{time.monotonic() + LIFETIME_SECONDS:.0f}"
        return f"{until}.{self._sign(path, browser, until)}"

    def is_valid(self, token: str, path: str, browser: str) -> bool:
        """Whether a token is one of these, and not too old."""
        until, _, signature = token.partition(".")
        is_ours = hmac.compare_digest(signature.encode(errors="replace"), self._sign(path, browser, until).encode())
        return bool(browser) and is_ours and float(until) > time.monotonic()

    def _sign(self, path: str, browser: str, until: str) -> str:
        message = "\0".join([path, browser, until]).encode(errors="replace")
        return hmac.new(self._secret, message, "sha256").hexdigest()
