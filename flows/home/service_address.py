"""Where the service of a home can be reached: ``service.json``, and the addresses of its pages and of Prefect."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from ccdcore.io.write import write_status
from flows.config.errors import CONFIG_NAME
from flows.config.redaction import without_credentials
from flows.config.settings import Settings
from flows.home.home import Home
from flows.home.processes import HOST, is_gone

ADDRESS = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class RunningService:
    """Where the service of a home can be reached: what ``service.json`` holds while it runs."""

    pid: int
    started: float
    """As of `flows.home.processes.start_of`."""
    machine: str
    prefect_api_url: str
    prefect_ui_url: str
    web_url: str
    web: Mapping[str, Any] | None = None
    """What ``[web]`` said when it began; None where an older version runs."""


def running_service(home: Path) -> RunningService | None:
    """Return the service that runs on a home, or None."""
    try:
        service = RunningService(**json.loads((home / "service.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    # Of another machine, or a container's space of process numbers, nothing can be said, nor is it reached from here.
    return None if service.machine != HOST or is_gone(service.pid, service.started) else service


def web_url(settings: Settings) -> str | None:
    """Return the address that people reach the pages at: that of the configuration, else of the service that runs."""
    if settings.web.public_url is not None:
        return settings.web.public_url.rstrip("/")
    service = running_service(settings.home)
    return service.web_url if service else None


def words_of_other_web(settings: Settings) -> str | None:
    """Say that ``[web]`` is another one than the pages of the running service have; None where it is the same."""
    service = running_service(settings.home)
    if service is None or service.web is None or service.web == settings.web.model_dump(mode="json"):
        return None
    where = settings.home / CONFIG_NAME
    return f"{where}: [web] is another one since the service started: restart it, so that the pages take it up"


def pages_address(settings: Settings, host: str, port: int) -> str:
    """Return the address that people reach the pages at; one that means all addresses is reached at this machine's."""
    reached = {"0.0.0.0": ADDRESS, "::": "::1"}.get(host, host)
    shown = f"[{reached}]" if ":" in reached else reached
    return (settings.web.public_url or f"http://{shown}:{port}").rstrip("/")


def write_service(home: Path, service: RunningService) -> bool:
    """Say where the service can be reached; return whether there was room for it."""
    try:
        write_status(home / "service.json", json.dumps(asdict(service)))
    except OSError:
        return False
    return True


def trend_url(base: str, quantity: str, *, instrument: str, amplifier: str | None = None) -> str:
    """Return the address of the page of a trend."""
    asked = {"instrument": instrument, "amplifier": amplifier}
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    return f"{base.rstrip('/')}/trends/{quote(quantity, safe='')}?{query}"


def prefect_address(home: Home) -> str | None:
    """Return the address of a home's Prefect: where its parts run on their own, only the configuration knows it."""
    service = running_service(home.path)
    return home.settings.prefect.api_url or (service.prefect_api_url if service else None)


def prefect_pages(api_url: str) -> str:
    """Return the address of the pages of a Prefect, as people are shown it."""
    return without_credentials(api_url).removesuffix("/api")
