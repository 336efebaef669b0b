"""What the style sheet promises: text that everybody can read, in light and in dark."""

import re
from itertools import product
from pathlib import Path

import pytest

import web

STYLE = (Path(web.__file__).parent / "templates" / "style.css").read_text(encoding="utf-8")
LIGHT, DARK = (
    dict(re.findall(r"--(\w+): (#[0-9a-f]+)", block)) for block in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
)
TEXT = ("ink", "muted", "accent", "ok", "suspect", "bad", "step")
READABLE = 4.5
"""WCAG 2 level AA, for text of any size."""


def channels(colour: str) -> list[float]:
    digits = colour.removeprefix("#")
    if len(digits) == 3:
        digits = "".join(2 * digit for digit in digits)
    return [int(digits[place : place + 2], 16) / 255 for place in range(0, len(digits), 2)]


def over(colour: str, ground: str) -> str:
    """Lay a colour that may be transparent over another."""
    *top, opacity = channels(colour)
    mixed = (opacity * one + (1 - opacity) * other for one, other in zip(top, channels(ground), strict=True))
    return "#" + "".join(f"{round(255 * one):02x}" for one in mixed)


def luminance(colour: str) -> float:
    linear = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels(colour))
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_what_the_standard_says() -> None:
    assert contrast("#000", "#fff") == pytest.approx(21)
    assert contrast("#777", "#fff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read_on_every_ground(theme: dict[str, str]) -> None:
    grounds = {"page": theme["ground"], "table": theme["raised"], "limits": over(theme["band"], theme["raised"])}
    too_faint = [
        (text, where)
        for text, (where, ground) in product(TEXT, grounds.items())
        if contrast(theme[text], ground) < READABLE
    ]
    assert too_faint == []


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_buttons_can_be_read(theme: dict[str, str]) -> None:
    assert contrast(theme["raised"], theme["accent"]) >= READABLE
    assert contrast(theme["ground"], theme["ink"]) >= READABLE
