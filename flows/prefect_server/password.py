"""The password of a home's own Prefect server: made at its first start, for those who may read the home only."""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock

from ccdcore.io.write import write_bytes
from flows.config.errors import SettingsError
from flows.config.redaction import learn
from flows.config.settings import prefect_secret

LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")


def password_file(home: Path) -> Path:
    """Where the password lies in a home: what the Prefect UI asks for is what is in it."""
    return home / "prefect" / "password"


def password_of(home: Path, api_url: str) -> str | None:
    """Return what a Prefect server asks for, as ``user:password``.

    That is what the environment says, else for a server on this machine the password of the home, made where there is
    none yet. A server elsewhere is never sent the home's own.

    Raises
    ------
    SettingsError
        If the password of the home cannot be read or made.
    """
    given = prefect_secret()
    if given is not None or urlsplit(api_url).hostname not in LOOPBACK:
        return given
    file = password_file(home)
    try:
        return _read_or_make(file)
    except OSError as error:
        todo = "type this as the user who runs the service"
        raise SettingsError(f"{file}: the password of Prefect cannot be read: {error.strerror}: {todo}") from None


def password_environment(home: Path, api_url: str) -> dict[str, str]:
    """Return by what variables Prefect's server asks for the password and its clients send it."""
    password = password_of(home, api_url)
    names = ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING")
    return {} if password is None else dict.fromkeys(names, password)


def _read_or_make(file: Path) -> str:
    """Read it, or make it whole or not at all: the parts of a service may start at the same time."""
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(file.with_name(".password.lock"), timeout=10):
            if not file.exists():
                write_bytes(file, f"ccdwatch:{secrets.token_urlsafe(18)}\n".encode(), mode=0o600)
    password = file.read_text(encoding="utf-8").strip()
    learn([password, password.partition(":")[2]])
    return password
