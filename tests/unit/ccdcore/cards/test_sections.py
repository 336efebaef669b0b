"""Sections of images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccdcore.cards.sections import Section
from ccdcore.errors import SectionError

bounds = st.tuples(st.integers(1, 40), st.integers(1, 40)).map(sorted)
sections = st.builds(lambda x, y: Section(x[0], x[1], y[0], y[1]), bounds, bounds)


@given(sections)
def test_text_is_read_back(section):
    assert Section.parse(str(section)) == section


@given(sections)
def test_slices_select_the_pixels_of_the_fits_convention(section):
    y, x = np.mgrid[1:41, 1:41]
    assert x[section.slices].min() == section.x1
    assert x[section.slices].max() == section.x2
    assert y[section.slices].min() == section.y1
    assert y[section.slices].max() == section.y2
    assert x[section.slices].shape == section.shape


@given(sections, st.integers(1, 40), st.integers(1, 40))
def test_a_section_fits_where_slicing_loses_nothing(section, rows, columns):
    assert section.fits((rows, columns)) == (np.empty((rows, columns))[section.slices].shape == section.shape)


def test_a_flipped_range_is_put_in_order():
    assert Section.parse(" [2076:1025, 1 : 1032] ") == Section(1025, 2076, 1, 1032)


def test_the_whole_image():
    assert str(Section.whole((100, 2048))) == "[1:2048,1:100]"


@pytest.mark.parametrize("text", ["UNKNOWN", "", "[1:10]", "[1:10,1:10", "[a:b,1:2]", "[-1:4,1:2]", "[1:10:2,1:2]"])
def test_what_is_no_section_is_named(text):
    with pytest.raises(SectionError, match=r"is not an image section: write \[x1:x2,y1:y2\]") as caught:
        Section.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("numbers", [(0, 5, 1, 2), (5, 4, 1, 2), (1, 2, 9, 3), (1, 2, 0, 3)])
def test_an_empty_section_is_refused(numbers):
    with pytest.raises(SectionError, match="is empty or starts below 1"):
        Section(*numbers)
