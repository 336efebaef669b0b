"""The configuration of a home while a service runs: it may be edited, and watched links may be re-pointed."""

from __future__ import annotations

from pathlib import Path

from flows.config.errors import CONFIG_NAME, SettingsError
from flows.config.settings import Settings, load_settings


def require_watchable(settings: Settings) -> None:
    """Make sure that no watched folder is the home, in which no frame is ever looked for, or gets calibrated frames.

    Raises
    ------
    SettingsError
        If one is, or does; also where a link leads there.
    """
    if settings.home.resolve() in settings.watch.directories:
        raise SettingsError(
            f"{settings.home}: is the home and a watched folder at once, so that no frame in it would be seen: watch "
            "a folder in or beside it, or give another --home"
        )
    if (watched := watched_output(settings)) is not None:
        raise SettingsError(
            f"{settings.home / CONFIG_NAME}: [science] output = {settings.calibrated} lies in the watched folder "
            f"{watched}, which is for raw frames: name a folder outside of it"
        )


def watched_output(settings: Settings) -> Path | None:
    """Return the watched folder that calibrated frames would go to; None where they go to none, or to the home."""
    output = settings.calibrated.resolve()
    if output.is_relative_to(settings.home.resolve()):  # it is never watched, also where it lies in a watched folder
        return None
    return next((one for one in settings.watch.directories if output.is_relative_to(one)), None)


class Configuration:
    """The configuration of a home while a service runs, which may be edited, and whose watched links may be re-pointed.

    Parameters
    ----------
    home, watch
        As of `load_settings`.
    """

    def __init__(self, home: Path, *, watch: tuple[Path, ...] = ()) -> None:
        self._home, self._watch = home, watch
        self.in_force = load_settings(home, watch=watch)

    def has_changed(self) -> bool:
        """Whether it is another one by now, that can be taken up.

        Raises
        ------
        SettingsError
            If it is one that cannot: it has a mistake, or only a restart takes it up.
        """
        now, where = load_settings(self._home, watch=self._watch), self._home / CONFIG_NAME
        require_watchable(now)
        if not now.watch.directories:
            raise SettingsError(f"{where}: is gone, or names no folder to watch any more: correct it")
        for section in ("prefect", "database"):
            if getattr(now, section) != getattr(self.in_force, section):
                raise SettingsError(f"{where}: [{section}] is another one since the service started: restart it")
        return now != self.in_force
