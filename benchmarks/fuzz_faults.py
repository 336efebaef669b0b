"""What can be wrong with a night, planted into one that is as it should be, and the words that name it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from benchmarks import fuzz_programs
from benchmarks.fuzz_cameras import Camera, FloatImage, Night, Shot

Plant = Callable[[np.random.Generator, Night], None]


@dataclass(frozen=True)
class Fault:
    """A kind of trouble.

    Parameters
    ----------
    name : str
        What is wrong.
    words : str
        A pattern that every sentence holds which names this cause; others are no help to the user.
    plant : callable
        Puts it into a night, which it changes.
    """

    name: str
    words: str
    plant: Plant

    def is_named(self, text: str) -> bool:
        """Whether a text names the cause."""
        return re.search(self.words, text, re.IGNORECASE) is not None


def _again(rng: np.random.Generator, night: Night, camera: Camera, number: int, *, drift: float = 0.0) -> Shot:
    """Take an exposure again, of the same mean signal in numbers, by another camera."""
    shot, old = night.shots[number], night.camera
    bright = old.light > 0.5 * old.light.max()
    adu = 0.0
    if shot.kind == "flat":
        adu = float(np.mean((shot.pixels - old.bias)[bright] / old.light[bright]))
        adu *= old.gains[0] / camera.gains[0]  # the lamp is the same, so that electrons are
        adu = min(adu, 0.8 * (camera.top - camera.bias))
    pixels = camera.digitised(camera.analogue(rng, adu, drift=drift))
    return replace(shot, pixels=pixels.astype(shot.pixels.dtype))


def _average(shots: list[Shot]) -> FloatImage:
    return np.asarray(np.mean([shot.pixels.astype(float) for shot in shots], axis=0))


def _foreign(kind: str) -> Plant:
    """Put a finished master among the raw frames, told by no card, first, last or in between."""

    def plant(rng: np.random.Generator, night: Night) -> None:
        numbers = night.of(kind)
        level = [n for n in numbers if night.shots[n].seconds == night.shots[numbers[-1]].seconds]
        while len(level) < 4:  # a master is made of more than two
            night.shots.insert(level[-1] + 1, _again(rng, night, night.camera, level[-1]))
            level.append(level[-1] + 1)
        mean = _average([night.shots[n] for n in level])
        pixels: Any = np.rint(mean).astype(np.uint16) if rng.random() < 0.5 else mean.astype(np.float32)
        place = int(rng.choice([level[0], level[-1] + 1, level[len(level) // 2]]))
        night.shots.insert(place, replace(night.shots[level[0]], pixels=pixels))

    return plant


def _averages(rng: np.random.Generator, night: Night) -> None:
    """Give means of several flats as if they were raw, but leave the biases raw."""
    n = int(rng.integers(3, 9))
    for number in night.of("flat"):
        some = [_again(rng, night, night.camera, number) for _ in range(n)]
        night.shots[number] = replace(night.shots[number], pixels=_average(some).astype(np.float32))


def _modes(rng: np.random.Generator, night: Night) -> None:
    """Change the gain of half the exposures of each kind, which no card tells."""
    factor = float(rng.choice([rng.uniform(0.4, 0.8), rng.uniform(1.25, 2.5)]))
    other = replace(
        night.camera,
        gains=tuple(gain * factor for gain in night.camera.gains),
        read_noise_e=night.camera.read_noise_e * float(rng.uniform(0.7, 1.3)),
    )
    in_turn = rng.random() < 0.5
    for kind in ("bias", "flat"):
        numbers = night.of(kind)
        while len(numbers) < 6:
            night.shots.insert(numbers[-1] + 1, _again(rng, night, night.camera, numbers[-1]))
            numbers = night.of(kind)
        for number in numbers[1::2] if in_turn else numbers[len(numbers) // 2 :]:
            night.shots[number] = _again(rng, night, other, number)
    night.truths.append(other.truths)


def _other_mode_of_flats(rng: np.random.Generator, night: Night) -> None:
    """Take the biases by another detector than the flats, at another level, with serial numbers in the headers."""
    shift = float(rng.uniform(0.05, 0.2)) * night.camera.bias
    other = replace(night.camera, bias=night.camera.bias + shift)
    keyword = rng.choice(["CAMSERNO", "SERIALNO", "DETSER", "CCDSERNO", "CAMID"])
    for number, shot in enumerate(night.shots):
        again = _again(rng, night, other, number) if shot.kind == "bias" else shot
        night.shots[number] = replace(again, cards={keyword: "A-001" if shot.kind == "bias" else "B-002"})


def _serials(rng: np.random.Generator, night: Night) -> None:
    """Let two cameras of one name take turns, told apart by a card of the read mode or a serial number."""
    keyword, values = [
        ("READMODE", (0, 1)),
        ("ISOSPEED", (400, 800)),
        ("CAMSERNO", ("A-001", "B-002")),
        ("READOUTM", ("low noise", "fast")),
        ("PREAMP", ("1x", "2x")),
        ("DETSER", ("17", "18")),
    ][rng.integers(6)]
    factor = float(rng.uniform(0.5, 0.9))
    other = replace(night.camera, gains=tuple(gain * factor for gain in night.camera.gains))
    first = night.shots
    second = [replace(_again(rng, night, other, n), cards={keyword: values[1]}) for n in range(len(first))]
    night.shots = [replace(shot, cards={keyword: values[0]}) for shot in first] + second
    night.truths.append(other.truths)


def _lamp_off(rng: np.random.Generator, night: Night) -> None:
    numbers = night.of("flat")
    dark = [replace(night.shots[n], pixels=_dark(rng, night, n), filter="U") for n in numbers[:3]]
    night.shots += dark


def _dark(rng: np.random.Generator, night: Night, number: int) -> Any:
    return night.camera.digitised(night.camera.analogue(rng)).astype(night.shots[number].pixels.dtype)


def _all_lamps_off(rng: np.random.Generator, night: Night) -> None:
    for number in night.of("flat"):
        night.shots[number] = replace(night.shots[number], pixels=_dark(rng, night, number))


def _clipped(rng: np.random.Generator, night: Night) -> None:
    """Lower the offset so far that the biases are cut off at zero."""
    noise = night.camera.read_noise_e / night.camera.gains[0]
    down = night.camera.bias - float(rng.uniform(-0.5, 1.0)) * noise
    camera = replace(night.camera, bias=night.camera.bias - down)
    night.change(range(len(night.shots)), lambda shot: shot)
    for number in range(len(night.shots)):
        night.shots[number] = _again(rng, night, camera, number)
    night.camera = camera


def _fractions(rng: np.random.Generator, night: Night) -> None:
    """Write floating-point numbers from 0 to 1."""
    scale = float(rng.choice([65535.0, night.camera.top]))

    def change(shot: Shot) -> Shot:
        return replace(shot, pixels=(shot.pixels / scale).astype(np.float32))

    night.change(range(len(night.shots)), change)
    night.truths = [tuple((gain * scale, noise / scale) for gain, noise in night.camera.truths)]


def _wrapped(rng: np.random.Generator, night: Night) -> None:
    """Write unsigned numbers as signed ones, without BZERO."""
    brightest = max(float(np.median(night.shots[number].pixels)) for number in night.of("flat"))
    lift = max(float(rng.uniform(20_000, 40_000)), 2**15 - brightest)  # half of the brightest flat wraps at least

    def change(shot: Shot) -> Shot:
        light = np.clip(shot.pixels.astype(float) + (lift if shot.kind == "flat" else 0), 0, 65535)
        return replace(shot, pixels=light.astype(np.uint16).view(np.int16))

    night.change(range(len(night.shots)), change)


def _saturated(rng: np.random.Generator, night: Night) -> None:
    """Expose the flats so long that most or all of the light is at the ceiling."""
    factor = float(rng.uniform(1.1, 2.5))
    for number in night.of("flat"):
        camera = night.camera
        image = camera.analogue(rng, factor * (camera.top - camera.bias))
        pixels = camera.digitised(image).astype(night.shots[number].pixels.dtype)
        night.shots[number] = replace(night.shots[number], pixels=pixels)


def _multiplied(rng: np.random.Generator, night: Night) -> None:
    """Multiply electrons in a register, which doubles the variance of light."""
    camera, register = night.camera, float(rng.uniform(50, 500))
    level = 0.3 * (camera.top - camera.bias)
    photons = float(rng.uniform(200, 1500))
    per_electron = level / photons  # numbers for each photo-electron
    spellings: list[dict[str, Any]] = [
        {"EMREALGN": register, "OUTPTAMP": "Electron Multiplying"},
        {"EMGAIN": register},
        {"GAINEM": register},
        {"HIERARCH ESO DET EMGAIN": register},
    ]
    cards = spellings[rng.integers(4)]
    light = camera.light / camera.light.max()
    for number, shot in enumerate(night.shots):
        electrons = rng.poisson(photons * light).astype(float) if shot.kind == "flat" else np.zeros(camera.shape)
        out = np.where(electrons > 0, rng.gamma(np.maximum(electrons, 1e-9), 1.0), 0.0) * per_electron
        noise = rng.normal(0, camera.read_noise_e, camera.shape) / camera.gain_map
        pixels = camera.digitised(out + noise + camera.bias + camera.pattern).astype(shot.pixels.dtype)
        night.shots[number] = replace(shot, pixels=pixels, cards=cards)
    noise_adu = tuple(noise for _, noise in camera.truths)
    night.truths = [tuple((1 / per_electron, noise) for noise in noise_adu)]


def _bent(rng: np.random.Generator, night: Night) -> None:
    """Bend the response of a ramp of levels by some percent at its top."""
    camera, bend = night.camera, float(rng.uniform(0.03, 0.1))
    span = camera.top - camera.bias
    flat = night.shots[night.of("flat")[0]]
    night.shots = [shot for shot in night.shots if shot.kind == "bias"]
    for level in np.repeat(np.geomspace(0.05, 0.85, 7), 2):
        image = camera.analogue(rng, level * span)
        signal = image - camera.bias
        image = camera.bias + signal * (1 - bend * (np.maximum(signal, 0) / span) ** 2)
        night.shots.append(
            replace(flat, pixels=camera.digitised(image).astype(flat.pixels.dtype), seconds=round(10 * float(level), 3))
        )


def _moving(rng: np.random.Generator, night: Night) -> None:
    """Let spots of dew dry from flat to flat."""
    y, x = np.mgrid[: night.camera.shape[0], : night.camera.shape[1]]
    spots = np.zeros(night.camera.shape)
    for _ in range(40):
        row, column = rng.uniform(0, night.camera.shape[0]), rng.uniform(0, night.camera.shape[1])
        spots += np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * rng.uniform(2, 4) ** 2))
    numbers = night.of("flat")
    for number, depth in zip(numbers, np.linspace(0.8, 0.1, len(numbers)), strict=True):
        shot = night.shots[number]
        wet = replace(night.camera, light=night.camera.light * (1 - depth * np.minimum(spots, 1)))
        night.shots[number] = replace(_again(rng, night, wet, number), seconds=shot.seconds)


def _warm_biases(rng: np.random.Generator, night: Night) -> None:
    """Take the biases at another temperature, which moves their level."""
    noise = night.camera.read_noise_e / night.camera.gains[0]
    other = replace(night.camera, bias=night.camera.bias + float(rng.uniform(5, 30)) * noise)
    for number, shot in enumerate(night.shots):
        warm = shot.kind == "bias"
        again = _again(rng, night, other, number) if warm else shot
        night.shots[number] = replace(again, cards={"CCD-TEMP": 10.0 if warm else -20.0})


def _copies(rng: np.random.Generator, night: Night) -> None:
    """Write one flat again and again, with other times: a program that saves an old buffer."""
    numbers = night.of("flat")
    same = night.shots[numbers[0]]
    night.change(numbers, lambda shot: replace(shot, pixels=same.pixels, seconds=same.seconds))


def _dead(rng: np.random.Generator, night: Night) -> None:
    """Let the converter give one number only."""
    value = int(rng.integers(100, 4000))  # nights of one batch share a home, and equal frames are one
    night.change(range(len(night.shots)), lambda shot: replace(shot, pixels=np.full_like(shot.pixels, value)))


def _checkered(rng: np.random.Generator, night: Night) -> None:
    """Spoil one flat by a driver's fault: every second pixel is 1."""
    number = int(rng.choice(night.of("flat")))
    pixels = night.shots[number].pixels.copy()
    pixels[(np.add.outer(*map(np.arange, pixels.shape))) % 2 == 0] = 1
    night.shots[number] = replace(night.shots[number], pixels=pixels)


