"""Masters without the frames that spoil them: closed loops of one odd frame, of a few, and of what all frames do."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from ccdcore.masters.build import master_bias, master_flat
from ccdcore.masters.repair import without_culprits
from ccdcore.recipe import FlatRecipe
from tests.unit.ccdcore.consistency.test_blocks import CAMERA, LIGHT, X, Y, biases, flats

KNOWN = {"noise_adu": 4.0, "gain_e_per_adu": 1.5}
PLACES = np.random.default_rng(0).uniform(30, 160, (6, 2))


def spots(depth, width=3.0):
    light = np.ones(CAMERA.shape)
    for x, y in PLACES:
        light *= 1 - depth * np.exp(-((X - x) ** 2 + (Y - y) ** 2) / (2 * width**2))
    return light


@pytest.fixture(scope="module")
def bias():
    return master_bias(biases(), noise_adu=4.0)


@pytest.fixture
def check(bias):
    """Check flats of these lights; return them with what came of it."""

    def checked(lights, fewest=3):
        taken = flats(lights)
        make = partial(master_flat, bias=bias, recipe=FlatRecipe(min_frames=fewest), **KNOWN)
        return taken, without_culprits(make, taken, fewest=fewest, bias=bias)

    return checked


def test_one_odd_frame_is_left_out_with_its_reason_and_the_master_made_anew(check, bias):
    shifted = LIGHT.copy()
    shifted[40:62, 100:122] += np.sqrt(20_000)  # one percent of the pixels, by the noise of one
    taken, made = check([shifted if n == 4 else LIGHT for n in range(8)])
    assert list(made.left_out) == ["flat4"]
    assert (made.doubts, made.contradiction) == ((), None)
    reason = made.left_out["flat4"]
    assert "its pattern is not that of 7 others: +0." in reason
    assert "χ² of the master 1." in reason
    alone = master_flat([one for one in taken if one.sha256 != "flat4"], bias=bias, **KNOWN)
    np.testing.assert_array_equal(made.master.value, alone.value)
    np.testing.assert_array_equal(made.master.uncertainty, alone.uncertainty)


def test_good_frames_stay_whatever_their_levels(check, bias):
    taken, made = check([LIGHT * factor for factor in (1.0, 0.9, 0.5, 1.2, 1.1, 0.97)])
    assert (made.left_out, made.doubts) == ({}, ())
    np.testing.assert_array_equal(made.master.value, master_flat(taken, bias=bias, **KNOWN).value)


def test_spots_that_fade_are_told_with_every_frame(check):
    depths = np.linspace(0.3, 0, 9)
    taken, made = check([LIGHT * spots(depth) for depth in depths])
    assert made.left_out == {}
    (doubt,) = made.doubts
    assert made.contradiction == doubt
    assert "drifts by +" in doubt
    assert all(one.path.name in doubt for one in taken)
    assert any(abs(y - float(doubt.split("rows ")[1].split(" ")[0])) < 16 for _, y in PLACES)


def test_where_the_last_frames_agree_on_another_pattern_it_changed_for_good(check):
    _, made = check([LIGHT * spots(0.6 * (n < 7)) for n in range(10)])
    assert list(made.left_out) == ["flat7", "flat8", "flat9"]
    assert "the last 3 of 10 frames, from flat7.fits on, agree on another pattern" in made.doubts[0]


def test_where_too_few_would_be_left_the_odd_one_is_named_only(check):
    _, made = check([LIGHT * (1 + 0.01 * (n == 1) * X / X.max()) for n in range(3)])
    assert made.left_out == {}
    assert made.doubts[0].startswith("1 of its 3 frames are not like the others, and too few would be left without")
    assert made.contradiction == made.doubts[0]
    assert "flat1.fits: its pattern is not that of 2 others" in made.doubts[0]
    _, made = check([LIGHT * (1 + 0.01 * (n == 1) * X / X.max()) for n in range(3)], fewest=2)
    assert list(made.left_out) == ["flat1"]


def test_of_two_halves_nobody_is_left_out(check):
    _, made = check([LIGHT * spots(0.3 * (n % 2)) for n in range(6)])
    assert made.left_out == {}
    assert "wanders by +1.0" in made.doubts[0]
    assert made.contradiction is None, "averaged over frames that is little"
    shadow = 1 - 0.2 * ((X < 80) & (Y < 80))
    _, made = check([LIGHT * (shadow if n % 2 else 1) for n in range(6)])
    assert made.left_out == {}
    assert made.contradiction in made.doubts


def test_light_that_drifts_by_less_than_skies_do_is_a_doubt_and_no_contradiction(check):
    _, made = check([LIGHT * (1 + 0.006 * n * X / X.max()) for n in range(5)])
    assert "drifts by +" in made.doubts[0]
    assert made.contradiction is None


@pytest.mark.parametrize("odd", [(1, 3), (2,), (0, 1), (1, 2)])
def test_biases_that_contradict_each_other_and_of_which_none_can_be_left_out(odd):
    """Two against two, and of three one, where three are needed."""
    frames = biases()[: 3 if len(odd) == 1 else 4]
    for n in odd:
        frames[n].data[40:90, 60:130] += 8
    made = without_culprits(partial(master_bias, noise_adu=4.0), frames, fewest=3)
    assert made.left_out == {}
    assert made.contradiction in made.doubts
    assert all(frames[n].path.name in made.contradiction for n in odd)
    frames = biases()
    assert without_culprits(partial(master_bias, noise_adu=4.0), frames, fewest=3).contradiction is None


def test_a_bias_of_another_level_is_left_out():
    frames = biases()
    frames[2] = replace(frames[2], data=frames[2].data + np.uint16(4))
    made = without_culprits(partial(master_bias, noise_adu=4.0), frames, fewest=3)
    assert list(made.left_out) == ["bias2"]
    assert "its level is +3.99 adu from that of the others" in made.left_out["bias2"]
