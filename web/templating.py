"""From templates to pages."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from ccdcore.quantities import label_of
from ccdcore.text import readable, unit_text, value_text
from web import formatting
from web.charts.trend_panels import series_name, spark
from web.parameters import field as asked_field


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page; all text is escaped."""
    may_edit = request.app.state.record.editing is not None
    return HTMLResponse(render(template, path=request.url.path, may_edit=may_edit, **values), status_code=status)


def render(template: str, **values: Any) -> str:
    """Return a template filled in; all text is escaped."""
    return readable(_TEMPLATES.get_template(template).render(**values))


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
    "field": asked_field,
}
_TEMPLATES.globals |= {"value_text": value_text, "limits": formatting.limits, "sentence": formatting.sentence}
