"""Which masters take the place of the one in force: simulated sets whose faults are known."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.certification import FAULTS, GOOD, _bias, frames, judged, made
from ccdcore.certification.blocks import Blocks, sigma_of
from ccdcore.certification.certify import certify
from ccdcore.certification.change import are_comparable, change_between
from ccdcore.reduction.master import Master


@pytest.mark.parametrize("what", GOOD)
def test_a_good_challenger_takes_the_place_of_the_champion(what: str) -> None:
    found = judged(what, 11)
    assert (found.outcome, found.is_certified) == ("certified", True), found.reason
    assert 0.7 < found.figures["chi2"] < 2  # levels wander a little


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_is_refused(what: str) -> None:
    found = judged(what, 12)
    assert found.outcome in ({"changed"} if "in all" in what else {"inconsistent", "worse"}), found.reason


def test_culprits_are_named_whatever_the_order_of_frames() -> None:
    biases = frames("bias", 7, np.random.default_rng(5))
    data = biases[3].data.copy()
    data[100:160, 200:260] += 4
    biases[3] = replace(biases[3], data=data)
    for order in (biases, biases[::-1]):
        found = certify(made("bias", order), order)
        assert found.outcome == "inconsistent"
        assert found.reason.startswith("bias3.fits: ")
        assert "bias4" not in found.reason


def test_the_first_of_its_purpose_is_judged_by_its_own_frames() -> None:
    biases = frames("bias", 5, np.random.default_rng(6))
    found = certify(made("bias", biases), biases)
    assert found.is_certified
    assert found.reason.startswith("the first of its purpose")
    assert set(found.figures) == {"frames", "chi2", "unseen"}
    assert "only" not in found.reason


@pytest.mark.parametrize("n", [3, 4])
def test_what_few_frames_do_not_exclude_is_said_and_more_is_found(n: int) -> None:
    """A patch somewhere in one of few frames: of the size that is said it is found, of a third it is not."""
    refused = {0.33: 0, 1.0: 0}
    for seed in range(8):
        rng = np.random.default_rng([seed, n])
        biases = frames("bias", n, rng)
        found = certify(made("bias", biases), biases)
        assert found.is_certified
        assert f"; only {n} frames: a patch of 64 × 64 pixels in one of them that shifts the master by" in found.reason
        row, column = rng.integers(0, 512 - 64, 2)
        for part in refused:
            shift = part * found.figures["unseen"] * n
            data = biases[1].data.astype(float)
            data[row : row + 64, column : column + 64] += np.floor(shift + rng.random((64, 64)))
            spoilt = [biases[0], replace(biases[1], data=data.astype(np.uint16)), *biases[2:]]
            refused[part] += not certify(made("bias", spoilt), spoilt).is_certified
    assert refused == {0.33: 0, 1.0: 8}


def test_frames_that_contradict_each_other_are_not_certified() -> None:
    biases = frames("bias", 4, np.random.default_rng(6))
    for champion in (None, made("bias", frames("bias", 5, np.random.default_rng(7)))):
        found = certify(made("bias", biases), biases, champion=champion, contradiction="two against two")
        assert (found.outcome, found.reason) == ("inconsistent", "two against two")


def test_a_patch_in_all_frames_is_told_with_its_place() -> None:
    """Dew on a tenth of the window: 3 % of the light; and a slope of 3 % from end to end, which is let pass as well."""
    rng = np.random.default_rng(13)
    champion = made("flat", frames("flat", 8, rng))
    of = frames("flat", 6, rng)
    assert certify(made("flat", of), of, champion=champion, bias=_bias()).change is None
    dew, slope = np.ones((512, 512)), 1 + 0.03 * np.linspace(-0.5, 0.5, 512)
    dew[96:224, 320:416] = 0.97
    for light, words in (
        (dew, "its response is -3.0% from that of the master in force in rows 97 to 224, columns 321 to 416 (4.7% of"),
        (slope, "its light has another slope than that of the master in force, by 1.4% over a tenth of the image"),
    ):
        of = [
            replace(one, data=(1000 + (one.data - 1000.0) * light).astype(np.uint16)) for one in frames("flat", 6, rng)
        ]
        found = certify(made("flat", of), of, champion=champion, bias=_bias())
        assert found.is_certified, found.reason
        assert found.change is not None
        assert found.change.startswith(words)
        assert found.reason.endswith(found.change)


@pytest.mark.parametrize(("kind", "amount"), [("bias", 3.0), ("dark", 6.0)])
def test_a_glow_in_all_frames_is_told_with_its_place(kind: str, amount: float) -> None:
    rng = np.random.default_rng(14)
    champion = made(kind, frames(kind, 8, rng))
    bias = None if kind == "bias" else _bias()
    of = frames(kind, 6, rng)
    assert certify(made(kind, of), of, champion=champion, bias=bias).change is None
    for one in of:
        one.data[:64, 448:] += np.uint16(amount)
    found = certify(made(kind, of), of, champion=champion, bias=bias)
    assert found.is_certified
    assert found.change is not None
    assert "of one frame from that of the master in force in rows 1 to 64, columns 449 to 512 (1.6% of" in found.change


def test_of_two_frames_nobody_can_tell_which_is_wrong() -> None:
    biases = frames("bias", 3, np.random.default_rng(6))
    data = biases[0].data.copy()
    data[100:160, 200:260] += 4
    biases[0] = replace(biases[0], data=data)
    assert not certify(made("bias", biases), biases).is_certified
    master = made("bias", biases)
    two = replace(master, inputs=master.inputs[:2])
    found = certify(two, biases)
    assert found.is_certified
    assert found.reason.endswith("; of 2 frames nobody can tell which one is wrong: no fault of one is excluded")
    assert np.isfinite(list(found.figures.values())).all()  # neither headers nor JSON hold anything else


@pytest.fixture(scope="module")
def darks() -> dict[str, tuple[Master, list]]:
    rng = np.random.default_rng(8)
    sets = {"champion": "", "changed": "wrong temperature in all darks", "again": "wrong temperature in all darks"}
    taken = {name: frames("dark", 6, rng, what) for name, what in {**sets, "as before": ""}.items()}
    return {name: (made("dark", of), of) for name, of in taken.items()}


def test_a_change_all_over_waits_for_a_second_set(darks: dict[str, tuple[Master, list]]) -> None:
    champion, changed = darks["champion"][0], darks["changed"][0]
    again, of = darks["again"]
    found = certify(again, of, champion=champion, bias=_bias())
    assert found.outcome == "changed"
    assert "another temperature" in found.reason
    assert found.reason.endswith("not certified until another set shows the same")
    found = certify(again, of, champion=champion, witness=changed, bias=_bias())
    assert found.is_certified
    assert "two sets show the same" in found.reason


def test_a_witness_of_a_fault_does_not_help_what_is_as_before(darks: dict[str, tuple[Master, list]]) -> None:
    as_before, of = darks["as before"]
    found = certify(as_before, of, champion=darks["champion"][0], witness=darks["changed"][0], bias=_bias())
    assert found.is_certified
    assert found.figures["change"] < 1


def test_a_change_that_is_usual_is_let_pass(darks: dict[str, tuple[Master, list]]) -> None:
    again, of = darks["again"]
    found = certify(again, of, champion=darks["champion"][0], wander=10.0, bias=_bias())
    assert found.is_certified


def test_a_champion_of_more_frames_is_no_better_for_it() -> None:
    """What a master's own uncertainty says of its noise is no fault."""
    rng = np.random.default_rng(9)
    champion = made("bias", frames("bias", 15, rng))
    few = frames("bias", 3, rng)
    assert certify(made("bias", few), few, champion=champion).is_certified


