"""Every address answers HEAD as it answers GET; no text of a CSV is a formula, and nothing else is changed."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import tempfile
from pathlib import Path

import httpx
from fastapi.routing import APIRoute

from db.export import written
from flows.home.home import open_home
from flows.service.web_server import record_of
from web.app import make_app

FORMULAS = ("=HYPERLINK(A1)", "+1+cmd", "-2+3", "@SUM(A1)", "\t=1", "=1\n=2", "＝1", " =1", "-", "=")
HARMLESS = ("V", "a=b", "", "2022-09-19", "-5", "-1.5e-3", "+4", "bias, dark", "'=1")
NUMBERS = (-5, -1.5e-3, 4.0, 0, None, True)


def run(full: bool) -> str:
    n_heads = asyncio.run(_heads())
    for value in FORMULAS:
        assert _in_csv(value) == f"'{value}", repr(value)
        for format_name in ("json", "ecsv", "votable"):
            text = written([{"remark": value}], format_name).decode()  # type: ignore[arg-type]
            assert f"'{value.strip()}" not in text.replace('""', '"'), (format_name, value)
        assert json.loads(written([{"remark": value}], "json")) == [{"remark": value}]
    for value in HARMLESS:
        assert _in_csv(value).strip() == value.strip(), repr(value)
    assert _in_csv("\r=1") == "' =1"  # a row stays a row
    for number in NUMBERS:
        assert _in_csv(number) == ("" if number is None else str(number)), number
    return f"{n_heads} addresses; {len(FORMULAS)} formulas, {len(HARMLESS)} other texts, {len(NUMBERS)} numbers"


def _in_csv(value: object) -> str:
    content = written([{"name": "x", "remark": value, "more": "y"}], "csv").decode()
    _, row = csv.reader(io.StringIO(content, newline=""))
    return row[1]


async def _heads() -> int:
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory:
        home = open_home(Path(directory))
        app = make_app(record_of(home, "127.0.0.1", 0))
        paths = {route.path.replace("{quantity}", "gain") for route in app.routes if isinstance(route, APIRoute)}
        paths = {path.replace("{key}", "1").replace("{name}", "x") for path in paths} | {"/static/page.js", "/nothing"}
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            for path in sorted(paths):
                got, head = await client.get(path), await client.head(path)
                assert head.status_code == got.status_code != 405, path
                assert head.headers == got.headers, path
                assert head.content == b"", path
            assert (await client.get("/")).status_code == (await client.head("/")).status_code == 200
        home.engine.dispose()
    return len(paths)
