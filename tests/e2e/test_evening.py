"""A night crew's evening: what people see of it on the pages and in a terminal of 80 × 24, and what they do there."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from db.frames.listing import list_frames
from db.runs.lifecycle import finish_run
from db.runs.masters import MasterOnRecord, list_masters
from db.runs.measurements import record_measurements
from flows.home.home import Home, open_home
from flows.home.processes import now
from flows.judgements.editors import set_password
from tests.conftest import skip_or_fail
from tests.support.on_record import add_frame, begin_run, gain, set_of
from tests.support.pace import LONG
from tests.support.receivers import Receiver
from tests.support.service import Service, wait_for
from tests.support.simulate import Camera, simple_night
from tests.support.site import CHROMIUM, Visit, answers, follow, running_browser, running_site
from tests.support.terminal import CCDWATCH, COLUMNS, Terminal, running_terminal

SETTLE_SECONDS = 40.0
GAIN, STEP = 1.5, 1.1
CAMERA, CONFIGURATION = "testcam", "bin1x1_256x64"
DAY = timedelta(days=1)
TONIGHT = now().date() - 5 * DAY
LATER = [TONIGHT + (1 + number) * DAY for number in range(3)]
"""So many nights it takes before a step is certain."""
PASSWORD = "a password of anna"


@pytest.fixture
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        skip_or_fail("browser", "no Chromium on this machine: install Debian's package chromium")
    with running_browser() as browser:
        yield browser


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    with running_terminal(tmp_path) as terminal:
        yield terminal


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


@pytest.fixture
def service(prepared: Callable[..., Service], receiver: Receiver) -> Service:
    """A service of a camera that was well for twelve nights, with an editor, and a receiver of notices."""
    service = prepared(settle_seconds=SETTLE_SECONDS)
    with (service.home / "ccdwatch.toml").open("a") as configuration:
        configuration.write(f"[notify]\nurls = {json.dumps([receiver.url])}\n[web]\nallow_edits = true\n")
    home = open_home(service.home)
    set_password(home.settings, "anna", PASSWORD)
    put_good_nights(home)
    home.engine.dispose()
    service.start()
    return service


def put_good_nights(home: Home) -> None:
    with home.write_session() as session:
        for number in range(12):
            at = datetime.combine(TONIGHT + (number - 20) * DAY, time(20), UTC)
            of = {
                "instrument": CAMERA,
                "configuration": CONFIGURATION,
                "night": at.date(),
                "date_obs": at,
                "joined_at": at,
                "now": at,
            }
            frame = add_frame(session, f"bias {number}", **of)
            run_id = begin_run(session, set_of(session, frame), digest=f"d{number}", now=at)
            value = GAIN + 0.004 * (-1) ** number
            record_measurements(session, run_id=run_id, measurements=[gain(value, observed_at=at)])
            finish_run(session, run_id=run_id, now=at)


def land(service: Service, gain_e_per_adu: float, *nights: object, n_flat: int) -> None:
    """Let the frames of some nights land, all in one moment."""
    camera = Camera(gain_e_per_adu=gain_e_per_adu, read_noise_e=5.0, bias_adu=1000.0, shape=(64, 256))
    for number, night in enumerate(nights):
        folder = service.outside / f"{night}"
        simple_night(folder, seed=number, night=night, n_bias=3, n_flat=n_flat, camera=camera)  # type: ignore[arg-type]
        folder.rename(service.incoming / folder.name)


def shown_now(page: Page, words: str) -> str:
    """Wait until the page, which nobody reloads, shows these words of what is now; return all of it."""
    found = page.locator("#now").filter(has_text=re.compile(words))
    found.wait_for(timeout=1000 * LONG)
    return found.inner_text()


def typed(terminal: Terminal, service: Service, words: str) -> str:
    """Type a command; return what is seen of it, its lines joined."""
    lines = terminal.type(f"{CCDWATCH} {words} --home {service.home}")
    assert all(len(line) <= COLUMNS for line in lines)
    return " ".join(line.strip() for line in lines)


def countdown(text: str) -> float:
    found = re.search(
        rf"{CAMERA} {TONIGHT} {CONFIGURATION}, 7 frames: complete in (?:(\d+) min ?)?(?:(\d+) s)? ?\(", text
    )
    assert found, text
    return 60 * int(found[1] or 0) + int(found[2] or 0)


def master_flat(service: Service) -> MasterOnRecord:
    """The last night's, the one in force."""
    with service.on_record.read_session() as session:
        return list_masters(session, instrument=CAMERA, kind="flat")[-1]


