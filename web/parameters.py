"""What the query of an address asks for; an empty field of a form asks for nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import BaseModel, BeforeValidator, Field

Id = Annotated[int, Path(ge=1, lt=2**31, description="Number of a row on record")]
_WITHOUT_NUL = r"^[^\x00]*$"
"""No text in a database holds one, and PostgreSQL refuses to look for it."""
Word = Annotated[str, Field(pattern=_WITHOUT_NUL)]
Text = Annotated[str | None, Field(max_length=200, pattern=_WITHOUT_NUL)]


def or_none(value: object) -> object:
    """Take an empty field of a form for none."""
    return None if value == "" else value


def _in_utc(value: Any) -> Any:
    """Read a date or a time as an instant; without a zone it is UTC."""
    if value in {None, ""}:
        return None
    try:
        when = datetime.fromisoformat(value)
        return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        raise ValueError("should be a date or a time (UTC), for example 2022-09-19") from None


MasterKind = Literal["bias", "dark", "darkrate", "flat"]
"""Masters that are listed by kind; masks of bad pixels stand on the page of their run."""
Plane = Literal["value", "residual", "uncertainty", "mask"]
"""An image of a master that can be looked at."""
Scale = Literal["zscale", "linear", "log"]
"""How its values are shown."""
Instant = Annotated[datetime | None, BeforeValidator(_in_utc)]
Name = Annotated[Text, BeforeValidator(or_none)]


class Which(BaseModel):
    """Which measurements."""

    instrument: Name = None
    amplifier: Name = None
    configuration: Name = None
    filter: Name = None
    since: Instant = None
    until: Instant = None
    superseded: bool = False

    def asked(self) -> dict[str, Any]:
        """Return what `db.trends.history.trends` is asked."""
        given = self.model_dump(include=set(Which.model_fields) - {"filter"})
        return {**given, "filter_name": self.filter}

    def fields(self) -> dict[str, str]:
        """Return what was asked for as the fields of a form."""
        given = {name: value for name, value in self.model_dump().items() if value not in {None, False}}
        return {name: field(value) for name, value in given.items()}


def field(value: Any) -> str:
    """Return a value as a field of a form shows it."""
    if value is None:
        return ""
    if isinstance(value, datetime):  # in UTC, as short as it can be
        text = value.replace(tzinfo=None).isoformat(timespec="auto" if value.second else "minutes")
        return text.removesuffix("T00:00")
    return {True: "true", False: ""}[value] if isinstance(value, bool) else str(value)
