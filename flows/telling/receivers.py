"""Those who are told: the addresses of ``[notify] urls``, none of which is ever shown whole."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from db.judgements.attention import record_told_of, told_keys
from flows.config.errors import CONFIG_NAME, SettingsError
from flows.config.redaction import redact
from flows.config.settings import Settings
from flows.home.home import Home
from flows.home.processes import HOST, now
from flows.telling.pace import Pace

logger = logging.getLogger(__name__)


def receivers_of(settings: Settings) -> dict[str, str]:
    """Return the addresses, by what each is called on record: a digest, from which nobody gets it back."""
    return {hashlib.sha256(url.encode()).hexdigest()[:12]: url for url in settings.notify.urls}


def _apprise() -> ModuleType:
    """Return Apprise, which takes a while to import."""
    import apprise

    return apprise


def shown(url: str) -> str | None:
    """Return an address as people may see it, without its secrets; None where Apprise does not understand it."""
    receiver = _apprise().Apprise.instantiate(url, suppress_exceptions=True)
    return None if receiver is None else redact(receiver.url(privacy=True))


def send(url: str, *, title: str, body: str, pictures: Collection[Path] = ()) -> bool:
    """Send one message; return whether it was taken."""
    apprise = _apprise()
    receiver = apprise.Apprise()
    if not receiver.add(url):
        logger.error("an address of [notify] urls is not understood by Apprise: see ccdwatch doctor")
        return False
    return bool(
        receiver.notify(
            title=redact(title),
            body=redact(body),
            body_format=apprise.NotifyFormat.TEXT,
            attach=[str(path) for path in pictures] or None,
        )
    )


@dataclass(frozen=True, slots=True)
class Message:
    """What a receiver is to be told, and the keys by which it is known that it was."""

    keys: Sequence[str]
    title: str
    body: str
    pictures: Sequence[Path] = ()


def send_untold(home: Home, pace: Pace, message_for: Callable[[frozenset[str]], Message | None]) -> int:
    """Send each receiver that may be sent something what it was not told; return how many took it.

    Parameters
    ----------
    home : Home
        The open home.
    pace : Pace
        When each may be sent something.
    message_for : callable
        Takes the keys of all that a receiver was told of; returns what is left, None where nothing is.
    """
    taken = 0
    for receiver, url in receivers_of(home.settings).items():
        if not pace.is_due(receiver):
            continue
        with home.read_session() as session:
            told = told_keys(session, receiver)
        if (message := message_for(told)) is None:
            continue
        was_taken = send(url, title=message.title, body=message.body, pictures=message.pictures)
        pace.note(receiver, was_taken=was_taken)
        if was_taken:
            taken += 1
            with home.write_session() as session:
                record_told_of(session, message.keys, receiver=receiver, now=now())
    return taken


def send_tests(settings: Settings) -> Iterator[tuple[str, bool]]:
    """Send a message to every address; yield each, as people may see it, and whether it was taken.

    Raises
    ------
    SettingsError
        If there is none.
    """
    if not settings.notify.urls:
        raise SettingsError(f"{settings.home / CONFIG_NAME}: [notify] urls has no address: nobody is told of anything")
    words = f"A test of ccdwatch: who reads this is told of what happens on the home {settings.home} of {HOST}."
    for number, url in enumerate(settings.notify.urls, start=1):
        address = shown(url)
        was_taken = address is not None and send(url, title="ccdwatch: a test", body=words)
        yield f"address {number}, {address or url.partition('://')[0] + '://…'}", was_taken
