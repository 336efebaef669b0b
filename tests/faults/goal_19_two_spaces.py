"""Two sides that do not see each other's processes, as a container and its host: neither ends the other's work."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from sqlalchemy import select

from db.files import ledger
from db.runs.lifecycle import claim_run
from db.runs.runs import open_runs
from db.schema.models import File, FileState
from flows.home.home import Home, open_home
from flows.home.processes import HOST, now, own_start
from flows.products.cleanup import give_up, give_up_lost_runs
from flows.registration.register import LEASE, free_lost_claims
from tests.faults.goals import CannotRunError
from tests.support.on_record import add_frame, set_of, sighting

UNSHARE = ("unshare", "--fork", "--pid", "--mount-proc", "--kill-child")


def run(full: bool) -> str:
    command = [*UNSHARE, "true"]
    if shutil.which("unshare") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        raise CannotRunError("a space of process numbers of its own cannot be made here (unshare --pid)")
    n = 8 if full else 1
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name:
        home = open_home(Path(name))
        for number in range(n):
            _side_by_side(home, number)
        home.engine.dispose()
    return f"{n} times, {2 * n} runs and {2 * n} claims: 0 taken from the other side"


def _side_by_side(home: Home, number: int) -> None:
    """Work on both sides, let each look for what was lost, then end one; see what is left."""
    ours = take(home, f"ours {number}")
    program = f"from {__name__} import side; side()"
    command = [*UNSHARE, sys.executable, "-c", program, str(home.path), f"theirs {number}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin
        assert other.stdout
        theirs = int(other.stdout.readline())
        assert _tidy(home) == {ours, theirs}
        other.stdin.write("look\n")
        other.stdin.flush()
        assert other.stdout.readline().split() == [str(ours), str(theirs)], "the other side ended our run"
        assert len(_claimed(home)) == 2
    assert _tidy(home) == {ours, theirs}, "nobody knows yet that it ended"
    _end(home, ours, theirs)


def side() -> None:
    """Be the other side: work, then say what is left when it has been looked for what was lost; never ends a run."""
    home = open_home(Path(sys.argv[1]))
    print(take(home, sys.argv[2]), flush=True)  # noqa: T201 - it is asked
    sys.stdin.readline()
    print(*sorted(_tidy(home)), flush=True)  # noqa: T201
    home.engine.dispose()


def take(home: Home, name: str) -> int:
    """Have this process begin a run, and claim a file; return the run."""
    owner = f"{HOST}:{os.getpid()}:{own_start()}:{name}"
    with home.write_session() as session:
        run_id = claim_run(
            session,
            set_id=set_of(session, add_frame(session, name, host=home.settings.host)),
            digest=name,
            attempt=1,
            engine="local",
            flow_run_id=None,
            recipes={},
            software={},
            host=HOST,
            pid=os.getpid(),
            pid_started=own_start(),
            now=now(),
        )
        (file,) = ledger.observe(session, [sighting(f"{name} to read.fits")], host=home.settings.host, now=now())
        ledger.claim_files(session, [file.id], owner=owner, lease_until=now() + LEASE, now=now())
    assert run_id
    return run_id


def _tidy(home: Home) -> set[int]:
    """Give up what is lost, as a service does at its start; return the runs that are left."""
    give_up_lost_runs(home)
    free_lost_claims(home)
    with home.read_session() as session:
        return {run.id for run in open_runs(session)}


def _claimed(home: Home) -> list[int]:
    with home.read_session() as session:
        return list(session.scalars(select(File.id).where(File.state == FileState.CLAIMED)))


def _end(home: Home, *run_ids: int) -> None:
    for run_id in run_ids:
        give_up(home, run_id)
    with home.write_session() as session:
        for claimed in ledger.claimants(session, host=home.settings.host):
            ledger.release(session, owner=claimed, now=now())
