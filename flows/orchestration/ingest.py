"""The Prefect flow that registers the frames of files that are ready."""

from __future__ import annotations

from importlib.metadata import version

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run

from flows.config.redaction import without_secrets
from flows.home.home import cached_home, own_home
from flows.home.processes import now
from flows.orchestration.shown.artifacts import publish_registration
from flows.registration.register import register_files
from flows.runs.life import alive


@task(name="register frames", task_run_name="register frames", cache_policy=NO_CACHE, persist_result=False)
def register_frames(home: str) -> int:
    """Register all that is ready; return how many files were looked at."""
    with without_secrets():
        return register_files(cached_home(home)).n


@flow(name="ingest", version=version("ccdwatch"), persist_result=False, validate_parameters=False)
def ingest(home: str | None = None) -> None:
    """Register the frames of all files that are ready.

    Parameters
    ----------
    home : str, optional
        Id of the home that it is for. A run for another home than that of its process is refused.
    """
    with without_secrets():
        began, opened = now(), own_home(home)
        with alive(opened.path, str(flow_run.id)):
            looked_at = register_frames(str(opened.path))
        get_run_logger().info("%d files looked at", looked_at)
        publish_registration(opened, since=began)
