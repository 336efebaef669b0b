"""Those who are told: the addresses of ``[notify] urls``, none of which is ever shown whole."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Iterator
from pathlib import Path

from flows.config.errors import CONFIG_NAME, SettingsError
from flows.config.redaction import redact
from flows.config.settings import Settings
from flows.home.processes import HOST

logger = logging.getLogger(__name__)


def receivers_of(settings: Settings) -> dict[str, str]:
    """Return the addresses, by what each is called on record: a digest, from which nobody gets it back."""
    return {hashlib.sha256(url.encode()).hexdigest()[:12]: url for url in settings.notify.urls}


def shown(url: str) -> str | None:
    """Return an address as people may see it, without its secrets; None where Apprise does not understand it."""
    import apprise

    receiver = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    return None if receiver is None else redact(receiver.url(privacy=True))  # type: ignore[no-untyped-call]


def send(url: str, *, title: str, body: str, pictures: Collection[Path] = ()) -> bool:
    """Send one message; return whether it was taken."""
    import apprise

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
