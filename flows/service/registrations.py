"""Asks Prefect for the runs that register files: of many, on several machines at the same time."""

from __future__ import annotations

from datetime import datetime

from flows.config.redaction import redact
from flows.home.home import Home
from flows.orchestration.requests import ask_for_ingest
from flows.prefect_server.client import PrefectApi
from flows.retries import FILE_REST

MANY = 256
"""So many files that wait are worth another run: they take as long as a process of a work pool takes to begin."""
MOST = 4
"""Runs at a time: each keeps the processors of its machine busy with readers."""


class Registrations:
    """Asks for one run after the other; for a further one where files wait that none of those under way has claimed.

    All of them claim files in batches until none is left, so that it does not matter on which machines they are.

    Parameters
    ----------
    home : Home
        The open home.
    api : PrefectApi
        Its Prefect.
    """

    def __init__(self, home: Home, api: PrefectApi) -> None:
        self._home = home
        self._api = api
        self._asked: dict[str, datetime] = {}
        self.fault: str | None = None
        """Why files are not read."""

    def forget(self) -> None:
        """Wait for no time that was told by a clock that was ahead."""
        self._asked.clear()

    def end(self) -> None:
        """Note that nothing is left to be registered."""
        self.forget()
        self.fault = None

    def ask(self, n_files: int, at: datetime) -> None:
        """Ask for a run that registers what is ready, unless enough are at it, or the last one has just failed."""
        states = {key: self._api.state(key) for key in self._asked}
        under_way = {key: state.type for key, state in states.items() if state is not None and not state.is_final}
        failed = {key: state for key, state in states.items() if state is not None and state.type == "FAILED"}
        if under_way:
            if not self._is_another_worth_it(under_way, n_files):
                return
        elif failed:
            last = max(failed, key=self._asked.__getitem__)
            self.fault = f"files are not read: {redact(failed[last].message)}"
            if at < self._asked[last] + FILE_REST:
                return
        asked = ask_for_ingest(self._home, self._api, n_files=n_files, at=at)
        self._asked = {key: self._asked[key] for key in under_way} | {asked: at}

    def _is_another_worth_it(self, under_way: dict[str, str], n_files: int) -> bool:
        """Whether another machine may help: where one had no room for the last run, there is none to help."""
        may_be_others = self._home.settings.database_path is None  # SQLite is for one machine
        has_begun = all(state == "RUNNING" for state in under_way.values())
        return may_be_others and has_begun and n_files >= MANY and len(under_way) < MOST
