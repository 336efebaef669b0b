"""What is wrong with a configuration, in words that show nothing of its secrets."""

from __future__ import annotations

from ccdcore.errors import ExpectedError

CONFIG_NAME = "ccdwatch.toml"


class SettingsError(ExpectedError):
    """The configuration cannot be used; the message is one line that says what to type."""
