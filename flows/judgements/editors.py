"""Who may mark and note on the pages: ``name: hash``, a line each, in a file that nobody else reads."""

from __future__ import annotations

import os
import re
import stat
from functools import cache
from pathlib import Path

from ccdcore.io.write import write_bytes
from flows.config.errors import SettingsError
from flows.config.settings import Settings
from flows.judgements.passwords import FEWEST_CHARACTERS, hash_of, is_of
from flows.prefect_server.password import LOOPBACK

_MODE = 0o600
_NAME = re.compile(r"[\w.@+-]{1,64}")


def editors_file(settings: Settings) -> Path:
    """Return where the editors are; a relative path is relative to the home."""
    return settings.home / Path(settings.web.editors_file).expanduser()


def are_edits_allowed(settings: Settings, host: str) -> bool:
    """Whether the pages take marks and notes: the configuration allows it, and there are editors.

    Parameters
    ----------
    settings : Settings
        What the configuration says.
    host : str
        The address that the pages listen to.

    Raises
    ------
    SettingsError
        If passwords would cross a network that anybody may listen to, or others can read or write the file of editors.
    """
    web = settings.web
    if not web.allow_edits:
        return False
    if host not in LOOPBACK and not (web.public_url or "").startswith("https://"):
        raise SettingsError(
            f"[web] allow_edits with host {host}: passwords would cross the network in the clear: set public_url to "
            "an https address that leads here, or host to 127.0.0.1"
        )
    file = editors_file(settings)
    if not os.path.lexists(file):
        return False
    _read(file)
    return True


def words_of_no_editors(settings: Settings) -> str | None:
    """Say why the pages take no marks and notes though they are to; None where they do, or are not to."""
    file = editors_file(settings)
    if not settings.web.allow_edits:
        return None
    if not os.path.lexists(file):
        todo = "type ccdwatch web passwd NAME, and restart the service"
        return f"the pages are read-only, for there are no editors in {file}: {todo}"
    try:
        _read(file)
    except SettingsError as error:
        return str(error)
    return None


def is_editor(settings: Settings, name: str, password: str) -> bool:
    """Whether a name and a password are those of an editor; what the file says now counts.

    Raises
    ------
    SettingsError
        If the file cannot be used.
    """
    kept = _read(editors_file(settings)).get(name)
    return is_of(password, kept or _of_nobody()) and kept is not None


@cache
def _of_nobody() -> str:
    """Return what an unknown name is tried against, so that it takes as long as a known one."""
    return hash_of("nobody has this password")


def set_password(settings: Settings, name: str, password: str) -> Path:
    """Give an editor a password, in place of the one that there may be; return the file.

    Raises
    ------
    SettingsError
        If the name or the password will not do, or the file cannot be used or written.
    """
    if not _NAME.fullmatch(name):
        raise SettingsError("an editor's name is 1 to 64 letters, digits and . _ @ + -")
    if len(password) < FEWEST_CHARACTERS:
        raise SettingsError(f"a password has {FEWEST_CHARACTERS} characters or more: nothing is changed")
    file = editors_file(settings)
    editors = _read(file) if os.path.lexists(file) else {}
    editors[name] = hash_of(password)
    lines = [f"{one}: {kept}\n" for one, kept in sorted(editors.items())]
    try:
        write_bytes(file, "".join(lines).encode(), mode=_MODE)
    except OSError as error:
        raise SettingsError(f"{file}: cannot be written: {error.strerror}: see [web] editors_file") from None
    return file


def _read(file: Path) -> dict[str, str]:
    """Return the editors and their hashes."""
    try:
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)) as opened:
            status = os.fstat(opened.fileno())
            is_ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
            if not is_ours or stat.S_IMODE(status.st_mode) & ~_MODE:
                raise SettingsError(
                    f"{file}: others can read or write the file of editors: type chmod 600, as the user of the service"
                )
            lines = opened.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "no text"
        raise SettingsError(f"{file}: the editors cannot be read: {why}: see [web] editors_file") from None
    pairs = (line.partition(":") for line in lines if line.strip() and not line.startswith("#"))
    return {name.strip(): kept.strip() for name, _, kept in pairs}
