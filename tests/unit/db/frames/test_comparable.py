"""Two cameras or modes of one name never share a set."""

from datetime import date, timedelta

from sqlalchemy.orm import Session

from ccdcore.headers.instrument import FrameType
from db.schema import models
from tests.support.on_record import NIGHT, register

SECOND = {"header_gain_e_per_adu": 3.48, "header_read_noise_e": 5.88}
FIRST = {"header_gain_e_per_adu": 1.54, "header_read_noise_e": 3.45}


def configuration(session: Session, name: str, *, night: date = NIGHT, **known: object) -> str:
    first = {"night": night, "window_first_night": night}
    frame_id = register(session, name, FrameType.BIAS, **first, **known)  # type: ignore[arg-type]
    frame = session.get_one(models.Frame, frame_id, populate_existing=True)
    of_set = session.get_one(models.CalibrationSet, frame.calibration_set_id)
    assert of_set.configuration == frame.configuration
    return frame.configuration


def test_modes_told_apart_by_header_gain_are_two_sets_night_after_night(session: Session) -> None:
    assert [configuration(session, f"a{n}", **FIRST) for n in range(2)] == ["bin1x1"] * 2
    assert [configuration(session, f"b{n}", **SECOND) for n in range(2)] == ["bin1x1_egain3.48_rn5.88"] * 2
    later = NIGHT + timedelta(days=3)
    assert configuration(session, "b later", night=later, **SECOND) == "bin1x1_egain3.48_rn5.88", "whoever comes first"
    assert configuration(session, "a later", night=later, **FIRST) == "bin1x1"


def test_another_mode_on_another_night_takes_over_no_history(session: Session) -> None:
    assert configuration(session, "a", **FIRST) == "bin1x1"
    assert configuration(session, "b", night=NIGHT + timedelta(days=1), **SECOND) == "bin1x1_egain3.48_rn5.88"


def test_a_header_gain_that_is_put_right_begins_no_other_history(session: Session) -> None:
    assert configuration(session, "a", **FIRST) == "bin1x1"
    corrected = FIRST | {"header_gain_e_per_adu": 1.58}
    assert configuration(session, "b", night=NIGHT + timedelta(days=1), **corrected) == "bin1x1"


def test_cameras_of_one_name_are_told_apart_by_serial_numbers(session: Session) -> None:
    assert configuration(session, "a", serial="CAMSERNO=A-001") == "bin1x1"
    assert configuration(session, "without") == "bin1x1", "what says nothing contradicts nothing"
    assert configuration(session, "b", serial="CAMSERNO=B-002") == "bin1x1_B-002"
    assert configuration(session, "c", night=NIGHT + timedelta(days=9), serial="CAMSERNO=C-003") == "bin1x1_C-003"
    assert configuration(session, "a again", night=NIGHT + timedelta(days=9), serial="CAMSERNO=A-001") == "bin1x1"


def test_frames_of_no_set_are_no_camera_to_be_told_apart_from(session: Session) -> None:
    register(session, "m42", FrameType.OTHER, instrument="another", serial="CAMSERNO=A-001", **SECOND)
    assert configuration(session, "a", serial="CAMSERNO=B-002") == "bin1x1"
    assert configuration(session, "b", instrument="third", **FIRST) == "bin1x1"


def test_the_same_frame_again_stays_where_it_is(session: Session) -> None:
    for known, name in ((FIRST, "bin1x1"), (SECOND, "bin1x1_egain3.48_rn5.88")) * 2:
        for rules in ("rules 1", "rules 2"):
            assert configuration(session, f"of {name}", identified_with=rules, **known) == name


def test_frames_of_two_shapes_are_two_sets_night_after_night(session: Session) -> None:
    for n, night in enumerate((NIGHT, NIGHT + timedelta(days=3))):
        for rules in ("rules 1", "rules 2"):
            whole = [configuration(session, f"w{n}{k}", night=night, identified_with=rules) for k in range(2)]
            half = [
                configuration(session, f"h{n}{k}", night=night, shape=(5, 12), identified_with=rules) for k in range(2)
            ]
            assert (whole, half) == (["bin1x1"] * 2, ["bin1x1_12x5"] * 2)
    later = NIGHT + timedelta(days=9)
    assert configuration(session, "h", night=later, shape=(5, 12)) == "bin1x1_12x5", "whoever comes first"
    assert configuration(session, "w", night=later) == "bin1x1"
    assert configuration(session, "third", night=later, shape=(20, 48)) == "bin1x1_48x20"
    assert configuration(session, "mode", night=later, shape=(5, 12), serial="CAMSERNO=B-002") == "bin1x1_12x5"
