"""Values and units as people write them."""

import pytest

from ccdcore.text import listing, natural_key, unit_text, value_text, with_systematic


@pytest.mark.parametrize(
    ("value", "uncertainty", "text"),
    [
        (1.49873, 0.0076, "1.4987 ± 0.0076"),
        (4.94, 0.028, "4.940 ± 0.028"),
        (30_000.4, 150.0, "30000 ± 150"),
        (0.0, 8.7e-6, "0 ± 8.7e-06"),
        (1.25e-5, 8.7e-8, "1.25e-05 ± 8.7e-08"),
        (999.99123, None, "999.99"),
        (5.0, 0.0, "5"),
        (5.0, float("nan"), "5"),
        (None, None, "–"),
    ],
)
def test_a_value_has_two_digits_of_its_uncertainty(value: float | None, uncertainty: float | None, text: str) -> None:
    assert value_text(value, uncertainty) == text


@pytest.mark.parametrize(
    ("change", "uncertainty", "text"),
    [(0.05, 0.0123, "+0.050 ± 0.012"), (-3.4, 0.2, "-3.40 ± 0.20"), (2e-6, 1e-7, "+2.00e-06 ± 1.0e-07")],
)
def test_a_change_has_a_sign(change: float, uncertainty: float, text: str) -> None:
    assert value_text(change, uncertainty, is_change=True) == text


def test_units_of_the_record_are_written_for_people() -> None:
    assert [unit_text(unit) for unit in ("e/ADU", "e", "adu", "pixels", "")] == ["e⁻/ADU", "e⁻", "ADU", "pixels", ""]


def test_the_last_word_of_a_listing_has_an_and() -> None:
    assert [listing(list(words)) for words in ("", "a", "ab", "abc")] == ["", "a", "a and b", "a, b and c"]


def test_both_parts_of_an_uncertainty_are_named() -> None:
    both = with_systematic(1.932, 0.0022, 0.0049)
    assert both == "1.9320 ± 0.0022 (statistical) ± 0.0049 (systematic)"
    assert with_systematic(1.932, 0.0022, None) == with_systematic(1.932, 0.0022, 0.0) == "1.9320 ± 0.0022"
    assert with_systematic(None, None, 0.1) == "–"


def test_names_are_sorted_as_people_count() -> None:
    names = ["N10", "S2-A", "N2", "N1-B", "N1-A", "N11", "1", "10", "2", "A²"]
    assert sorted(names, key=natural_key) == ["1", "2", "10", "A²", "N1-A", "N1-B", "N2", "N10", "N11", "S2-A"]
