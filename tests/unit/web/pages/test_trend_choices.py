"""What the pages of trends offer to look at."""

from pathlib import Path

import httpx
from sqlalchemy import select, update

from db.schema.models import CalibrationSet, Measurement, Run
from db.trends.overview import LAST
from flows.home.home import open_home
from tests.support.long_history import put_history
from tests.support.site import running_site


def test_a_quantity_that_the_last_windows_lack_is_offered(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    with home.write_session() as session:
        put_history(session, nights=LAST + 5)
        runs = select(Run.id).join(CalibrationSet).order_by(CalibrationSet.window_first_night.desc())
        last = Measurement.run_id.in_(session.scalars(runs.limit(LAST)).all())
        session.execute(
            update(Measurement).where(last, Measurement.quantity == "read_noise").values(quantity="dark_current")
        )
    with running_site(home.path) as address:
        answer = httpx.get(f"{address}/trends/dark_current")
        compared = httpx.get(f"{address}/trends/read_noise/compare")
    assert 'href="/trends/read_noise"' in answer.text
    assert "red" in compared.text
