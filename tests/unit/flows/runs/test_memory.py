"""What a run needs of memory is told before it starts, and one that is killed for it twice is not made for ever."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import psutil
import pytest
from astropy.io import fits

from ccdcore.frames.frame import SeriesFrame
from ccdcore.headers.instrument import FrameType
from ccdcore.io.read import measure_frame
from db.runs.runs import RunRow, get_run
from db.schema.models import Outcome
from flows.calibration.engine import recording_failure, run_locally
from flows.health.condition import condition
from flows.health.state import health
from flows.home.home import Home, open_home
from flows.home.processes import now
from flows.products.cleanup import give_up
from flows.runs.begin import begin_run
from flows.runs.memory import (
    AT_REST_MIB,
    MIB_PER_MEGAPIXEL,
    Allowance,
    allowance,
    needed,
    pixels_at_once,
    require_memory,
    too_little,
)
from flows.runs.plan import Plan, plans_of, reconcile
from tests.support import on_record
from tests.support.on_record import add_frame

GIB = 2**30
HUGE = 40_000_000, 100_000
"""More pixels than any machine has memory for: a frame on record, of which no file is read."""
SMALL = 10, 24


# What a process may take

V1 = "4:memory:/{group}\n0::/\n"
V2 = "0::/{group}\n"
MACHINE = psutil.virtual_memory().total


def of_groups(tmp_path: Path, line: str, group: str, limits: dict[str, str]) -> Allowance:
    proc, groups = tmp_path / "proc", tmp_path / "groups"
    (proc / "7").mkdir(parents=True)
    (proc / "7" / "cgroup").write_text(line.format(group=group))
    for path, text in limits.items():
        (groups / path).parent.mkdir(parents=True, exist_ok=True)
        (groups / path).write_text(f"{text}\n")
    return allowance(7, proc=proc, groups=groups)


@pytest.mark.parametrize(
    ("line", "group", "limits", "by"),
    [
        (V2, "system.slice/serve.service", {"system.slice/serve.service/memory.max": "4096"}, 0),
        (V2, "", {"memory.max": "4096"}, 0),  # in a container
        (V2, "a/b/c", {"a/b/c/memory.max": "max", "a/memory.max": "4096", "a/b/memory.max": "8192"}, 1),
        (V1, "docker/1", {"memory/docker/1/memory.limit_in_bytes": "4096"}, 0),
        (V1, "docker/1", {"memory/memory.limit_in_bytes": "4096"}, 0),  # a container that sees its own group at the top
        ("5:cpu,memory:/x\n", "", {"memory/x/memory.limit_in_bytes": "4096"}, 0),
    ],
)
def test_the_narrowest_control_group_says_what_a_run_may_take(
    tmp_path: Path, line: str, group: str, limits: dict[str, str], by: int
) -> None:
    assert of_groups(tmp_path, line, group, limits) == Allowance(4096, tmp_path / "groups" / list(limits)[by])


@pytest.mark.parametrize(
    ("line", "limits"),
    [
        (V2, {"x/memory.max": "max"}),
        (V2, {}),
        (V1, {"memory/x/memory.limit_in_bytes": "9223372036854771712"}),
        (V2, {"y/memory.max": "4096"}),  # another's
        ("3:cpuset:/x\n", {"memory/x/memory.limit_in_bytes": "4096", "x/memory.max": "4096"}),
    ],
)
def test_without_a_limit_it_may_take_what_the_machine_has(tmp_path: Path, line: str, limits: dict[str, str]) -> None:
    assert of_groups(tmp_path, line, "x", limits) == Allowance(MACHINE)


def test_what_a_process_that_is_gone_may_take_is_that_of_the_machine(tmp_path: Path) -> None:
    assert allowance(4_000_000, proc=tmp_path) == Allowance(MACHINE)


def test_the_words_name_what_is_needed_what_there_is_and_what_to_do() -> None:
    full_frame = 6388 * 9576
    assert needed(full_frame) / GIB == pytest.approx((AT_REST_MIB + MIB_PER_MEGAPIXEL * 61.17) / 1024, rel=1e-3)
    assert too_little(full_frame, Allowance(4 * GIB)) is None
    (words,) = filter(None, [too_little(full_frame, Allowance(2 * GIB, Path("/sys/fs/cgroup/serve/memory.max")))])
    assert words.startswith("a run on frames of 61.2 megapixels needs about 2.")
    assert "and /sys/fs/cgroup/serve/memory.max allows 2.0 GiB: raise MemoryMax= of the unit" in words
    (words,) = filter(None, [too_little(full_frame, Allowance(2 * GIB))])
    assert words.endswith("and this machine has 2.0 GiB: use a machine that has more")


# Runs that are killed


@pytest.fixture
def home(tmp_path: Path) -> Home:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "ccdwatch.toml").write_text(f'[watch]\nhost = "{on_record.HOST}"\n')
    return open_home(tmp_path / "home")


def record(home: Home, shape: tuple[int, int]) -> None:
    with home.write_session() as session:
        for name in ("b1", "b2"):
            add_frame(session, name, FrameType.BIAS, shape=shape)


def next_plan(home: Home) -> Plan:
    ((plan,), _) = reconcile(home, now() + timedelta(hours=1))
    return plan


def begin(home: Home, plan: Plan) -> int:
    run_id = begin_run(
        home, set_id=plan.set_id, digest=plan.digest, attempt=plan.attempt, engine="local", flow_run_id=None
    )
    assert run_id is not None
    return run_id


def die(home: Home, why: str | None = None) -> None:
    give_up(home, begin(home, next_plan(home)), **({"why": why} if why else {}))


def lack_memory(home: Home) -> None:
    with recording_failure(home, begin(home, next_plan(home))):
        raise MemoryError("Unable to allocate 233. MiB")


def run_of(home: Home, plan: Plan) -> RunRow:
    run_id = run_locally(home, plan)
    assert run_id is not None
    with home.read_session() as session:
        return get_run(session, run_id)


@pytest.mark.parametrize(
    "ends",
    [
        [die, die],
        [lack_memory, lack_memory],
        [die, lack_memory],
        [die, lambda home: die(home, "the database went away: no"), die],
        [die, die, die, die],
    ],
)
def test_a_run_that_was_killed_twice_for_memory_is_told_and_not_repeated(
    home: Home, ends: list[Callable[[Home], None]]
) -> None:
    record(home, HUGE)
    for end in ends:
        end(home)
    run = run_of(home, next_plan(home))
    words = run.message or ""
    assert run.outcome is Outcome.FAILED
    assert words.startswith(f"killed {len([one for one in ends if one in {die, lack_memory}])} times"), words
    assert "most likely for memory: a run on frames of 4000000.0 megapixels needs about " in words
    assert str(allowance()) in words
    assert f"type ccdwatch retry run:{run.id}" in words
    assert reconcile(home, now() + timedelta(days=30))[0] == []
    assert [one["message"] for one in health(home).as_dict()["failed_runs"]] == [words]


def test_a_run_that_was_asked_for_again_is_made_again(home: Home) -> None:
    record(home, HUGE)
    die(home)
    die(home)
    told = run_of(home, next_plan(home))
    (plan,) = plans_of(home, [told.set_id], now(), again_after=frozenset(Outcome))
    again = run_of(home, plan)
    assert again.attempt == told.attempt + 1
    assert "for memory" not in (again.message or "")  # its files are no files


@pytest.mark.parametrize("why", ["ended before it began: no", "the database went away: no"])
def test_what_says_nothing_of_memory_is_no_death_for_it(home: Home, why: str) -> None:
    record(home, HUGE)
    for _ in range(3):
        die(home, why)
    die(home)
    assert "for memory" not in (run_of(home, next_plan(home)).message or "")


def test_a_small_run_that_was_killed_was_not_killed_for_memory(home: Home) -> None:
    record(home, SMALL)
    for _ in range(3):
        die(home)
    assert "for memory" not in (run_of(home, next_plan(home)).message or "")


def test_a_run_that_was_refused_memory_says_what_it_needs_and_may_take(home: Home) -> None:
    record(home, SMALL)
    plan = next_plan(home)
    lack_memory(home)
    with home.read_session() as session:
        (run,) = [get_run(session, 1)]
    assert plan.attempt == run.attempt
    assert (run.message or "").startswith("memory ran out: a run on frames of 0.0 megapixels needs about 0.7 GiB, and ")
    assert (run.message or "").endswith("(MemoryError: Unable to allocate 233. MiB)")


def test_a_run_that_needs_more_than_there_is_is_told_while_it_is_under_way(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    record(home, HUGE)
    run_id = begin(home, next_plan(home))
    require_memory(home, run_id)
    (line,) = caplog.messages
    assert line.startswith(f"run:{run_id} (m2-ml 2022-09-19) may be killed: a run on frames of 4000000.0 megapixels")
    (told,) = [one for one in condition(home).findings if "may be killed" in one]
    assert told.removeprefix(f"run:{run_id} may be killed: ") == too_little(HUGE[0] * HUGE[1], allowance(os.getpid()))


def test_of_a_run_that_has_memory_enough_nothing_is_said(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    record(home, SMALL)
    require_memory(home, begin(home, next_plan(home)))
    assert caplog.messages == []
    assert not any("may be killed" in one for one in condition(home).findings)


def test_a_large_mosaic_needs_the_memory_of_a_detector(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape, path = (100, 600), tmp_path / "mosaic.fits"
    units = [fits.ImageHDU(np.zeros((100, 60), np.uint16), name=f"N{number}") for number in range(10)]
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(path)
    record(home, shape)
    with home.read_session() as session:
        assert pixels_at_once(home, session, 1) == 60_000
        monkeypatch.setattr("ccdcore.mosaics.detectors.WHOLE_PIXELS", 1000)
        assert pixels_at_once(home, session, 1) == 60_000  # files that are gone tell nothing
        monkeypatch.setattr("flows.runs.memory.set_frames", lambda *_, **__: [on_disk(path, shape)])
        assert pixels_at_once(home, session, 1) == 6_000 + 60_000 // MIB_PER_MEGAPIXEL


def on_disk(path: Path, shape: tuple[int, int]) -> SeriesFrame:
    one = measure_frame(path)
    return SeriesFrame(one.sha256, path, shape, one.info, one.amplifiers, one.statistics)
