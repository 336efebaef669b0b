"""The table of what is measured."""

from ccdcore.quantities import QUANTITIES, WATCHED, label_of, shown_in


def test_people_read_names_without_underscores_and_unit() -> None:
    known = [label_of(name) for name in ("read_noise_adu", "bias_level", "gain", "a00")]
    assert known == ["read noise", "bias level", "gain", "a₀₀"]
    assert label_of("of_a_newer_version_adu") == "of a newer version"


def test_heads_of_columns_have_units() -> None:
    assert [one.title for one in shown_in("report")] == [
        "gain (e⁻/ADU)",
        "without brighter-fatter",
        "read noise (e⁻)",
        "read noise (ADU)",
    ]


def test_what_stands_in_is_no_column_of_its_own() -> None:
    columns = {one.name for one in shown_in("overview") if one.stands_in_for is None}
    assert {one.stands_in_for for one in QUANTITIES.values() if one.stands_in_for} <= columns


def test_what_is_watched_is_linked() -> None:
    assert set(WATCHED) <= {one.name for one in shown_in("links")}