def test_what_a_night_crew_sees_of_an_evening(
    service: Service, receiver: Receiver, browser: Browser, terminal: Terminal
) -> None:
    address = f"http://127.0.0.1:{service.web_port}"
    assert wait_for(lambda: answers(address), seconds=LONG), service.said()
    visit = Visit(browser.new_page())
    visit.page.set_default_timeout(1000 * LONG)
    page = visit.to(address)
    assert CAMERA in page.locator("main").inner_text()

    # The evening's frames land: both see until when their set waits.
    land(service, GAIN, TONIGHT, n_flat=4)
    first = countdown(shown_now(page, "7 frames: complete in"))
    assert 0 <= first <= SETTLE_SECONDS
    if (said := typed(terminal, service, "status")).count("settling: "):  # a slow machine may have come too late
        assert countdown(said) <= first
    run = service.wait_until_done(CAMERA, 7)
    assert f"{TONIGHT}" in typed(terminal, service, f"trends gain --since {TONIGHT}")
    page = visit.to(f"{address}/runs/{run.id}")
    assert page.locator("h1").inner_text() == f"Run {run.id}: {CAMERA}, {TONIGHT}"

    # Nights later the gain is another one: all are told, once.
    page = visit.to(address)
    land(service, GAIN * STEP, *LATER, n_flat=4)
    shown_now(page, f"{CAMERA}.*step")
    steps = wait_for(lambda: [one for one in receiver.received if "step" in one["message"]], seconds=LONG, every=1)
    assert len(steps) == 1, receiver.received
    assert steps[0]["title"] == f"{CAMERA}: gain changed"
    assert f"since {LATER[0]}" in steps[0]["message"]
    said = typed(terminal, service, "status")
    assert "1 trend that changed" in said
    assert "trend: testcam: " in said

    # One looks at the frames of the last night, and marks one of them: the masters are made without it.
    assert wait_for(lambda: master_flat(service).night == LATER[-1], seconds=LONG), service.said()
    before = master_flat(service)
    assert before.n_combined == 4
    with service.on_record.read_session() as session:
        frame = list_frames(session, instrument=CAMERA, frame_type="flat")[-1]
    page = visit.to(f"{address}/frames/{frame.id}")
    follow(page.get_by_role("link", name="mark it"))
    for name, value in (("why", "dome light"), ("name", "anna"), ("password", PASSWORD)):
        page.locator(f"[name={name}]").fill(value)
    follow(page.get_by_role("button", name="Mark it"))
    page.wait_for_url(f"{address}/frames/{frame.id}")
    made_anew = wait_for(lambda: master_flat(service).master_id != before.master_id, seconds=LONG)
    assert made_anew, service.said()
    after = master_flat(service)
    assert (after.night, after.n_combined, after.n_excluded) == (LATER[-1], 3, 1)
    page = visit.to(f"{address}/runs/{after.run_id}")
    assert "dome light" in page.locator("main").inner_text()
    said = typed(terminal, service, "mark")
    assert re.search(rf"frame:{frame.id} +bad +dome light +anna", said)
    assert len([one for one in receiver.received if "step" in one["message"]]) == 1
    visit.page.close()
    visit.went_well()


def test_what_waits_is_shown_and_renewed_without_scripts(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "ccdwatch.toml").write_text("[watch]\nsettle_seconds = 600\n", encoding="utf-8")
    home = open_home(tmp_path)
    with home.write_session() as session:
        add_frame(session, "a", host=home.settings.host, night=now().date(), date_obs=now(), joined_at=now())
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    with running_site(tmp_path) as address:
        page.goto(address)
        shown = page.locator("#now .waiting td").inner_text()
        assert "1 frame: complete in" in shown
        renewed = page.locator("#now .waiting td").filter(has_not_text=shown)
        renewed.wait_for(timeout=120_000)
        assert "1 frame: complete in" in renewed.inner_text()
    context.close()
