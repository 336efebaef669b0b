"""What earlier nights say of a camera's darks: whether its dark signal scales with the exposure."""

from collections.abc import Collection
from datetime import timedelta

import pytest
from sqlalchemy.orm import Session

from ccdcore.darks.rate import NOT_SCALING
from db.champions import last_not_scaling
from db.runs.current import product_name
from db.runs.lacks import record_lack
from db.runs.lifecycle import finish_run
from db.runs.masters import record_master
from tests.support.on_record import NIGHT, NOON, add_frame, begin_run, master, set_of

DAY = timedelta(days=1)
COLD = -20.0


class Camera:
    """Puts master darks on record as runs do, and why there is no rate of them."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.number = 0

    def run_of(self, day: int, configuration: str = "bin1x1") -> int:
        self.number += 1
        frame_id = add_frame(
            self.session, f"{configuration} day {day}", night=NIGHT + day * DAY, configuration=configuration
        )
        return begin_run(self.session, set_of(self.session, frame_id), digest=f"d {self.number}")

    def night(
        self,
        day: int,
        exposures: Collection[float] = (40.0, 120.0),
        *,
        at: Collection[float | None] = (COLD,),
        scales: bool = True,
        because: str = NOT_SCALING,
        configuration: str = "bin1x1",
        verdict: str = "ok",
    ) -> None:
        run_id = self.run_of(day, configuration)
        for group_c in at:
            for seconds in exposures:
                path = f"masters/{run_id}_{group_c}_{seconds:g}.fits"
                about = {"kind": "dark", "exposure_s": seconds, "group_c": group_c, "valid_from": NOON + day * DAY}
                record_master(self.session, run_id=run_id, master=master(path, verdict=verdict, **about))
        if not scales:
            named = next(iter(at)) if len(at) > 1 else None
            record_lack(
                self.session, run_id=run_id, product=product_name("darkrate", temperature_c=named), reason=because
            )
        finish_run(self.session, run_id=run_id, now=NOON)

    def told(self, day: int, at: float | None = COLD) -> str | None:
        return last_not_scaling(self.session, run_id=self.run_of(day), group_c=at, before=NOON + day * DAY)


@pytest.fixture
def camera(session: Session) -> Camera:
    return Camera(session)


def test_an_earlier_night_of_several_exposures_tells(camera: Camera) -> None:
    assert camera.told(1) is None
    camera.night(1, scales=False)
    assert camera.told(2) == f"on {NIGHT + DAY} there was {NOT_SCALING}"


@pytest.mark.parametrize("order", [(True, False), (False, True)])
def test_the_last_one_that_can_tell_decides(camera: Camera, order: tuple[bool, bool]) -> None:
    for day, scales in enumerate(order, 1):
        camera.night(day, scales=scales)
    camera.night(3, (40.0,))  # of one exposure
    camera.night(4, verdict="bad")
    told = camera.told(5)
    assert told == (None if order[1] else f"on {NIGHT + 2 * DAY} there was {NOT_SCALING}")


@pytest.mark.parametrize(("at", "is_told"), [(-18.0, True), (-17.9, False), (None, False)])
def test_darks_of_a_temperature_within_two_kelvin_tell(camera: Camera, at: float | None, is_told: bool) -> None:
    camera.night(1, scales=False)
    assert (camera.told(2, at) is not None) is is_told


def test_where_no_temperature_is_known_all_tell(camera: Camera) -> None:
    camera.night(1, at=(None,), scales=False)
    assert camera.told(2, None) is not None


def test_each_temperature_tells_of_itself(camera: Camera) -> None:
    camera.night(1, at=(COLD, 0.0), scales=False)
    assert camera.told(2, COLD) is not None
    assert camera.told(2, 0.0) is None


def test_another_reason_tells_nothing(camera: Camera) -> None:
    camera.night(1, scales=False, because="none of its master darks is certified")
    assert camera.told(2) is None


def test_neither_later_nights_nor_the_own_nor_another_configuration_tell(camera: Camera) -> None:
    camera.night(1, scales=False, configuration="bin2x2")
    camera.night(2, scales=False)
    camera.night(3, scales=False)
    assert camera.told(2) is None
    assert camera.told(1) is None
    camera.night(0, scales=False)
    assert camera.told(2) == f"on {NIGHT} there was {NOT_SCALING}"
