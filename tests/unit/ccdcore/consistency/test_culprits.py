"""Who is named among the frames of a master, on tables of blocks drawn by chance: no pixels needed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccdcore.consistency.blocks import BlockResiduals
from ccdcore.consistency.culprits import chi_square, find_culprits, from_the_others
from ccdcore.consistency.stability import largest_change

BLOCKS, SIDE, NOISE = 24, 16, 0.007
GRADIENT = np.linspace(-0.5, 0.5, BLOCKS) * np.ones((BLOCKS, 1))


def table(n=9, seed=0, noises=None, off=0.0):
    """Return the blocks of flats of 0.7 % noise in a pixel, or more by a factor for each; ``off`` is theirs as well."""
    noises = np.ones(n) if noises is None else np.asarray(noises)
    sigma = NOISE * noises[:, None, None] / SIDE * np.ones((n, BLOCKS, BLOCKS))
    mean = np.random.default_rng(seed).normal(0, sigma) + off
    edges = np.arange(BLOCKS + 1) * SIDE
    each = np.full((BLOCKS, BLOCKS), NOISE)
    return BlockResiduals(mean, sigma**-2, noises**2, each, np.ones_like(each), edges, edges)


def in_frames(pattern, amounts):
    return np.array(amounts)[:, None, None] * pattern


def patch(width=2):
    image = np.zeros((BLOCKS, BLOCKS))
    image[5 : 5 + width, 7 : 7 + width] = NOISE
    return image


def named(blocks, kind="flat", scales=None):
    return find_culprits(blocks, np.ones(len(blocks.mean)) if scales is None else scales, kind).numbers


def test_nobody_is_named_among_good_frames():
    assert sum(len(named(table(n, seed))) for seed in range(40) for n in (3, 5, 12)) == 0


@pytest.mark.parametrize("n", [3, 5, 9, 15])
@pytest.mark.parametrize(("pattern", "amount"), [(patch(), 1.0), (-patch(), 1.0), (GRADIENT, 0.003)])
def test_one_odd_frame_is_named_and_where(n, pattern, amount):
    blocks = table(n, off=in_frames(pattern, amount * (np.arange(n) == 1)))
    found = find_culprits(blocks, np.ones(n), "flat")
    assert found.numbers == [1]
    place = found.pattern[1]
    inside = pattern[place.rows.start // SIDE : place.rows.stop // SIDE][
        :, place.columns.start // SIDE : place.columns.stop // SIDE
    ]
    assert place.off == pytest.approx(amount * inside.mean(), abs=5 * place.sigma)
    kept = np.arange(n) != 1
    assert chi_square(blocks, kept) == pytest.approx(1, abs=0.2)
    assert chi_square(blocks, np.ones(n, bool)) > chi_square(blocks, kept) + 0.02


def test_several_odd_frames_do_not_hide_each_other():
    off = in_frames(patch(), [1, 1, 0, 0, 0, 0, 0, 0, 0]) - in_frames(GRADIENT, 0.004 * (np.arange(9) == 5))
    assert named(table(off=off)) == [0, 1, 5]


@settings(deadline=None, max_examples=20)
@given(st.permutations(range(9)))
def test_the_order_of_the_frames_does_not_matter(order):
    blocks = table(off=in_frames(patch(), [0, 1, 0, 0, 0, 0, 0, 1.2, 0]))
    order = list(order)
    shuffled = replace(
        blocks, mean=blocks.mean[order], weight=blocks.weight[order], pixel_variance=blocks.pixel_variance[order]
    )
    assert sorted(order[n] for n in named(shuffled)) == [1, 7]


@pytest.mark.parametrize("amounts", [np.linspace(-1, 1, 9), np.random.default_rng(4).uniform(-1, 1, 9)])
@pytest.mark.parametrize("size", [0.001, 0.005, 0.03])
def test_where_all_differ_nobody_is_named(amounts, size):
    assert named(table(off=in_frames(GRADIENT, size * amounts))) == []


def test_a_patch_of_nine_sigma_is_named_and_one_of_three_is_not():
    """Of the mean of its box, 16 blocks, against that of eight others."""
    sigma = NOISE / SIDE / 4 * np.sqrt(1 + 1 / 8)
    for off, expected in ((9 * sigma, [4]), (3 * sigma, [])):
        where = patch(4) / NOISE * off
        found = [named(table(seed=seed, off=in_frames(where, np.arange(9) == 4))) for seed in range(10)]
        assert found == [expected] * 10


def test_a_frame_nine_times_as_far_off_as_others_is_named_and_one_of_four_times_is_not():
    others = np.array([1, -1, 1, -1, 0, -1, 1, -1, 1])
    for times, expected in ((9, [4]), (4, [])):
        amounts = 2 * NOISE * (others + times * (np.arange(9) == 4))
        assert named(table(off=in_frames(GRADIENT, amounts))) == expected


def test_a_dim_frame_is_not_blamed_for_its_noise_nor_a_bright_one_for_what_dim_ones_hide():
    noises = [5.0, 5.0, 5.0, 5.0, 1.0, 1.0]
    off = in_frames(GRADIENT, 0.003 * np.array([-1, 0.5, 1, -0.5, 1, -1]))
    scales = [25.0] * 4 + [1.0] * 2
    assert named(table(6, noises=noises), scales=scales) == []
    assert named(table(6, noises=noises, off=off), scales=scales) == []


@pytest.mark.parametrize("n", [1, 2])
def test_of_two_frames_nobody_can_say(n):
    assert named(table(n, off=in_frames(GRADIENT, 0.1 * np.arange(n)))) == []


def test_levels_tell_but_in_flats():
    off = in_frames(np.ones((BLOCKS, BLOCKS)), [0, 0, NOISE, 0, 0, 0])
    assert named(table(6, off=off), "bias") == [2]
    assert find_culprits(table(6, off=off), np.ones(6), "dark").level[2] == pytest.approx(NOISE, rel=0.01)
    assert named(table(6, off=off), "flat") == []
    assert named(table(6, off=0.3 * off), "bias") == []


def test_a_frame_that_scatters_more_is_named_among_those_of_its_light():
    found = find_culprits(table(6, noises=[1, 1, 1.3, 1, 1, 1]), np.ones(6), "flat")
    assert found.scatter == {2: pytest.approx(1.3)}
    assert named(table(6, noises=[1, 1, 1.3, 1, 1, 1]), scales=[1, 1, 1.7, 1, 1, 1]) == []


def test_blocks_without_weight_tell_nothing():
    blocks = table()
    blocks.mean[3, 4:8], blocks.weight[3, 4:8] = 9.0, 0.0
    blocks.weight[:, 10:12] = 0
    assert named(blocks) == []
    off, weight = from_the_others(blocks, np.ones(9, bool))
    assert not off[3, 4:8].any()
    assert not weight[:, 10:12].any()


DRIFTS = {
    "a gradient that turns": (GRADIENT, 0.02 * np.linspace(-1, 1, 9)),
    "a spot that fades": (patch(1) / NOISE, -0.06 * np.exp(-np.arange(9) / 2)),
    "dust that moved half way": (patch(1) / NOISE, 0.03 * (np.arange(9) > 4)),
}


@pytest.mark.parametrize("name", DRIFTS)
def test_a_drift_is_told_with_what_each_frame_shows(name):
    pattern, amounts = DRIFTS[name]
    change = largest_change(table(off=in_frames(pattern, amounts)), "flat")
    assert change is not None
    assert change.is_drift
    assert np.corrcoef(change.of_frames, amounts)[0, 1] ** 2 > 0.98
    assert change.where.off == pytest.approx(change.of_frames[-1] - change.of_frames[0])
    if name == "a spot that fades":
        assert str(change.where) == "rows 81 to 96, columns 113 to 128"


def test_light_that_wanders_without_order_is_told():
    amounts = 0.03 * np.array([1, -1, 1, -1, 0, 1, -1, 1, -1])
    change = largest_change(table(off=in_frames(GRADIENT, amounts)), "flat")
    assert change is not None
    assert not change.is_drift


@pytest.mark.parametrize(
    ("pattern", "amounts"),
    [
        (GRADIENT, np.zeros(9)),
        (GRADIENT, 0.004 * np.linspace(-1, 1, 9)),  # below one percent
        (patch(1) / NOISE, 0.05 * (np.arange(9) == 8)),  # one frame, not a drift
        (np.ones((BLOCKS, BLOCKS)), 0.1 * np.arange(9)),  # a level
    ],
)
def test_what_is_steady_or_small_is_not(pattern, amounts):
    assert all(largest_change(table(seed=seed, off=in_frames(pattern, amounts)), "flat") is None for seed in range(10))


def test_three_frames_have_no_order():
    off = in_frames(GRADIENT, 0.02 * np.linspace(-1, 1, 4))
    assert largest_change(table(4, off=off), "flat") is not None
    assert largest_change(table(3, off=off[:3]), "flat") is None


def test_in_darks_half_the_noise_of_a_pixel_is_a_drift():
    for amount, is_told in ((0.3, False), (1.0, True)):
        off = in_frames(GRADIENT, amount * NOISE * np.linspace(-1, 1, 9))
        assert (largest_change(table(off=off), "dark") is not None) == is_told
