"""The service and its parts: `up`, `watch`, `serve`, `web`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click
from click.core import ParameterSource

from flows.cli.options import home_option, say
from flows.config.settings import load_settings
from flows.judgements.editors import set_password
from flows.service import up as service


@click.command()
@home_option
@click.option(
    "--watch",
    "directories",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Directory to watch; may be given several times.  [default: those of ccdwatch.toml]",
)
@click.option(
    "--port",
    default=4200,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Port of the Prefect server and its UI.",
)
@click.option(
    "--web-port",
    type=click.IntRange(1, 65535),
    help="Port of the pages.  [default: that of ccdwatch.toml, else 4300, else a free one]",
)
def up(home: Path, directories: tuple[Path, ...], port: int, web_port: int | None) -> None:
    """Run the whole service on this machine until Ctrl-C or SIGTERM.

    \b
    Example:
      ccdwatch up --watch /data/camera
    """
    service.up(home, tuple(directory.absolute() for directory in directories), port=port, web_port=web_port, say=say)


@click.command()
@home_option
@click.option(
    "--watch",
    "directories",
    multiple=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Directory to watch.  [default: those of ccdwatch.toml]",
)
def watch(home: Path, directories: tuple[Path, ...]) -> None:
    """See files land and ask Prefect for the runs that are missing: a part of the service.

    \b
    Example:
      ccdwatch watch --watch /data/camera
    """
    service.run_watch(home, tuple(directory.absolute() for directory in directories), say=say)


@click.command()
@home_option
def serve(home: Path) -> None:
    """Run the flows that Prefect schedules: a part of the service.

    \b
    Example:
      ccdwatch serve
    """
    service.run_serve(home, load=_flows, say=say)


def _flows() -> Callable[[Path, str], None]:
    """Import Prefect and what runs our flows: later than the environment that Prefect reads then."""
    from flows.upkeep.serve import serve as run_flows

    return run_flows


@click.group(invoke_without_command=True)
@home_option
@click.option("--host", help="Address to listen on.  [default: that of ccdwatch.toml, else 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: that of ccdwatch.toml, else 4300]"
)
@click.pass_context
def web(context: click.Context, home: Path, host: str | None, port: int | None) -> None:
    """Show what is on record as pages: trends, frames, masters, runs. A part of the service.

    \b
    Example:
      ccdwatch web --port 8080
    """
    if context.invoked_subcommand is not None:
        if context.get_parameter_source("home") is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"give --home behind {context.invoked_subcommand}")
    else:
        service.run_web(home, host=host, port=port, say=say)


@web.command()
@click.argument("name", metavar="NAME")
@home_option
def passwd(name: str, home: Path) -> None:
    """Give an editor of the pages a password: asked for here, or the first line of what is piped in.

    \b
    Example:
      ccdwatch web passwd anna
    """
    if sys.stdin.isatty():
        password = click.prompt("password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    settings = load_settings(home)
    say(f"{set_password(settings, name, password)}: {name} is an editor")
    if not settings.web.allow_edits:
        say("the pages are read-only until ccdwatch.toml says [web] allow_edits = true")
