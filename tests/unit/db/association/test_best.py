"""Which masters suit a frame, of those that runs have put on record."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from ccdcore.association.choice import Answer
from ccdcore.cards.sections import Amplifier, Section
from ccdcore.headers.instrument import FrameType
from ccdcore.recipe import Recipes
from db.association.best import best
from db.association.subjects import subjects_on_record
from db.judgements.write import mark, take_back
from db.runs.lifecycle import finish_run
from db.runs.masters import record_master
from db.runs.measurements import record_measurements
from tests.support.on_record import NIGHT, NOON, add_frame, begin_run, gain, master, register, set_of

DAY = timedelta(days=1)


class Camera:
    """Puts masters and science frames of a camera on record."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.number = 0

    def master(self, day: int, *, name: str = "m2-ml", configuration: str = "bin1x1", **about: object) -> int:
        self.number += 1
        frame = f"{name} {configuration} day {day} {self.number}"
        of = {"instrument": name, "configuration": configuration, "date_obs": NOON + day * DAY}
        frame_id = add_frame(self.session, frame, night=NIGHT + self.number * DAY, **of)
        run_id = begin_run(self.session, set_of(self.session, frame_id), digest=frame)
        new = master(f"masters/{self.number}.fits", **{"valid_from": NOON + day * DAY, **about})
        master_id = record_master(self.session, run_id=run_id, master=new)
        record_measurements(self.session, run_id=run_id, measurements=[gain(observed_at=NOON + day * DAY)])
        finish_run(self.session, run_id=run_id, now=NOON)
        return master_id

    def answer(self, day: int, **about: object) -> Answer:
        self.number += 1
        of = {"date_obs": NOON + day * DAY, "exposure_time_s": 300.0, "filter": "V", "night": NIGHT + day * DAY}
        frame_id = register(self.session, f"science {self.number}", FrameType.OTHER, **{**of, **about})
        (subject,) = subjects_on_record(self.session, [frame_id]).values()
        (found,) = best(self.session, [subject], recipes=Recipes())
        return found


@pytest.fixture
def camera(session: Session) -> Camera:
    return Camera(session)


def chosen(answer: Answer) -> dict[str, int]:
    return {one.kind: one.master.master_id for one in answer.choices}


def failed(answer: Answer) -> dict[int, list[str]]:
    return {one.master.master_id: [rule.rule for rule in one.failed] for one in answer.candidates}


def test_a_frame_gets_what_has_its_filter_exposure_and_configuration(camera: Camera) -> None:
    bias = camera.master(0)
    binned = camera.master(0, configuration="bin2x2")
    flat, other_flat = (camera.master(0, kind="flat", unit="", filter=name) for name in "VR")
    dark = camera.master(0, kind="dark", exposure_s=301.0)
    other_dark = camera.master(0, kind="dark", exposure_s=60.0)
    answer = camera.answer(1)
    assert chosen(answer) == {"bias": bias, "dark": dark, "flat": flat}
    assert failed(answer) == {
        bias: [],
        binned: ["configuration"],
        flat: [],
        other_flat: ["filter"],
        dark: [],
        other_dark: ["exposure"],
    }
    assert [(one.kind, one.reason) for one in answer.missing] == [("mask", "no master mask of m2-ml is on record")]


def test_a_rate_is_for_any_exposure_that_is_known(camera: Camera) -> None:
    rate = camera.master(0, kind="darkrate", unit="adu/s", exposure_s=1.0)
    assert chosen(camera.answer(1, exposure_time_s=17.0)) == {"dark": rate}
    answer = camera.answer(1, exposure_time_s=None)
    assert answer.reason("dark") == (
        f"no master dark suits: the nearest, master {rate} of 2022-09-19, fails in "
        "exposure: unknown of the frame, any: it is a rate there"
    )
    said = "IMAGETYP = 'light'; CCD-TEMP = 'cold' cannot be used; EXPTIME = -1 cannot be used"
    answer = camera.answer(1, exposure_time_s=None, frame_type_reason=said)
    assert str(answer.reason("dark")).endswith("there (CCD-TEMP = 'cold' cannot be used; EXPTIME = -1 cannot be used)")


def test_temperatures_go_together_as_in_one_master(camera: Camera) -> None:
    dark = camera.master(0, kind="dark", exposure_s=300.0, group_c=-20.0, temperature_c=-19.9)
    assert chosen(camera.answer(1, ccd_temperature_c=-19.5)) == {"dark": dark}
    assert chosen(camera.answer(1, ccd_temperature_c=-19.4)) == {}
    assert chosen(camera.answer(1, ccd_temperature_c=-17.0, set_temperature_c=-20.0)) == {"dark": dark}
    assert chosen(camera.answer(1)) == {}


def test_what_is_marked_bad_is_for_nothing_until_the_mark_is_taken_back(camera: Camera) -> None:
    old, new = camera.master(0), camera.master(9)
    assert chosen(camera.answer(10)) == {"bias": new}
    mark(camera.session, "master", new, "bad", why="dew", who="ann", now=NOON)
    answer = camera.answer(10)
    assert chosen(answer) == {"bias": old}
    assert failed(answer)[new] == ["mark"]
    take_back(camera.session, "master", new, "bad", why="no dew", who="ann", now=NOON)
    assert chosen(camera.answer(10)) == {"bias": new}


def test_an_unknown_camera_is_told_of_the_nearest_of_another(camera: Camera) -> None:
    bias = camera.master(0)
    answer = camera.answer(1, instrument="guider")
    assert chosen(answer) == {}
    assert answer.reason("bias") == (
        f"no master bias suits: the nearest, master {bias} of 2022-09-19, fails in "
        "camera: guider of the frame, m2-ml there"
    )


def test_a_frame_of_a_window_takes_a_cut(camera: Camera) -> None:
    bias = camera.master(0)
    answer = camera.answer(1, configuration="bin1x1_8x4+10+2", shape=(4, 8), amplifiers=[_amplifier(8, 4)])
    assert chosen(answer) == {}  # nobody knows how large the master is
    assert failed(answer) == {bias: ["window"]}


def _amplifier(columns: int, rows: int) -> Amplifier:
    return Amplifier("1", Section(1, columns, 1, rows))


def test_cameras_that_only_their_serial_numbers_tell_apart_have_masters_of_their_own(camera: Camera) -> None:
    one = add_frame(camera.session, "a", serial="CAMSERNO=A")
    other = add_frame(camera.session, "b", serial="CAMSERNO=B")
    made = []
    for number, frame_id in enumerate((one, other)):
        run_id = begin_run(camera.session, set_of(camera.session, frame_id), digest=str(number))
        made.append(record_master(camera.session, run_id=run_id, master=master(f"masters/s{number}.fits")))
        finish_run(camera.session, run_id=run_id, now=NOON)
    assert chosen(camera.answer(0, serial="CAMSERNO=A")) == {"bias": made[0]}
    assert chosen(camera.answer(0, serial="CAMSERNO=B")) == {"bias": made[1]}
