"""The file of a calibrated frame: FITS with value, uncertainty, mask, and what it was calibrated with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, TypeAlias

from astropy.io import fits

from ccdcore.application.ingredients import CalibratedFrame, Readout
from ccdcore.cards.common import cards_of_frame
from ccdcore.cards.sections import Amplifier
from ccdcore.cards.values import Cards, number, value_of
from ccdcore.cards.writing import plain_ascii, set_card
from ccdcore.headers.readout_configuration import gain_is_a_setting
from ccdcore.masters.file import MeasuredAmplifier, amplifiers_table, name_bits

_SATURATION = "SATURATE", "SATURATI", "SATURLEV", "SATLEVEL"

_DONE = {"bias": ("ZEROCOR", "B"), "dark": ("DARKCOR", "D"), "flat": ("FLATCOR", "F")}
"""By what IRAF, and MaxIm DL and AstroImageJ in CALSTAT, know what was done, so that nothing is done twice."""

_HISTORY = 72
"""Characters of a card of HISTORY."""

AppliedMasters: TypeAlias = Mapping[str, "AppliedMaster"]
"""By kind: ``bias``, ``dark``, ``flat``, ``mask``."""


@dataclass(frozen=True, slots=True)
class AppliedMaster:
    """A master that a frame was calibrated with, as the frame's file names it.

    Parameters
    ----------
    name, sha256 : str
        Its file's name, and the SHA-256 of that.
    master_id : int or None
        Its number on record.
    price_e : float or None
        What it adds to the noise of the frame, in electrons per pixel.
    """

    name: str
    sha256: str
    master_id: int | None = None
    price_e: float | None = None


def header_saturation(cards: Cards) -> float | None:
    """Return the value in ADU at which pixels saturate, as a header has it; None where it says nothing."""
    return value_of(cards, _SATURATION, number)


def calibrated_hdulist(
    found: CalibratedFrame,
    amplifiers: Sequence[Amplifier],
    readout: Mapping[str, Readout],
    applied: AppliedMasters,
    *,
    raw_cards: Cards,
    cards: Mapping[str, Any],
    remarks: Iterable[str] = (),
) -> fits.HDUList:
    """Lay out a calibrated frame as FITS: primary image, UNCERT, MASK; of several amplifiers their gains too.

    Parameters
    ----------
    found : CalibratedFrame
        Of shape (rows, columns).
    amplifiers : sequence of Amplifier
        Of the frame.
    readout : mapping of str to Readout
        Gain and read noise that were used, by amplifier.
    applied : mapping of str to AppliedMaster
        By kind; ``mask`` is that of bad pixels.
    raw_cards : mapping
        Of the raw frame; those that hold no longer are left out.
    cards : mapping of str to object
        More cards: keyword → value, or (value, comment).
    remarks : iterable of str
        What is odd about the frame, or what it was calibrated with, as HISTORY.

    Returns
    -------
    HDUList
        As `CCDData.read` understands it, unit, uncertainty and mask included.
    """
    primary = fits.PrimaryHDU(found.value)
    own = {**_gain_cards(found, amplifiers, readout, raw_cards), **_applied_cards(applied), **cards}
    for keyword, value in {**cards_of_frame(raw_cards), **own}.items():
        set_card(primary.header, keyword, value)
    set_card(primary.header, "BUNIT", (found.unit, "unit of the image"))
    for line in (line for one in remarks for line in wrap(f"ccdwatch: {one.replace('e⁻', 'electron')}", _HISTORY)):
        primary.header.add_history(plain_ascii(line))
    uncertainty = fits.ImageHDU(found.uncertainty, name="UNCERT")
    uncertainty.header["BUNIT"] = (found.unit, "1-sigma uncertainty")
    uncertainty.header["UTYPE"] = "StdDevUncertainty"
    mask = fits.ImageHDU(found.mask, name="MASK")
    name_bits(mask.header)
    gains = [
        MeasuredAmplifier(one, readout[one.name].gain_e_per_adu, None, readout[one.name].read_noise_e)
        for one in amplifiers
    ]
    tables = [amplifiers_table(gains, of="of the raw frame: ")] if len(gains) > 1 else []
    return fits.HDUList([primary, uncertainty, mask, *tables])


def _gain_cards(
    found: CalibratedFrame, amplifiers: Sequence[Amplifier], readout: Mapping[str, Readout], raw_cards: Cards
) -> dict[str, Any]:
    """Return the cards of gain and read noise: programs reckon photon noise by GAIN, which is 1 of electrons.

    After a flat all amplifiers have one gain; their own, those of the raw frame, stand in the table.
    """
    gains, one = {found.gain_of(readout[each.name]) for each in amplifiers}, readout[amplifiers[0].name]
    of_adu = gains.pop() if len(gains) == 1 else None
    if found.unit == "electron":
        times = f": times {of_adu:.6g}" if of_adu is not None else ""
        gain: tuple[float | None, str] = (1.0, f"pixels are electrons{times}")
    else:
        gain = (of_adu, "[electron/adu] measured gain" if len(amplifiers) == 1 else "[electron/adu] of all amplifiers")
    noise = one.read_noise_e if len(amplifiers) == 1 else None
    cards = {"EGAIN": gain, "RDNOISE": (noise, "[electron] measured read noise")}
    return cards | ({"GAIN": gain} if "GAIN" in raw_cards and not gain_is_a_setting(raw_cards) else {})


def _applied_cards(applied: AppliedMasters) -> dict[str, Any]:
    cards: dict[str, Any] = {}
    for kind, one in applied.items():
        word = kind.upper()
        cards |= {
            f"{word}FILE": (one.name, f"{kind} that was used"),
            f"{word}SHA": one.sha256,
            f"{word}ID": (one.master_id and f"master:{one.master_id}", "see ccdwatch provenance"),
            f"{word}PRC": (one.price_e, "[electron] what it adds to the noise"),
        }
    done = [_DONE[kind] for kind in _DONE if kind in applied]
    return cards | {word: ("ccdwatch", "what was done") for word, _ in done} | {"CALSTAT": "".join(c for _, c in done)}
