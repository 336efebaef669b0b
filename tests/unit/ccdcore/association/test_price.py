"""Prices against what masters really add to frames, of simulated cameras whose truth is known."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.best_prices import Figures, by_price_and_date, measure, ratio
from ccdcore.association.choice import choose
from ccdcore.association.facts import Detector, MasterFacts, Subject
from ccdcore.association.price import Light, Price, quality_of
from ccdcore.association.rules import Tolerances
from ccdcore.association.wander import Wander

AT = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def figures() -> Figures:
    return measure(5, cameras=2, n_masters=40, per_camera=15)


def test_prices_are_what_masters_add(figures: Figures) -> None:
    assert ratio(figures.random)[0] == pytest.approx(1, abs=0.05)
    assert ratio(figures.systematic)[0] == pytest.approx(1, abs=0.2)
    for way, pairs in figures.by_way.items():
        if not way.endswith("still"):
            assert ratio(pairs)[0] == pytest.approx(1, abs=0.35), way


def test_a_camera_that_stands_still_has_no_systematic_part_to_speak_of(figures: Figures) -> None:
    for way in ("bias still", "flat still"):
        random = [one for one, pairs in zip(figures.random, figures.systematic, strict=True) if pairs[0] == 0]
        assert sum(pair[1] ** 2 for pair in figures.by_way[way]) < 0.2 * sum(one[1] ** 2 for one in random)


def test_the_cheapest_adds_less_than_the_nearest(figures: Figures) -> None:
    price, date, sigma, won = by_price_and_date(figures.nights)
    assert price < date
    assert sigma > 3
    assert won >= 0.9


def master(key: int, days: float, uncertainty: float | None, **about: object) -> MasterFacts:
    known = {"kind": "bias", "configuration": "bin1x1", "level": 300.0, **about}
    of = {name: known.pop(name, None) for name in ("filter", "exposure_s", "temperature_c")}
    kind, configuration = str(known.pop("kind")), str(known.pop("configuration"))
    one = MasterFacts(key, kind, "c", configuration, **of, at=AT + timedelta(days=days), uncertainty=uncertainty)  # type: ignore[arg-type]
    one.level = known["level"]  # type: ignore[assignment]
    return one


MASTERS = st.lists(
    st.tuples(st.floats(-1000, 1000), st.none() | st.floats(1e-3, 100), st.booleans()), min_size=1, max_size=12
)


@given(MASTERS, st.floats(-1000, 1000), st.sampled_from([0.0, 0.5, 1.0]), st.randoms())
def test_the_choice_is_the_cheapest_that_passes_whatever_the_order(
    of: list[tuple[float, float | None, bool]], day: float, power: float, random: object
) -> None:
    masters = [
        master(key, days, noise, configuration="bin1x1" if fits else "bin2x2")
        for key, (days, noise, fits) in enumerate(of)
    ]
    subject = Subject("a", "c", "bin1x1", at=AT + timedelta(days=day), level_adu=400.0)

    def answered() -> object:
        return choose(
            subject,
            masters,
            detector=Detector(2.0, 5.0),
            wander_of=lambda _: Wander(0.01, power),
            tolerances=Tolerances(),
            kinds=["bias"],
        )

    found = answered()
    random.shuffle(masters)  # type: ignore[attr-defined]
    assert answered() == found
    prices = {one.master.master_id: one.price for one in found.candidates if one.passes}  # type: ignore[attr-defined]
    choice = found.choice("bias")  # type: ignore[attr-defined]
    assert set(prices) == {key for key, one in enumerate(of) if one[2]}
    if choice is None:
        assert not prices
        return
    known = [price.total_e for price in prices.values() if price is not None]
    assert choice.price is None if not known else choice.price.total_e == min(known)


def test_a_master_is_worth_half_when_it_says() -> None:
    """At the age at which its price doubles it is twice that of a new one."""
    subject = Subject("a", "c", "bin1x1", at=AT, level_adu=400.0)

    def price(days: float) -> Price:
        answer = choose(
            subject,
            [master(1, days, 0.7)],
            detector=Detector(2.0, 5.0),
            wander_of=lambda _: Wander(0.05, 0.75),
            tolerances=Tolerances(),
            kinds=["bias"],
        )
        (one,) = answer.choices
        assert one.price is not None
        return one.price

    assert price(price(0).doubles_after_days).total_e == pytest.approx(2 * price(0).total_e)
    assert price(0).random_e == pytest.approx(1.4)


@pytest.mark.parametrize(("part", "quality"), [(0.04, 0), (0.06, 1), (0.19, 1), (0.21, 2), (0.49, 2), (0.51, 3)])
def test_qualities_are_parts_of_the_noise_of_the_frame(part: float, quality: int) -> None:
    assert quality_of(Price(part * 6, part * 8, 1.0), Light(100.0, 10.0)) == quality


def test_a_rate_costs_what_the_test_of_scaling_lets_pass_more_than_a_dark_of_the_exposure() -> None:
    dark = master(1, 0, 0.6, kind="dark", exposure_s=300.0)
    rate = master(2, 0, 0.6 / 300, kind="darkrate", exposure_s=1.0)
    answer = choose(
        Subject("a", "c", "bin1x1", at=AT, exposure_s=300.0, level_adu=400.0),
        [rate, dark],
        detector=Detector(2.0, 5.0),
        wander_of=lambda _: Wander(),
        tolerances=Tolerances(),
        kinds=["dark"],
    )
    first, second = answer.candidates
    assert (first.master.kind, second.master.kind) == ("dark", "darkrate")
    assert first.price is not None
    assert second.price is not None
    assert first.price.total_e == pytest.approx(1.2)
    assert second.price.random_e == pytest.approx(1.2)
    assert second.price.total_e == pytest.approx(1.2 * 1.25**0.5)


@pytest.mark.parametrize(
    ("exposure_s", "level_adu", "is_odd"),
    [
        (100.0, 320.0, False),
        (100.0, 312.0, False),  # a little colder than its darks
        (100_000.0, 420.0, True),  # milliseconds
        (100_000.0, 20_000.0, False),  # so much light that nobody can tell
        (100.0, 290.0, False),  # the bias drifts by more than the dark signal
    ],
)
def test_a_frame_that_holds_less_than_its_dark_is_told(exposure_s: float, level_adu: float, is_odd: bool) -> None:
    answer = choose(
        Subject("a", "c", "bin1x1", at=AT, exposure_s=exposure_s, level_adu=level_adu),
        [master(1, 0, 0.6), master(2, 0, 0.002, kind="darkrate", exposure_s=1.0, level=0.2)],
        detector=Detector(2.0, 5.0),
        wander_of=lambda _: Wander(),
        tolerances=Tolerances(),
    )
    said = [one for one in answer.remarks if "in seconds, and its temperature right?" in one]
    assert bool(said) is is_odd
    if said:
        assert said == [
            "the frame holds 120 ADU above the bias, and its dark is 20000 ADU: is its exposure of 100000 in seconds, "
            "and its temperature right?"
        ]
