"""Frames that do not belong are found, and only these."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ccdcore.cards.sections import Amplifier, Section
from ccdcore.frames.frame import FrameStatistics, SeriesFrame
from ccdcore.frames.series_health import judge_series, temperature_gap
from ccdcore.frames.statistics import frame_statistics
from ccdcore.headers.identify import ExposureInfo, identify
from ccdcore.headers.instrument import FrameType
from tests.support.simulate import Camera, expose, notebook_flux, spectrum_light, uniform_light

EVENING = datetime(2022, 9, 19, 19, tzinfo=UTC)
SHAPE = (100, 200)
BIAS, NOISE, LIGHT = 300.0, 3.0, 10_000.0
WARM_UP = ["flat0", "flat1"]

Levels = float | Sequence[float]


def frame(
    name: str,
    level: Levels,
    *,
    frame_type: FrameType = FrameType.FLAT,
    minute: float = 0.0,
    noise: float = NOISE,
    overscan: Levels | None = None,
    saturated: float = 0.0,
    shape: tuple[int, int] = SHAPE,
    **info: Any,
) -> SeriesFrame:
    levels = [level] if isinstance(level, float | int) else list(level)
    overscans = [overscan] * len(levels) if isinstance(overscan, float | int) or overscan is None else list(overscan)
    names = "ABCD"[: len(levels)]
    statistics = tuple(
        FrameStatistics(each, 20_000, value - 10, value + 10, value, value, noise, saturated, over)
        for each, value, over in zip(names, levels, overscans, strict=True)
    )
    defaults: dict[str, Any] = {"exposure_time_s": 0.0 if frame_type is FrameType.BIAS else 8.0, "filter": "V"}
    return SeriesFrame(
        sha256=name,
        path=Path(f"{name}.fits"),
        shape=shape,
        info=ExposureInfo(
            frame_type,
            info.pop("frame_type_reason", "test"),
            "cam",
            "test",
            "bin1x1",
            EVENING + timedelta(minutes=minute),
            **(defaults | info),
        ),
        amplifiers=tuple(Amplifier(each, Section.whole(SHAPE)) for each in names),
        statistics=statistics,
    )


def biases(
    levels: Sequence[Levels] = (BIAS, BIAS + 0.3, BIAS - 0.2, BIAS + 0.1, BIAS), **options: Any
) -> list[SeriesFrame]:
    options = {"frame_type": FrameType.BIAS, **options}
    return [frame(f"bias{n}", level, minute=n / 10 - 60, **options) for n, level in enumerate(levels)]


def flats(flux: Sequence[float] | np.ndarray, *, light: float = LIGHT, **options: Any) -> list[SeriesFrame]:
    return [frame(f"flat{n}", BIAS + light * float(each), minute=n / 5, **options) for n, each in enumerate(flux)]


def excluded(frames: Sequence[SeriesFrame]) -> list[str]:
    return [exclusion.frame.sha256 for exclusion in judge_series(frames)[1]]


def reasons(frames: Sequence[SeriesFrame]) -> dict[str, str]:
    return {exclusion.frame.sha256: exclusion.reason for exclusion in judge_series(frames)[1]}


def noisy(flux: Sequence[float] | np.ndarray, scatter: float, seed: int) -> np.ndarray:
    return np.asarray(flux) * (1 + scatter * np.random.default_rng(seed).normal(size=len(flux)))


# Flats of a stable lamp


@pytest.mark.parametrize(
    ("frame_type", "value", "has_biases", "reason"),
    [
        (FrameType.BIAS, 7.0, True, "every pixel is 7 ADU: dead converter, cable off, or too few bits?"),
        (
            FrameType.BIAS,
            0.0,
            True,
            "every pixel is 0 ADU: offset too low, dead converter, cable off, or too few bits?",
        ),
        (FrameType.DARK, 7.0, True, "every pixel is 7 ADU: dead converter, cable off, or too few bits?"),
        (
            FrameType.FLAT,
            44_000.0,
            False,
            "every pixel is 44000 ADU: saturated, dead converter, cable off, or too few bits?",
        ),
        (FrameType.FLAT, 44_000.0, True, "saturated: 100 % of the pixels at 44000 ADU"),
        (FrameType.FLAT, 65_532.0, False, "saturated: 100 % of the pixels at 65532 ADU"),
        (FrameType.DARK, 65_535.0, False, "saturated: 100 % of the pixels at 65535 ADU"),
    ],
)
def test_frames_of_one_value_are_no_exposures(
    frame_type: FrameType, value: float, has_biases: bool, reason: str
) -> None:
    odd = frame("odd", value, frame_type=frame_type, noise=0.0, saturated=1.0)
    odd = replace(odd, statistics=(replace(odd.statistics[0], minimum=value, maximum=value),))
    assert reasons([*(biases() if has_biases else []), *flats(np.ones(4)), odd]) == {"odd": reason}


def test_the_warm_up_is_told_in_words() -> None:
    told = reasons(biases() + flats(notebook_flux()))
    assert told == {
        "flat0": "flux 50 % below its neighbours (lamp warming up?)",
        "flat1": "flux 49 % below its neighbours (lamp warming up?)",
    }


def test_frames_come_back_in_the_order_given() -> None:
    frames = [*flats(notebook_flux())[::-1], *biases()]
    kept, left_out = judge_series(frames)
    assert kept == tuple(each for each in frames if each.sha256 not in WARM_UP)
    assert [exclusion.frame for exclusion in left_out] == [frames[9], frames[10]]


@pytest.mark.parametrize("dimmed", range(2, 11))
@pytest.mark.parametrize("drift", [-0.015, 0.0, 0.01])
def test_one_flat_dimmed_by_five_percent_is_found_anywhere(dimmed: int, drift: float) -> None:
    for seed in range(5):
        flux = noisy(notebook_flux(dimmed=dimmed, drift=drift), 0.002, seed)
        assert excluded(biases() + flats(flux)) == [*WARM_UP, f"flat{dimmed}"]


@pytest.mark.parametrize("scatter", [0.005, 0.01])
def test_an_unsteady_lamp_costs_no_good_flat(scatter: float) -> None:
    lost = [excluded(biases() + flats(noisy(notebook_flux(), scatter, seed))) != WARM_UP for seed in range(600)]
    assert np.mean(lost) <= 0.01


@pytest.mark.parametrize(("scatter", "least"), [(0.005, 0.95), (0.01, 0.8)])
def test_a_dimmed_flat_is_found_under_an_unsteady_lamp(scatter: float, least: float) -> None:
    found = []
    for seed in range(300):
        dimmed = 2 + seed % 9
        flux = noisy(notebook_flux(dimmed=dimmed), scatter, seed)
        found.append(f"flat{dimmed}" in excluded(biases() + flats(flux)))
    assert np.mean(found) >= least


@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize("dimming", [0.05, 0.2, 0.5])
def test_a_dim_flat_of_three_is_found(position: int, dimming: float) -> None:
    flux = noisy(np.ones(3), 0.002, position)
    flux[position] *= 1 - dimming
    assert excluded(biases() + flats(flux)) == [f"flat{position}"]


def test_of_two_flats_nobody_can_say_which_is_dim() -> None:
    assert excluded(biases() + flats([1.0, 0.5])) == []


def test_stray_light_and_a_late_dimming_are_told_apart_from_a_warm_up() -> None:
    told = reasons(biases() + flats([1, 1, 1.2, 1, 1, 0.9, 1]))
    assert told == {
        "flat2": "flux 20 % above its neighbours (stray light?)",
        "flat5": "flux 10 % below its neighbours (lamp or shutter?)",
    }


def test_any_amplifier_counts_and_is_named() -> None:
    levels = [[BIAS + LIGHT, 2 * BIAS + 0.5 * LIGHT] for _ in range(7)]
    levels[4][1] -= 0.05 * LIGHT
    frames = biases([[BIAS, 2 * BIAS]] * 5) + [frame(f"flat{n}", level, minute=n) for n, level in enumerate(levels)]
    assert reasons(frames) == {"flat4": "flux of amplifier B 10 % below its neighbours (lamp or shutter?)"}


def test_an_amplifier_without_light_does_not_count() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        dark = BIAS + rng.normal(0, 0.3, size=16)
        frames = biases([[BIAS, level] for level in dark[:8]])
        frames += [frame(f"flat{n}", [BIAS + LIGHT, level], minute=n) for n, level in enumerate(dark[8:])]
        assert excluded(frames) == []


def test_the_overscan_takes_a_drifting_bias_out_of_the_flux() -> None:
    drift = np.array([0, 60, -50, 20, 90, -70, 30])
    flux = np.array([1, 1, 1, 0.95, 1, 1, 1])
    frames = biases(overscan=BIAS - 2)
    frames += [
        frame(f"flat{n}", BIAS + 1000 * each + wander, overscan=BIAS - 2 + wander, minute=n)
        for n, (each, wander) in enumerate(zip(flux, drift, strict=True))
    ]
    assert excluded(frames) == ["flat3"]


def test_flux_is_not_known_better_than_the_bias_level() -> None:
    lost = []
    for seed in range(200):
        wander = np.random.default_rng(seed).normal(0, 2.0, size=30)
        faint = [frame(f"flat{n}", BIAS + 30 + each, minute=n) for n, each in enumerate(wander[20:])]
        lost.append(bool(excluded(biases(BIAS + wander[:20]) + faint)))
    assert np.mean(lost) <= 0.02


def test_lamps_of_other_filters_exposures_and_nights_are_no_neighbours() -> None:
    frames = biases() + flats(np.ones(5))
    frames += [frame(f"red{n}", BIAS + 3000.0, minute=2 + n, filter="R") for n in range(5)]
    frames += [frame(f"short{n}", BIAS + 5000.0, minute=10 + n, exposure_time_s=4.0) for n in range(5)]
    frames += [frame(f"next{n}", BIAS + 0.8 * LIGHT, minute=24 * 60 + n) for n in range(3)]
    assert excluded(frames) == []


def test_flats_without_biases_are_judged_all_the_same() -> None:
    assert excluded(flats(notebook_flux())) == WARM_UP


def test_frames_of_unknown_time_are_taken_in_the_order_of_their_names() -> None:
    frames = [replace(each, info=replace(each.info, date_obs=None)) for each in biases() + flats(notebook_flux(9))]
    assert excluded(frames) == WARM_UP


# Ramps and twilights


RAMPS = {
    "up": np.linspace(0.1, 1, 10),
    "geometric": np.geomspace(0.01, 1, 10),
    "upper half": np.linspace(0.5, 1, 10),
    "narrow": np.linspace(0.8, 1, 10),
    "very narrow": np.linspace(0.95, 1.05, 10),
    "down": np.linspace(1, 0.1, 10),
    "narrow down": np.linspace(1, 0.7, 10),
    "up and down": np.concatenate([np.linspace(0.2, 1, 5), np.linspace(0.9, 0.1, 5)]),
    "narrow up and down": np.concatenate([np.linspace(0.8, 1, 5), np.linspace(0.98, 0.78, 5)]),
    "medium up and down": np.concatenate([np.linspace(0.6, 1, 5), np.linspace(0.95, 0.55, 5)]),
}


@pytest.mark.parametrize("levels", RAMPS.values(), ids=RAMPS)
@pytest.mark.parametrize("shuffled", [False, True])
def test_no_flat_of_a_flux_ramp_is_excluded(levels: np.ndarray, shuffled: bool) -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        pairs = rng.permutation(levels) if shuffled else levels
        flux = noisy(np.repeat(pairs, 2), 0.003, seed)
        assert excluded(biases() + flats(flux, light=40_000)) == []


@pytest.mark.parametrize("rate", [-0.3, -0.1, -0.05, -0.03, -0.02, 0.02, 0.03, 0.05, 0.1, 0.3])
def test_no_twilight_flat_is_excluded(rate: float) -> None:
    for seed, count in product(range(10), [3, 4, 5, 6, 8, 12, 20]):
        flux = noisy(np.exp(rate * np.arange(count)), 0.003, seed)
        assert excluded(biases() + flats(flux)) == []


def test_no_flat_of_an_exposure_series_is_excluded() -> None:
    frames = biases()
    for n, seconds in enumerate(np.repeat(np.geomspace(0.5, 30, 10), 3)):
        frames.append(frame(f"flat{n}", BIAS + 1000 * seconds, minute=n, exposure_time_s=float(seconds)))
    assert excluded(frames) == []


# Biases and darks


def test_nightly_drifts_of_a_few_adu_are_no_fault() -> None:
    rng = np.random.default_rng(3)
    for _ in range(200):
        nights = rng.uniform(-2, 2, size=3).repeat([10, 11, 11])
        assert excluded(biases(BIAS + nights + rng.normal(0, 0.05, size=32), noise=1.0)) == []


@pytest.mark.parametrize(
    ("step", "words"),
    [(40.0, "level 40.0 ADU above the other bias frames (light leak?)"),
     (-12.0, "level 12.0 ADU below the other bias frames (read-out not settled?)"),
     ([0.0, 60.0], "level of amplifier B 60.0 ADU above the other bias frames (its offset jumped, or light leak?)")],
)  # fmt: skip
def test_a_bias_of_another_level_is_excluded(step: Levels, words: str) -> None:
    steps = np.atleast_1d(step)
    levels = [list(np.full(steps.size, BIAS) + odd * steps) for odd in (0, 0, 1, 0, 0)]
    assert reasons(biases(levels)) == {"bias2": words}


def test_a_bias_with_pick_up_and_one_that_is_an_average_are_excluded() -> None:
    frames = biases()
    frames[1] = frame("bias1", BIAS, frame_type=FrameType.BIAS, noise=5.0)
    frames[3] = frame("bias3", BIAS, frame_type=FrameType.BIAS, noise=0.9)
    assert reasons(frames) == {
        "bias1": "noise 5.0 ADU, that of the other bias frames 3.0 ADU (pick-up, light, or another gain setting?)",
        "bias3": "noise 0.9 ADU, that of the other bias frames 3.0 ADU (an average of several?)",
    }


def test_a_bias_with_a_light_leak_does_not_spoil_the_flux() -> None:
    frames = biases([BIAS, BIAS, BIAS, BIAS + 8000]) + flats([1, 1, 1, 0.9, 1])
    assert excluded(frames) == ["bias3", "flat3"]


def test_darks_are_compared_within_their_exposure_time() -> None:
    short = [frame(f"s{n}", BIAS + 10, frame_type=FrameType.DARK, exposure_time_s=10.0) for n in range(4)]
    long = [frame(f"l{n}", BIAS + 300, frame_type=FrameType.DARK, exposure_time_s=300.0) for n in range(4)]
    odd = frame("odd", BIAS + 330, frame_type=FrameType.DARK, exposure_time_s=300.2)
    assert reasons([*short, *long, odd]) == {"odd": "level 30.0 ADU above the other dark frames (light leak?)"}


# What needs no neighbours in time


def test_averaged_frames_are_excluded() -> None:
    frames = [*biases(), frame("mean", BIAS, frame_type=FrameType.BIAS, n_averaged=5)]
    assert reasons(frames) == {"mean": "average or sum of 5 exposures, not a raw frame"}


def test_another_shape_is_excluded_with_both_shapes_told() -> None:
    frames = [*biases(), frame("odd", BIAS, frame_type=FrameType.BIAS, shape=(50, 200))]
    assert reasons(frames) == {
        "odd": "50 × 200 pixels (amplifier A), where 5 of 6 frames of the set have 100 × 200 pixels (amplifier A)"
    }


def test_another_overscan_is_excluded() -> None:
    odd = frame("odd", BIAS, frame_type=FrameType.BIAS)
    amplifier = Amplifier("A", Section(1, 190, 1, 100), Section(191, 200, 1, 100))
    said = reasons([*biases(), replace(odd, amplifiers=(amplifier,))])
    assert said.keys() == {"odd"}
    assert said["odd"].startswith("100 × 200 pixels (amplifier A with overscan [191:200,1:100]), where 5 of 6 frames")


def test_other_amplifiers_are_excluded() -> None:
    frames = [*biases(), frame("odd", [BIAS, BIAS], frame_type=FrameType.BIAS)]
    assert "100 × 200 pixels (amplifiers A, B)" in reasons(frames)["odd"]


def test_saturated_flats_and_darks_are_excluded_but_not_spots() -> None:
    frames = biases() + flats([1, 1, 1])
    frames.append(frame("hot", 65535.0, saturated=0.4))
    frames.append(frame("spots", BIAS + LIGHT, saturated=0.005))
    frames.append(frame("dark", 65535.0, saturated=1.0, frame_type=FrameType.DARK))
    assert reasons(frames) == {
        "hot": "saturated: 40 % of the pixels at 65545 ADU",
        "dark": "saturated: 100 % of the pixels at 65545 ADU",
    }


def test_a_warm_detector_is_excluded_within_its_type() -> None:
    cold = biases(ccd_temperature_c=-70.0)
    warm = frame("warm", BIAS, frame_type=FrameType.BIAS, ccd_temperature_c=-20.0)
    unknown = frame("unknown", BIAS, frame_type=FrameType.BIAS)
    other_type = flats(np.ones(3), ccd_temperature_c=-60.0)
    assert reasons([*cold, warm, unknown, *other_type]) == {
        "warm": "detector at -20.0 °C, the other bias frames at -70.0 °C"
    }


def test_two_temperatures_of_equal_right_stay() -> None:
    frames = biases(ccd_temperature_c=-70.0)[:2] + biases(ccd_temperature_c=-60.0)[2:4]
    assert excluded(frames) == []


@pytest.mark.parametrize("frames", [[], biases()[:1], flats([1.0]), biases([0.0] * 3, noise=0.0) + flats([0.0] * 4)])
def test_small_and_empty_sets_are_kept_whole(frames: list[SeriesFrame]) -> None:
    assert judge_series(frames) == (tuple(frames), ())


# From pixels


def of_pixels(camera: Camera, light: np.ndarray, flux: Sequence[float], seed: int) -> list[SeriesFrame]:
    rng = np.random.default_rng(seed)
    frames = []
    for night, count in enumerate((10, 11, 11)):
        drift = rng.normal(0, 0.5)
        for n in range(count):
            data = expose(camera, rng, bias_offset_adu=drift, cosmic_ray_fraction=1e-3)
            bias = frame(f"bias{night}-{n}", BIAS, frame_type=FrameType.BIAS, minute=(night - 2) * 1440 + n)
            frames.append(replace(bias, statistics=frame_statistics(data, camera.amplifiers)))
    for n, each in enumerate(flux):
        data = expose(camera, rng, light * each, bias_offset_adu=drift, cosmic_ray_fraction=1e-3)
        flat = frame(f"flat{n}", BIAS, minute=60 + n / 5)
        frames.append(replace(flat, statistics=frame_statistics(data, camera.amplifiers)))
    return frames


@pytest.mark.parametrize("peak_e", [400.0, 15_000.0])
@pytest.mark.parametrize("dimmed", [None, 2, 6, 10])
def test_the_notebook_series_loses_its_warm_up_and_what_was_dimmed(peak_e: float, dimmed: int | None) -> None:
    camera = Camera(shape=(100, 512))
    light = spectrum_light(camera.shape, peak_e)
    for seed in range(3):
        frames = of_pixels(camera, light, notebook_flux(dimmed=dimmed), seed)
        assert excluded(frames) == [*WARM_UP, *([] if dimmed is None else [f"flat{dimmed}"])]


@pytest.mark.parametrize("seed", range(3))
def test_a_ramp_of_pixels_loses_nothing(seed: int) -> None:
    camera = Camera(shape=(100, 256))
    flux = np.repeat(np.linspace(0.1, 1, 10), 2)
    assert excluded(of_pixels(camera, uniform_light(camera.shape, 50_000.0), flux, seed)) == []


def test_averages_are_told_by_a_card_or_by_their_pixels() -> None:
    frames = biases()
    mean = replace(frames[0], sha256="mean", statistics=(replace(frames[0].statistics[0], n_averaged=5),))
    named = replace(frames[0], sha256="named", info=replace(frames[0].info, n_averaged=3))
    assert reasons([*frames, mean, named]) == {
        "mean": "average of 5 exposures, not a raw frame: its pixels are multiples of 1/5 ADU",
        "named": "average or sum of 3 exposures, not a raw frame",
    }


@pytest.mark.parametrize(("warm", "told"), [(-20.0, False), (-15.5, False), (-10.0, True), (None, False)])
def test_biases_of_another_temperature_are_told(warm: float | None, told: bool) -> None:
    gap = temperature_gap(biases(ccd_temperature_c=-20.0), flats([1, 1, 1], ccd_temperature_c=warm))
    assert gap == ("detector at -20.0 °C in the biases, at -10.0 °C in the other frames" if told else None)


def real(name: str, image: np.ndarray, frame_type: FrameType = FrameType.FLAT) -> SeriesFrame:
    return replace(
        frame(name, BIAS, frame_type=frame_type),
        statistics=frame_statistics(image, (Amplifier("1", Section.whole(image.shape)),)),
    )


@pytest.mark.parametrize("light", [32_700, 38_000, 64_000])
def test_unsigned_numbers_without_bzero_are_told(light: float) -> None:
    rng = np.random.default_rng(1)
    darks = [real(f"bias{n}", rng.normal(500, 3, (50, 60)).astype(np.int16), FrameType.BIAS) for n in range(3)]
    bright = [np.rint(rng.normal(light, 150, (50, 60))).astype(np.uint16).view(np.int16) for _ in range(3)]
    told = reasons([*darks, *(real(f"flat{n}", image) for n, image in enumerate(bright))])
    assert set(told) == {"flat0", "flat1", "flat2"}
    assert all("unsigned numbers without BZERO?" in reason for reason in told.values())


def test_fractions_below_zero_are_no_numbers_that_wrapped() -> None:
    rng = np.random.default_rng(1)
    darks = [real(f"bias{n}", rng.normal(500, 3, (50, 60)).astype(np.uint16), FrameType.BIAS) for n in range(3)]
    divided = [(rng.normal(0, 900, (50, 60)) / rng.uniform(0.5, 1, (50, 60))).astype(np.float32) for _ in range(3)]
    told = reasons([*darks, *(real(f"flat{n}", image) for n, image in enumerate(divided))])
    assert set(told) == {"flat0", "flat1", "flat2"}
    assert all("or that it divided?" in reason and "BZERO" not in reason for reason in told.values())


def test_signed_numbers_of_other_origins_are_not_called_wrapped() -> None:
    rng = np.random.default_rng(2)
    for offset, scale in ((-32768, 1), (-500, 1), (0, 1)):  # counted from the middle of the range; free of bias; plain
        darks = [real(f"b{n}", np.rint(rng.normal(500 + offset, 3, (50, 60))), FrameType.BIAS) for n in range(3)]
        lit = [real(f"f{n}", np.rint(rng.normal(9000 + offset, 60, (50, 60))) * scale) for n in range(3)]
        assert reasons([*darks, *lit]) == {}


def test_numbers_that_are_no_adu_are_told() -> None:
    rng = np.random.default_rng(3)
    scaled = [(np.rint(rng.normal(500, 3, (50, 60))) / 65535).astype(np.float32) for _ in range(3)]
    told = reasons([real(f"b{n}", image, FrameType.BIAS) for n, image in enumerate(scaled)])
    assert len(told) == 3
    assert all("its pixels are no ADU" in reason for reason in told.values())


def simulated(images: Sequence[np.ndarray], *, minute: float = 0.0) -> list[SeriesFrame]:
    whole = (Amplifier("A", Section.whole(images[0].shape)),)
    return [
        replace(frame(f"flat{n}", LIGHT, minute=minute + n / 5), statistics=frame_statistics(image, whole))
        for n, image in enumerate(images)
    ]


@pytest.mark.parametrize("place", [0, 3, 6])
def test_a_finished_flat_among_raw_ones_is_told_by_its_noise(place: int) -> None:
    camera, rng = Camera(1.6, 5.0, BIAS, shape=(200, 300)), np.random.default_rng(3)
    light = uniform_light(camera.shape, 16_000.0)
    raw = [expose(camera, rng, light * (1 + 0.003 * k)) for k in range(6)]
    finished = np.rint(np.mean(raw, axis=0)).astype(np.uint16)
    found = reasons([*biases(), *simulated([*raw[:place], finished, *raw[place:]])])
    assert list(found) == [f"flat{place}"]
    assert "below that of the other flat frames of its light (an average of several?)" in found[f"flat{place}"]
    assert reasons([*biases(), *simulated(raw)]) == {}


def test_where_half_of_the_biases_have_another_noise_none_is_called_odd() -> None:
    quiet = biases((BIAS,) * 4, noise=2.0)
    loud = [replace(one, sha256=f"loud{n}") for n, one in enumerate(biases((BIAS,) * 4, noise=7.0))]
    assert excluded([*quiet, *loud]) == []
    assert excluded([*quiet, *loud[:1]]) == ["loud0"]


@pytest.mark.parametrize(
    ("unit", "said"),
    [
        *((unit, "a rate") for unit in ("electron/s", "e-/s", "COUNTS/S", "adu per second", "DN s**-1", "e- / sec")),
        *((unit, "already calibrated") for unit in ("electrons", "e-", "MJy/sr")),
        *((unit, None) for unit in ("adu", "ADU", "counts", "DN", "", "counts/sample", "electronic units")),
    ],
)
def test_a_unit_of_calibrated_images_is_named(unit: str, said: str | None) -> None:
    info = identify({"IMAGETYP": "flat", "BUNIT": unit}, filename="a.fits", shape=SHAPE)
    fractions = [
        replace(one, statistics=tuple(replace(each, step=0.1, n_averaged=10) for each in one.statistics))
        for one in flats([1.0] * 4, frame_type_reason=info.frame_type_reason)
    ]
    (reason,) = set(reasons(fractions).values())
    assert (f"BUNIT is {unit!r}" in reason, (said or "average of 10") in reason) == (said is not None, True)
    whole = flats([1.0] * 4, frame_type_reason=info.frame_type_reason)
    assert len(excluded(whole)) == (4 if said == "a rate" else 0)
