"""Signs of life of processes at work, and who hears that they have stopped."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest

from flows.home.processes import HOST
from flows.runs import life
from flows.runs.life import SILENT_SECONDS, Listener, Sign, alive, elsewhere, signs
from tests.support.other_host import cut_power
from tests.support.service import wait_for

WORK = """
import sys
import time
from pathlib import Path
from flows.runs import life

life.EVERY_SECONDS = 0.05
with life.alive(Path(sys.argv[1]), "f1"):
    time.sleep(600)
"""


def is_heard_again(home: Path, heard: dict[Path, Sign]) -> bool:
    return signs(home) not in ({}, heard)


def test_a_process_at_work_is_heard_until_it_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life, "EVERY_SECONDS", 0.01)
    with alive(tmp_path, "f1"):
        (first,) = signs(tmp_path).values()
        assert (first.host, first.pid, first.flow_run_id) == (HOST, os.getpid(), "f1")
        assert wait_for(lambda: [one for one in signs(tmp_path).values() if one.n > first.n], seconds=10, every=0.01)
        assert elsewhere(tmp_path) == set()
    assert signs(tmp_path) == {}


def test_a_process_that_ends_by_an_error_is_heard_of_until_it_is_gone(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError), alive(tmp_path, "f1"):
        raise ConnectionError
    assert [one.flow_run_id for one in signs(tmp_path).values()] == ["f1"]


def test_what_a_machine_worked_on_whose_power_was_cut_is_known_after_a_silence(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "tests.support.other_host", "another", "-", sys.executable, "-c", WORK, tmp_path]
    machine = subprocess.Popen([*map(str, words)])
    assert wait_for(lambda: elsewhere(tmp_path) == {"f1"}, seconds=30)
    listener = Listener(tmp_path)
    for _ in range(30):
        heard = signs(tmp_path)
        assert wait_for(partial(is_heard_again, tmp_path, heard), seconds=30, every=0.01)
        assert listener.silent(10) == []
    cut_power(machine.pid)
    machine.wait()
    n_looks = next(n for n in range(100) if listener.silent(10))
    assert SILENT_SECONDS <= 10 * n_looks <= SILENT_SECONDS + 20
    (sign,) = listener.silent(10)  # as long as nobody did anything about it
    assert sign.host == "another"
    listener.forget(sign)
    assert signs(tmp_path) == {}
    assert listener.silent(10) == []


def test_who_did_not_look_for_long_does_not_take_that_for_a_silence(tmp_path: Path) -> None:
    with alive(tmp_path, "f1"):
        (file, sign), *_ = signs(tmp_path).items()
    (file.parent / "another-1").write_text(json.dumps(asdict(replace(sign, host="another", pid=1))))
    listener = Listener(tmp_path)
    assert [listener.silent(seconds) for seconds in (0, 3600, 3600)] == [[], [], []]


def test_what_a_process_of_this_machine_left_goes(tmp_path: Path) -> None:
    with alive(tmp_path, "f1"):
        (file, sign), *_ = signs(tmp_path).items()
    file.write_text(json.dumps(asdict(replace(sign, started=sign.started - 100))))
    assert Listener(tmp_path).silent(0) == []
    assert signs(tmp_path) == {}
