"""The command line: which commands there are. What a command needs is imported when it is called."""

from __future__ import annotations

import sys
from importlib import import_module
from textwrap import shorten

import click

from ccdcore.errors import ExpectedError
from flows.cli.options import say
from flows.config.redaction import install

COMMANDS = {
    "affected": (
        "flows.cli.applying",
        "List the calibrated frames that would now get other masters, gain or read noise; calibrate --again does them.",
    ),
    "audit": (
        "flows.cli.admin",
        "Hold raw files, masters and references against the record, by their SHA-256; status 1 where they differ.",
    ),
    "backfill": (
        "flows.cli.work",
        "Make older results anew where the recipe, the entry or the rules have changed since.",
    ),
    "best": (
        "flows.cli.applying",
        "Say which masters suit frames best, what each would add to their noise, and why no others.",
    ),
    "calibrate": (
        "flows.cli.applying",
        "Calibrate science frames with the masters that suit them best: bias, dark, flat; uncertainty and mask.",
    ),
    "combine": ("flows.cli.frames", "Combine these files, as they are, into their clipped mean with uncertainties."),
    "config": ("flows.cli.admin", "Look after the configuration."),
    "db": ("flows.cli.admin", "Look after the database."),
    "doctor": ("flows.cli.admin", "Check the set-up: home, configuration, directories, database, programs."),
    "export": (
        "flows.cli.applying",
        "Copy the masters in force to DIR/<instrument>/, laid out and named as another program wants them.",
    ),
    "frames": ("flows.cli.record", "List the frames on record."),
    "gaps": (
        "flows.cli.applying",
        "List the science frames on record that lack a bias, dark or flat of quality 0 or 1, and what to take.",
    ),
    "identify": ("flows.cli.frames", "Say what each frame is, and why it was taken so."),
    "imstat": ("flows.cli.frames", "Print statistics of images."),
    "init": (
        "flows.cli.frames",
        "Look at a folder of frames, print what was recognised, and write a starting ccdwatch.toml.",
    ),
    "mark": (
        "flows.cli.judge",
        "Mark a frame, a master or a measurement: what is bad is left out, and the set of a frame is made anew.",
    ),
    "masters": ("flows.cli.record", "List the masters on record."),
    "note": ("flows.cli.judge", "Note what was done to an instrument: a line in its trends and reports."),
    "notify": (
        "flows.cli.admin",
        "Send a message to those who are told of trends, failures and nights, and say who took it.",
    ),
    "process": (
        "flows.cli.work",
        "Work on these files and folders now: measure, build masters, record; print the results.",
    ),
    "provenance": ("flows.cli.record", "Say where a number or a file came from, down to the raw files' SHA-256."),
    "report": ("flows.cli.record", "Write an instrument's month as one page to send to a colleague."),
    "retry": ("flows.cli.work", "Read files again, and make runs again, whatever became of them."),
    "runs": ("flows.cli.record", "List the runs on record."),
    "serve": ("flows.cli.service", "Run the flows that Prefect schedules: a part of the service."),
    "status": (
        "flows.cli.admin",
        "Say whether the service is healthy: its parts, the files that wait, the sets that lack results.",
    ),
    "trends": (
        "flows.cli.record",
        "Print the history of a quantity: gain, read_noise, bias_level, row_noise_adu, …; of all without one.",
    ),
    "up": ("flows.cli.service", "Run the whole service on this machine until Ctrl-C or SIGTERM."),
    "watch": (
        "flows.cli.service",
        "See files land and ask Prefect for the runs that are missing: a part of the service.",
    ),
    "web": (
        "flows.cli.service",
        "Show what is on record as pages: trends, frames, masters, runs. A part of the service.",
    ),
}
"""Where each command is, and what the list of commands says of it: its first line, without importing it."""


class LazyGroup(click.Group):
    """Commands that are imported when they are called: a quick start is worth a table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(COMMANDS[cmd_name][0]), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        width = formatter.width - 6 - max(map(len, COMMANDS))
        rows = [(name, shorten(COMMANDS[name][1], width, placeholder="...")) for name in sorted(COMMANDS)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="ccdwatch")
def cli() -> None:
    """Watch directories for CCD calibration frames; measure gain and read noise, build masters, keep the history.

    \b
    Example:
      ccdwatch up --watch /data/camera      the whole service
      ccdwatch process /data/last-night     the same work on these frames now
      ccdwatch trends gain                  what was measured, with uncertainties
    """


def main() -> None:
    """Run the command line; what cannot start says so in one line, with status 2."""
    install()
    try:
        cli(prog_name="ccdwatch")
    except ExpectedError as error:
        say(f"ccdwatch: {error}")
        sys.exit(2)


if __name__ == "__main__":
    main()
