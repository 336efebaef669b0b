"""Names of masters that Siril makes of the header of a frame."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccdcore.exchange.siril import siril_names


def as_siril(pattern: str, header: dict[str, Any]) -> str:
    """What Siril makes of a pattern (src/io/path_parse.c): numbers as C prints them, text with letters replaced."""

    def value(match: re.Match[str]) -> str:
        keyword, form = match[1], match[2]
        if form == "%s":
            return re.sub(r"""[ /\\"'?%*:|<>;=]""", "_", str(header[keyword]).strip())
        return form % float(header[keyword])

    return re.sub(r"\$(.+?):(.+?)\$", value, pattern)


numbers = st.floats(-300, 4000, allow_nan=False).map(lambda value: round(value, 2))
headers = st.fixed_dictionaries(
    {
        "EXPTIME": st.floats(0.001, 4000).map(lambda value: float(f"{value:.4g}")),
        "FILTER": st.text("Vr' /:", min_size=1),
    },
    optional={"GAIN": st.integers(0, 600), "OFFSET": numbers, "SET-TEMP": numbers, "XBINNING": st.integers(1, 4)},
)


@given(st.sampled_from(["bias", "dark", "flat"]), st.lists(headers, min_size=1, max_size=4))
def test_siril_finds_each_master_by_the_header_of_its_frames(kind: str, some: list[dict[str, Any]]) -> None:
    pattern, names = siril_names(kind, some)
    assert [as_siril(pattern, header) for header in some] == names


def test_exposures_and_temperatures_have_the_decimals_that_tell_them_apart() -> None:
    some = [{"EXPTIME": exposure, "SET-TEMP": -20.0} for exposure in (0.25, 299.998, 300)]
    assert siril_names("dark", some)[1] == [
        "dark_without_bias_0.25s_T-20C.fit",
        "dark_without_bias_300.00s_T-20C.fit",
        "dark_without_bias_300.00s_T-20C.fit",
    ]
    assert siril_names("dark", some[1:])[1][0] == "dark_without_bias_300s_T-20C.fit"


@pytest.mark.parametrize("odd", [None, "cold", True, float("nan")])
def test_a_card_that_not_all_masters_have_is_in_no_pattern(odd: object) -> None:
    pattern, _ = siril_names("bias", [{"SET-TEMP": -20.0, "XBINNING": 1}, {"SET-TEMP": odd, "XBINNING": 1}])
    assert pattern == "bias_B$XBINNING:%.0f$.fit"
