"""The ``[[instrument]]`` entries of a configuration."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.errors import CcdError
from ccdcore.headers.instrument import FrameRule, FrameType, Instrument
from ccdcore.quantities import QUANTITIES, Limits


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ignored_types=(cached_property,))


def _section_text(value: object) -> object:
    """Check a section early, so that the message names the key."""
    if isinstance(value, str):
        try:
            return str(Section.parse(value))
        except CcdError as error:
            raise ValueError(str(error)) from None
    return value


def _utc(value: datetime) -> datetime:
    return value if value.tzinfo else value.replace(tzinfo=UTC)


SectionText = Annotated[str, BeforeValidator(_section_text)]


HeaderField = Literal[
    "date_obs",
    "exposure_time",
    "ccd_temperature",
    "set_temperature",
    "filter",
    "object",
    "longitude",
    "gain",
    "read_noise",
]


if TYPE_CHECKING:
    SpecField = str
else:
    SpecField = Literal[tuple(one.limits_key for one in QUANTITIES.values())]


Card = Annotated[str, BeforeValidator(lambda value: str(value) if isinstance(value, int | float) else value)]


class AmplifierSettings(_Strict):
    """One entry of ``amplifiers``."""

    name: Card
    data: SectionText
    overscan: SectionText | None = None


class FrameRuleSettings(BaseModel):
    """One entry of ``frame_type``: header cards, ``filename``, or both."""

    model_config = ConfigDict(extra="allow", frozen=True)
    filename: str | None = None

    @model_validator(mode="after")
    def _some_condition(self) -> FrameRuleSettings:
        if self.filename is None and not self.model_extra:
            raise ValueError("give header cards, filename, or both: an empty rule would match every frame")
        return self

    def to_rule(self) -> FrameRule:
        """Return the rule that ccdcore takes."""
        cards = {str(key): str(value) for key, value in (self.model_extra or {}).items()}
        return FrameRule(cards=cards, filename=self.filename)


class LimitSettings(_Strict):
    """Specification limits of one quantity."""

    min: float | None = None
    max: float | None = None


class InstrumentSettings(_Strict):
    """``[[instrument]]``."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9._+-]{1,48}$")]
    match: dict[str, Card] = {}
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    header: dict[HeaderField, str] = {}
    exposure_time_unit_s: Annotated[float, Field(gt=0)] = 1.0
    frame_type: dict[Literal["bias", "dark", "flat", "other"], FrameRuleSettings] = {}
    configuration: tuple[str, ...] = ()
    amplifiers: tuple[AmplifierSettings, ...] = ()
    spec: dict[SpecField, LimitSettings] = {}

    def to_instrument(self) -> Instrument:
        """Return the entry that ccdcore takes."""
        return Instrument(
            name=self.name,
            match=dict(self.match),
            valid_from=self.valid_from and _utc(self.valid_from),
            valid_to=self.valid_to and _utc(self.valid_to),
            header={str(field): keyword for field, keyword in self.header.items()},
            exposure_time_unit_s=self.exposure_time_unit_s,
            frame_type={FrameType(kind): rule.to_rule() for kind, rule in self.frame_type.items()},
            configuration=self.configuration,
            amplifiers=tuple(
                Amplifier(a.name, Section.parse(a.data), Section.parse(a.overscan) if a.overscan else None)
                for a in self.amplifiers
            ),
            spec={str(quantity): Limits(limit.min, limit.max) for quantity, limit in self.spec.items()},
        )
