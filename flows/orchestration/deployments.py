"""How our flows are made known to Prefect: by name, version and module, each parameter described."""

from __future__ import annotations

import re
from importlib.metadata import version
from inspect import getdoc
from typing import Any

from prefect import Flow
from prefect.runner import Runner
from prefect.types.entrypoint import EntrypointType

from flows.prefect_server.client import DEPLOYMENT

_PARAMETER = re.compile(r"^(\w+) : .*\n((?: {4}.+\n?)+)", re.MULTILINE)
"""A parameter in a docstring of the style numpydoc, and what is said of it."""


async def register(runner: Runner, flow: Flow[..., Any], *, cron: str | None = None) -> str:
    """Make a flow known, so that it can be asked for; return the id of its deployment.

    Parameters
    ----------
    runner : Runner
        What runs it.
    flow : Flow
        The flow.
    cron : str, optional
        When it runs by itself, UTC.
    """
    doc = getdoc(flow.fn) or ""
    flow.__doc__ = in_googles_style(doc)
    deployment_id = await runner.aadd_flow(
        flow,
        name=DEPLOYMENT,
        cron=cron,
        description=doc.partition("\n")[0],
        version=version("ccdwatch"),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    return str(deployment_id)


def in_googles_style(doc: str) -> str:
    """Return a docstring as Prefect reads it: there the Prefect UI finds what it shows beside each parameter."""
    told = [f"    {name}: {' '.join(words.split())}" for name, words in _PARAMETER.findall(doc)]
    return "\n".join([doc.partition("\n")[0], "", "Args:", *told])
