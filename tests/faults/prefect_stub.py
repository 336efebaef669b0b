"""A Prefect server that takes every request and begins nothing: for goals on what its askers do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from flows.prefect_server.client import FlowRunState


class IdlePrefect:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked_for: list[Mapping[str, Any]] = []

    def submit(self, flow: str, *, parameters: Mapping[str, Any], **_: object) -> str:
        self.asked_for.append({"flow": flow, **parameters})
        return f"f{len(self.asked_for)}"

    def state(self, _flow_run_id: str) -> FlowRunState:
        return FlowRunState("SCHEDULED", "")

    def hasten(self, _at: datetime) -> None:
        pass

    def mark_crashed(self, _flow_run_id: str, _message: str) -> None:
        pass