def _lossy(rng: np.random.Generator, night: Night) -> None:
    """Compress floating-point frames with loss, in steps of half the noise."""
    night.change(range(len(night.shots)), lambda shot: replace(shot, pixels=shot.pixels.astype(np.float32), lossy=True))


def _stray(rng: np.random.Generator, night: Night) -> None:
    """Let light leak into one bias."""
    number = int(rng.choice(night.of("bias")))
    noise = night.camera.read_noise_e / night.camera.gains[0]
    leaking = replace(night.camera, light=night.camera.light * 0 + np.linspace(0.2, 1, night.camera.shape[1])[None, :])
    pixels = leaking.digitised(leaking.analogue(rng, 30 * noise)).astype(night.shots[number].pixels.dtype)
    night.shots[number] = replace(night.shots[number], pixels=pixels)


FAULTS = (
    Fault(
        "a finished master among the flats",
        r"average|combined|master|too little noise|noise .* of the other",
        _foreign("flat"),
    ),
    Fault(
        "a finished master among the biases",
        r"average|combined|master|too little noise|noise .* of the other",
        _foreign("bias"),
    ),
    Fault("averages given as raw flats", r"average|combined|master|too little noise", _averages),
    Fault("two gains in one set, told by no card", r"two groups|mixed|mixture|modes?\b|settings?\b|two gains", _modes),
    Fault(
        "biases of another detector",
        r"serial|camera|detector|CAMSERNO|SERIALNO|DETSER|CCDSERNO|CAMID|no biases|without biases|none of bin",
        _other_mode_of_flats,
    ),
    Fault(
        "two cameras or modes that a card tells apart",
        r"two groups|mixed|mixture|modes?\b|settings?\b|READ|ISO|SER|PREAMP",
        _serials,
    ),
    Fault("one filter's lamp off", r"no light|lamp|light above|flux", _lamp_off),
    Fault("all lamps off", r"no light|lamp|light above|flux", _all_lamps_off),
    Fault("biases cut off at zero", r"cut off|clip|offset|black level|at 0\b|at zero", _clipped),
    Fault("numbers from 0 to 1", r"not ADU|0 to 1|0 and 1|no ADU|between 0|in units|normalis", _fractions),
    Fault("unsigned numbers without BZERO", r"negative|BZERO|unsigned|wrapped", _wrapped),
    Fault("saturated flats", r"saturat|ceiling|full well|turn-off", _saturated),
    Fault("electron multiplication", r"multipl|excess|EM gain|\bEM\b", _multiplied),
    Fault("a bent response", r"bend|bent|linear|full well|HDR|curve|turn-off", _bent),
    Fault("dew that dries", r"pattern|moved|changed|spots?|fade", _moving),
    Fault("biases of another temperature", r"temperature|°C", _warm_biases),
    Fault(
        "one buffer saved again and again",
        r"same pixels|copies|copy|made of one frame|identical|no shot noise|duplicate",
        _copies,
    ),
    Fault(
        "a converter that gives one number",
        r"constant|same pixels|no noise|dead|identical|one number|do not vary|no usable pair",
        _dead,
    ),
    Fault("a flat of every second pixel", r"noise|pattern|differ|level|flux|dead|driver|scatter", _checkered),
    Fault("lossy compression", r"lossy|quanti[sz]|loss\b", _lossy),
    Fault("light in one bias", r"light|above the other|noise|left out", _stray),
    Fault("interpolated, smoothed or enlarged", r"interpolat|smooth|resampl", fuzz_programs.resample),
    Fault("bytes in the wrong order", r"\bbytes\b", fuzz_programs.swap_bytes),
    Fault("8 bits, bent for a screen", r"8 bits|gamma|too few bits|not linear", fuzz_programs.bend_to_8_bits),
    Fault("flats divided by a flat", r"fractions|divided|averages", fuzz_programs.divide_flats),
    Fault(
        "flats shifted or turned",
        r"pattern (that )?move|shifted",
        fuzz_programs.shift,
    ),
    Fault(
        "a lamp that flickers from row to row",
        r"flicker|pattern (that )?move|besides light",
        fuzz_programs.flicker,
    ),
)
