"""The pictures of a run, on disk: which there are, and how they appear all at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from db.runs.masters import run_masters
from db.runs.runs import RunRow, lately_done
from db.schema.models import Outcome
from flows.home.home import Home
from flows.home.output_paths import picture_path
from flows.home.processes import HOST, is_gone
from flows.runs.plan import Plan

_FEW = 6
"""Of so many runs made at once all pictures are drawn."""
_DRAWN_WITHIN = timedelta(minutes=10)
"""What is not drawn so long after a run is not being drawn."""
_PICTURE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*\.png|\..+\.png\.[0-9a-f]{8}\.tmp")
"""Names of pictures (`flows.home.output_paths.picture_path`), and of those that are being written."""


def are_drawn(home: Home, run_id: int) -> bool:
    """Whether all pictures of a run are there, if only in that there are none."""
    return picture_folder(home, run_id).is_dir()


def to_draw(plans: Sequence[Plan], wanted: bool | None) -> set[int]:
    """Return the sets of which pictures are drawn as soon as their runs are made; the others wait until they are seen.

    Parameters
    ----------
    plans : sequence of Plan
        The runs to be made.
    wanted : bool or None
        True for all, False for none. Without it those of a few runs are drawn; of an archive, where most are never
        looked at and would take longer than all else, only those of the last window of each camera.
    """
    if wanted is not None or len(plans) <= _FEW:
        return set() if wanted is False else {plan.set_id for plan in plans}
    by_night = sorted(plans, key=lambda plan: plan.night)
    return set({(plan.instrument, plan.configuration): plan.set_id for plan in by_night}.values())


def lacks_pictures(home: Home, run: RunRow, at: datetime) -> bool:
    """Whether a run of the local engine was made without pictures, and nobody is drawing them."""
    if run.engine != "local" or run.outcome is not Outcome.DONE or are_drawn(home, run.id) or run.ended_at is None:
        return False
    return at - run.ended_at > _DRAWN_WITHIN or (run.host == HOST and is_gone(run.pid, run.pid_started))


def without_pictures(home: Home, at: datetime) -> list[Plan]:
    """Return the runs of the service on this machine that were made lately and killed before their pictures were drawn.

    Those of the local engine are drawn when somebody looks at them. Whoever removes older pictures of the service's
    does not get them back.
    """
    with home.read_session() as session:
        done = [run for run in lately_done(session, since=at - timedelta(days=1)) if run.host == HOST]
    done = [run for run in done if run.engine == "prefect"]
    undrawn = [run for run in done if not are_drawn(home, run.id) and is_gone(run.pid, run.pid_started)]
    return [Plan(run.set_id, run.instrument, run.night, run.configuration, run.digest, run.attempt) for run in undrawn]


def picture_folder(home: Home, run_id: int) -> Path:
    """Return where the pictures of a run lie; the folder appears when all of them do."""
    return (home.path / picture_path(run_id=run_id, name="any")).parent


_ORDER = ("photon", "trend", "master", "noise")
"""What is looked at first: the first words of the names of pictures."""


def pictures_of(home: Home, run_id: int) -> list[Path]:
    """Return the pictures of a run, in the order to show them; no links, which may lead to anything."""

    def place(path: Path) -> tuple[int, str]:
        first = path.name.partition("-")[0].lower()
        return _ORDER.index(first) if first in _ORDER else len(_ORDER), path.name

    folder = picture_folder(home, run_id)
    found = [] if folder.is_symlink() else folder.glob("*.png")
    return sorted((path for path in found if path.is_file() and not path.is_symlink()), key=place)


def titled_pictures(home: Home, run_id: int) -> list[tuple[str, Path]]:
    """Return the pictures of a run with their titles, in the order to show them."""
    with home.read_session() as session:
        products = [one.product for one in run_masters(session, run_id)]
    titles = [title for product in products for title in titles_of_master(product)]
    known = {picture_path(run_id=run_id, name=title).name: title for title in titles}
    return [(known.get(path.name, path.stem.replace("-", " ")), path) for path in pictures_of(home, run_id)]


def titles_of_master(product: str) -> tuple[str, str]:
    """Return the titles of the two pictures of a master: beside its first frame, and what is left of that frame."""
    title = f"{product[0].upper()}{product[1:]}"
    return f"{title} frames", f"{title} histogram"


@contextmanager
def folder_to_draw_in(home: Home, run_id: int) -> Iterator[Path]:
    """Give a folder to draw into, and put what is in it in its place at the end; nothing else there is touched."""
    # One folder for many files: they appear at once, which `ccdcore.io.write` can say of one file only.
    home.require_there()
    place = picture_folder(home, run_id)
    temporary = place.with_name(f".{place.name}.tmp")
    temporary.mkdir(parents=True, exist_ok=True)
    if temporary.is_symlink() or place.is_symlink():
        raise NotADirectoryError(f"{place}: pictures are not drawn through a link: remove it")
    for half in temporary.iterdir():  # of a process that was killed
        if _PICTURE.fullmatch(half.name):
            half.unlink()
    yield temporary
    if place.exists():
        for picture in temporary.iterdir():
            picture.replace(place / picture.name)
        temporary.rmdir()
    else:
        temporary.rename(place)


def trend_picture(run_id: int, quantity: str) -> str:
    """Return the path below the home of the picture of a trend as it was after a run."""
    return picture_path(run_id=run_id, name=f"Trend of the {quantity.replace('_', ' ')}").as_posix()
