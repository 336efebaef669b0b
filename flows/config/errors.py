"""What is wrong with a configuration, in words that show nothing of its secrets."""

from __future__ import annotations

CONFIG_NAME = "ccdwatch.toml"


class SettingsError(Exception):
    """The configuration cannot be used; the message is one line that says what to type."""
