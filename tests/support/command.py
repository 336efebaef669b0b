"""The command line in this process: the same words, status and streams as in a shell."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from flows.cli.main import main


@dataclass(frozen=True, slots=True)
class Said:
    """What a command answered."""

    status: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return self.out.decode()

    def json(self) -> Any:
        """Read what it printed as one JSON value, where NaN and infinity are none."""
        return json.loads(self.out, parse_constant=_refuse)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def printed(function: Callable[[], object]) -> tuple[bytes, str]:
    """Call a function; return what it wrote to standard output and standard error."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with patch.object(sys, "stdout", out), patch.object(sys, "stderr", err):
        function()
    return out.buffer.getvalue(), err.buffer.getvalue().decode()  # type: ignore[attr-defined]


def ccdwatch(*words: object) -> Said:
    """Type ``ccdwatch`` and these words."""
    status: int | str | None = 0

    def run() -> None:
        nonlocal status
        try:
            main()
        except SystemExit as end:
            status = end.code

    with patch.object(sys, "argv", ["ccdwatch", *map(str, words)]):
        out, err = printed(run)
    assert isinstance(status, int)
    return Said(status, out, err)
