"""From templates to pages."""

import re

import pytest

from web.templating import labelled

TABLE = """<table>
<thead><tr><th scope="col">Master</th>
<th scope="col" class="value">Level <span class="unit">(ADU)</span></th></tr></thead>
<tbody>
<tr><th scope="row">7</th>
<td class="value">1.5</td></tr>
<tr class="bad"><td><a href="/masters/8">8</a></td><td>–</td></tr>
</tbody></table>"""
WAITING = "<table><tbody><tr><td>settling</td></tr></tbody></table>"


def test_cells_of_all_rows_have_the_heading_of_their_column() -> None:
    shown = labelled(f"{TABLE}{WAITING}{TABLE}")
    assert re.findall('data-label="(.*?)"', shown) == ["Master", "Level (ADU)"] * 4
    assert re.sub(' data-label=".*?"', "", shown) == f"{TABLE}{WAITING}{TABLE}"


@pytest.mark.parametrize("html", [TABLE.replace("<table>", '<table class="amplifiers">'), WAITING])
def test_what_has_no_headings_or_labels_of_its_own_stays_as_it_is(html: str) -> None:
    assert labelled(html) == html