def test_a_champion_that_predicts_most_frames_better_stays() -> None:
    """Half of the frames wander, so that none is odd; the champion is as the others are."""
    rng = np.random.default_rng(10)
    champion = made("bias", frames("bias", 15, rng))
    of = frames("bias", 9, rng)
    rows = np.arange(512)[:, np.newaxis]
    spoilt = [
        replace(one, data=(one.data + np.rint(3 * np.sin(rows / 80 + n) + rng.random((512, 512)) - 0.5)).astype("u2"))
        if n in (1, 3, 5, 7)
        else one
        for n, one in enumerate(of)
    ]
    found = certify(made("bias", spoilt), spoilt, champion=champion)
    assert found.outcome in {"worse", "inconsistent"}
    assert found.figures["difference"] > 3 * found.figures["difference_sigma"]


def test_a_master_without_usable_pixels_is_not_certified() -> None:
    biases = frames("bias", 3, np.random.default_rng(6))
    master = made("bias", biases)
    master.mask[:] = 1
    found = certify(master, biases)
    assert found.outcome == "inconsistent"
    assert found.reason.startswith("no part of it has enough usable pixels")


def test_dead_parts_of_the_image_do_not_matter() -> None:
    biases = frames("bias", 5, np.random.default_rng(6))
    master, champion = made("bias", biases), made("bias", frames("bias", 5, np.random.default_rng(7)))
    master.mask[:256] = 1
    champion.mask[:, :256] = 1
    assert certify(master, biases, champion=champion).is_certified


