"""What an observatory says of one of its cameras: how to read its headers, its amplifiers, its limits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from ccdcore.cards.sections import Amplifier
from ccdcore.quantities import Limits


class FrameType(StrEnum):
    """What a frame is for."""

    BIAS = "bias"
    DARK = "dark"
    FLAT = "flat"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class FrameRule:
    """When a frame of this instrument is of a given type: every condition must hold.

    Parameters
    ----------
    cards : mapping of str to str
        Header keyword → value or shell pattern, compared without regard to case.
    filename : str, optional
        Shell pattern for the file's name, compared without regard to case.
    """

    cards: Mapping[str, str] = field(default_factory=dict)
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class Instrument:
    """One ``[[instrument]]`` entry of the configuration.

    Parameters
    ----------
    name : str
        The instrument's name in results, paths and trends.
    match : mapping of str to str
        Header keyword → value or shell pattern; a frame belongs to the entry
        when all of them hold (an empty mapping matches every frame).
    valid_from, valid_to : datetime, optional
        The half-open span of observation time the entry is for, time-zone aware.
    header : mapping of str to str
        What a card says (``date_obs``, ``exposure_time``, ``ccd_temperature``,
        ``set_temperature``, ``filter``, ``object``, ``longitude``, ``gain``, ``read_noise``) → the
        keyword that carries it; it comes before those of `ccdcore.cards.dialects`.
    exposure_time_unit_s : float
        Seconds per unit of the exposure time card.
    frame_type : mapping of FrameType to FrameRule
        How to tell the types apart.
    configuration : tuple of str
        Keywords whose values make frames comparable; empty for the default
        (binning, window, read mode, gain and offset setting).
    amplifiers : tuple of Amplifier
        Read-out channels; empty where the header or the whole frame decides.
    spec : mapping of str to Limits
        Column name of a measurement (``gain_e_per_adu``) → limits.
    """

    name: str
    match: Mapping[str, str] = field(default_factory=dict)
    valid_from: datetime | None = None
    valid_to: datetime | None = None
    header: Mapping[str, str] = field(default_factory=dict)
    exposure_time_unit_s: float = 1.0
    frame_type: Mapping[FrameType, FrameRule] = field(default_factory=dict)
    configuration: tuple[str, ...] = ()
    amplifiers: tuple[Amplifier, ...] = ()
    spec: Mapping[str, Limits] = field(default_factory=dict)

    def is_valid_at(self, when: datetime | None) -> bool:
        """Whether the entry is for an observation at ``when``; one without a time only fits an entry without bounds."""
        if when is None:
            return self.valid_from is None and self.valid_to is None
        return (self.valid_from is None or self.valid_from <= when) and (self.valid_to is None or when < self.valid_to)

    def describe(self) -> dict[str, Any]:
        """Return what identification and measurement depend on, as plain JSON values.

        Specification limits stay out: they change verdicts, never measurements.
        """
        return {
            "name": self.name,
            "match": dict(self.match),
            "valid_from": self.valid_from and self.valid_from.isoformat(),
            "valid_to": self.valid_to and self.valid_to.isoformat(),
            "header": dict(self.header),
            "exposure_time_unit_s": self.exposure_time_unit_s,
            "frame_type": {
                str(kind): {"cards": dict(rule.cards), "filename": rule.filename}
                for kind, rule in self.frame_type.items()
            },
            "configuration": list(self.configuration),
            "amplifiers": [
                {"name": a.name, "data": str(a.data), "overscan": a.overscan and str(a.overscan)}
                for a in self.amplifiers
            ],
        }

    @property
    def digest(self) -> str:
        """SHA-256 of `describe`, so that a changed entry is told from the same one."""
        return hashlib.sha256(json.dumps(self.describe(), sort_keys=True).encode()).hexdigest()
