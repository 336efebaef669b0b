"""The Prefect flow that writes the month of each instrument as one page, as `ccdwatch report` does."""

# Annotations are types here, not texts: the process of a flow run gets the flow without the names in them.

from datetime import date, timedelta
from importlib.metadata import version

from prefect import State, flow, get_run_logger
from prefect.states import Completed

from ccdcore.text import number_of
from db.runs.runs import latest_runs
from flows.commands.query import write_report
from flows.config.redaction import without_secrets
from flows.home.home import own_home
from flows.home.output_paths import report_path
from flows.home.processes import now

NIGHTLY = "30 6 * * *"
"""When it runs by itself, UTC."""


@flow(name="report", version=version("ccdwatch"), persist_result=False)
def report(instrument: str | None = None, month: date | None = None, home: str | None = None) -> State[None]:
    """Write the month of each instrument as one page, into the folder reports of the home.

    Parameters
    ----------
    instrument : str, optional
        Only this one.
    month : date, optional
        A day of the month; yesterday without it, so that a month that is over is written once more as a whole.
    home : str, optional
        Id of the home that it is for. A run for another home than that of its process is refused.

    Returns
    -------
    State
        How many pages were written; where, the log says.
    """
    with without_secrets():
        opened, day = own_home(home), month or now().date() - timedelta(days=1)
        first = day.replace(day=1)
        with opened.read_session() as session:
            nights = {(run.instrument, run.night) for run in latest_runs(session).values()}
        names = {name for name, night in nights if (night.year, night.month) == (day.year, day.month)}
        names = {instrument} if instrument is not None else names
        for name in sorted(names):
            place = opened.path / report_path(name, first)
            place.parent.mkdir(exist_ok=True)
            get_run_logger().info("%s", write_report(opened.path, name, month=first, output=place))
    return Completed(message=f"{number_of(len(names), 'page')} written of {first:%Y-%m}")