def test_a_flat_is_compared_at_its_level_and_a_dark_by_its_rate(darks: dict[str, tuple[Master, list]]) -> None:
    flat = made("flat", frames("flat", 5, np.random.default_rng(6)))
    noise = np.full(flat.value.shape, 0.006)
    brighter = replace(flat, value=flat.value * np.float32(1.2), uncertainty=flat.uncertainty * np.float32(1.2))
    assert change_between(flat, brighter, noise=noise).size < 0.01
    dark = replace(darks["champion"][0], unit="adu", exposure_range_s=(60.0, 60.0))
    longer = replace(
        dark, value=2 * dark.value, uncertainty=2 * dark.uncertainty, unit="adu", exposure_range_s=(120.0, 120.0)
    )
    assert change_between(dark, longer, noise=np.full(dark.value.shape, 0.05)).size < 0.01


def test_masters_of_other_shapes_or_amplifiers_are_nothing_to_compare() -> None:
    master = made("bias", frames("bias", 3, np.random.default_rng(6)))
    assert are_comparable(master, replace(master, mask=master.mask | 16))
    assert not are_comparable(master, replace(master, value=master.value[1:]))
    other = master.mask.copy()
    other[:, :4] |= 2
    assert not are_comparable(master, replace(master, mask=other))


def test_nearly_half_of_the_frames_spoilt_is_no_majority() -> None:
    """Five of eleven flats with a gradient: none is odd beside so many, but the champion predicts most better."""
    assert judged("gradient in some flats", 83).outcome == "worse"


def test_blocks_leave_out_cosmic_rays_and_keep_spots() -> None:
    values = np.zeros((64, 64))
    values[0, :2] = 100.0
    values[32:, 32:] = 100.0
    blocks = Blocks.of((64, 64), np.ones((64, 64), bool))
    means = blocks.means(values).reshape(8, 8)
    assert means[0, 0] == 0
    assert (means[4:, 4:] == 5.0).all()


def test_the_plane_is_that_of_most_blocks() -> None:
    blocks = Blocks.of((128, 128), np.ones((128, 128), bool))
    down, right = np.indices((16, 16)).reshape(2, -1)
    values = 0.5 + 0.01 * down - 0.02 * right
    spoilt = values.copy()
    spoilt[:10] += 5.0
    np.testing.assert_allclose(blocks.plane(spoilt), values, atol=1e-9)


def test_scatter_of_a_gaussian() -> None:
    assert sigma_of(np.random.default_rng(1).normal(0, 3, 100_000)) == pytest.approx(3, rel=0.02)
