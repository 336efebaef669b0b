"""From templates to pages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from ccdcore.quantities import label_of
from ccdcore.text import readable, unit_text, value_text, with_systematic
from web import formatting
from web.charts.trend_panels import series_name, spark
from web.parameters import field as asked_field


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page; all text is escaped."""
    may_edit = request.app.state.record.editing is not None
    return HTMLResponse(render(template, path=request.url.path, may_edit=may_edit, **values), status_code=status)


def render(template: str, **values: Any) -> str:
    """Return a template filled in; all text is escaped."""
    return labelled(readable(_TEMPLATES.get_template(template).render(**values)))


_TABLE = re.compile(r'(<table(?! class="amplifiers")[^>]*>\s*<thead>.*?</thead>)(.*?</table>)', re.DOTALL)
_HEADING = re.compile(r'<th scope="col"[^>]*>(.*?)</th>')
_TAG = re.compile(r"<[^>]*>")
_ROW = re.compile(r"<tr.*?</tr>", re.DOTALL)
_CELL = re.compile(r'<td|<th scope="row"')


def labelled(html: str) -> str:
    """Give the cells of tables the heading of their column: on a phone a row is a card, whose cells say what they are.

    Parameters
    ----------
    html : str
        A page of our templates, so that no text in it looks like a tag.
    """

    def table(found: re.Match[str]) -> str:
        headings = [_TAG.sub("", one) for one in _HEADING.findall(found[1])]
        return found[1] + _ROW.sub(lambda row: _labelled_row(row[0], headings), found[2])

    return _TABLE.sub(table, html)


def _labelled_row(row: str, headings: Iterable[str]) -> str:
    labels = iter(headings)
    return _CELL.sub(lambda cell: f'{cell[0]} data-label="{next(labels, "")}"', row)


def link(path: str, *parts: object, **query: object) -> str:
    """Return an address of ours: a path, parts of unknown origin below it, and what is asked for, each of a tuple."""
    address = "/".join([path.rstrip("/"), *(quote(str(part).encode(errors="replace"), safe="") for part in parts)])
    given = {name: value for name, value in query.items() if value not in {None, "", False}}
    return (address or "/") + ("?" + urlencode(given, doseq=True, errors="replace") if given else "")


_TEMPLATES = Environment(
    loader=PackageLoader("web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_TEMPLATES.globals |= {"link": link, "spark": spark, "series_name": series_name}
_TEMPLATES.filters |= {
    "unit": unit_text,
    "quantity": label_of,
    "when": formatting.when,
    "moment": formatting.moment,
    "field": asked_field,
}
_TEMPLATES.globals |= {"value_text": value_text, "with_systematic": with_systematic}
_TEMPLATES.globals |= {"limits": formatting.limits, "sentence": formatting.sentence}
