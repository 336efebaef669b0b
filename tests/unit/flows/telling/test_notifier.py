"""Notices arrive, once each, at receivers that really listen; at those that do not, later."""

import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import unescape
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from ccdcore.headers.instrument import Instrument
from ccdcore.quantities import Limits
from db.runs.lifecycle import finish_run
from db.runs.measurements import record_measurements
from db.runs.runs import get_run
from db.trends.notices import notices
from flows.home.home import Home
from flows.home.processes import now
from flows.home.service_address import trend_url
from flows.products.trends import draw_trend, judge_trends
from flows.runs.news import raise_notices
from flows.runs.pictures import trend_picture
from flows.runs.run import Run
from flows.telling import notifier, teller
from flows.telling.notifier import tell
from flows.telling.teller import keep_telling
from tests.support.on_record import add_frame, begin_run, gain, set_of
from tests.support.receivers import Receiver, home_with
from tests.support.service import free_port

ENTRY = Instrument("m2-ml", spec={"gain_e_per_adu": Limits(0.9, 1.1)})


def measured(home: Home, value: float, *, night: int, amplifier: str = "1") -> int:
    at = now() - timedelta(days=10 - night)
    with home.write_session() as session:
        frame = add_frame(session, f"n{night}", entry=ENTRY, night=at.date(), date_obs=at)
        run_id = begin_run(session, set_of(session, frame), digest=str(night))
        details = {"n_bias": 9, "n_flat": 9, "n_flat_pairs": 8, "notes": []}
        of = gain(value, observed_at=at, amplifier=amplifier, details=details)
        record_measurements(session, run_id=run_id, measurements=[of])
        finish_run(session, run_id=run_id, now=at)
    return run_id


def test_a_bad_night_is_told_with_its_picture_and_where_to_look(tmp_path: Path, receivers: list[Receiver]) -> None:
    receiver = receivers[0]
    home = home_with(tmp_path / "home", [receiver.url])
    for night, value in enumerate((1.0, 1.01, 1.5)):
        run_id = measured(home, value, night=night)
        assert judge_trends(Run(home, run_id)) == []
    assert tell(home) == 1
    assert tell(home_with(tmp_path / "home", [receiver.url])) == 0  # after a restart, too
    (message,) = receiver.received
    assert message["title"] == "m2-ml: gain changed"
    assert "gain of amplifier 1 is outside its limits (0.9 – 1.1): 1.5 e⁻/ADU on" in message["message"]
    assert "https://ccd.example/trends/gain?instrument=m2-ml&amplifier=1" in message["message"]
    picture = base64.b64decode(message["attachments"][0]["base64"])
    assert picture == (home.path / trend_picture(run_id, "gain")).read_bytes()

    judge_trends(Run(home, measured(home, 1.0, night=3)))
    assert tell(home) == 1
    assert receiver.received[1]["title"] == "m2-ml: gain well again"
    assert "inside its limits again" in receiver.received[1]["message"]


class Mails:
    """A mail server on loopback that keeps what it takes; given a refusal, it takes nothing."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.refusal: str | None = None

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.refusal is None:
            assert isinstance(envelope.content, bytes)
            self.taken.append(message_from_bytes(envelope.content, policy=policy.default))
        return self.refusal or "250 taken"


def test_a_mail_comes_once_for_each_change_and_once_when_it_is_well_again(tmp_path: Path) -> None:
    mails = Mails()
    server = Controller(mails, hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        url = f"mailto://127.0.0.1:{server.port}?from=ccd@example.org&to=observer@example.org"
        home = home_with(tmp_path / "home", [url])
        judge_trends(Run(home, measured(home, 1.0, night=0)))
        assert tell(home) == 0
        run_id = measured(home, 1.5, night=1)
        judge_trends(Run(home, run_id))
        mails.refusal = "451 not now"
        assert tell(home) == 0
        mails.refusal = None
        assert tell(home, at=now() + timedelta(hours=1)) == 1
        judge_trends(Run(home, measured(home, 1.6, night=2)))  # bad still: no news
        assert tell(home) == 0
        judge_trends(Run(home, measured(home, 1.0, night=3)))
        assert tell(home) == 1
        assert tell(home, at=now() + timedelta(hours=2)) == 0
    finally:
        server.stop()
    assert [(str(one["to"]), str(one["subject"])) for one in mails.taken] == [
        ("observer@example.org", "m2-ml: gain changed"),
        ("observer@example.org", "m2-ml: gain well again"),
    ]
    for kind, read in (("plain", str), ("html", unescape)):
        part = mails.taken[0].get_body((kind,))
        assert part is not None
        words = read(part.get_content()).replace("\xa0", " ")
        assert "gain of amplifier 1 is outside its limits (0.9 – 1.1): 1.5 e⁻/ADU on" in words
        assert "https://ccd.example/trends/gain?instrument=m2-ml&amplifier=1" in words
    (picture,) = mails.taken[0].iter_attachments()
    assert picture.get_content_type() == "image/png"
    assert picture.get_content() == (home.path / trend_picture(run_id, "gain")).read_bytes()


def test_who_cannot_be_reached_is_told_later_and_the_others_once(tmp_path: Path, receivers: list[Receiver]) -> None:
    home = home_with(tmp_path / "home", [one.url for one in receivers])
    receivers[1].status = 503
    judge_trends(Run(home, measured(home, 2.0, night=0)))
    assert tell(home) == 0
    assert [len(one.received) for one in receivers] == [1, 0]
    receivers[1].status = 200
    assert tell(home) == 0  # not before its time
    assert tell(home, at=now() + timedelta(minutes=1)) == 1
    assert [len(one.received) for one in receivers] == [1, 1]


def test_an_address_that_means_nothing_keeps_nobody_waiting(tmp_path: Path, receivers: list[Receiver]) -> None:
    home = home_with(tmp_path / "home", ["nosuchthing://x", receivers[0].url])
    judge_trends(Run(home, measured(home, 2.0, night=0)))
    assert tell(home) == 0
    assert len(receivers[0].received) == 1


def test_without_receivers_nothing_waits(tmp_path: Path) -> None:
    home = home_with(tmp_path / "home", [])
    judge_trends(Run(home, measured(home, 2.0, night=0)))
    assert tell(home) == 1
    with home.read_session() as session:
        assert [one.next_try_at for one in notices(session)] == [None]


def test_telling_goes_on_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = home_with(tmp_path / "home", [])
    calls: list[int] = []
    stop = Event()

    def fail(_: Home) -> None:
        calls.append(1)
        if len(calls) == 2:
            stop.set()
        raise OSError("disk full")

    monkeypatch.setattr(teller, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(teller, "tell", fail)
    keep_telling(home, stop)
    assert len(calls) == 2


def test_a_step_is_told_in_words(tmp_path: Path) -> None:
    home = home_with(tmp_path / "home", [])
    values = [1.0, 1.004, 0.996, 1.002, 0.998, 1.003, 0.997, 1.0, 1.001, 0.999, 1.0, 1.0, 1.04, 1.04, 1.04]
    for night, value in enumerate(values):
        run_id = measured(home, value, night=night - 5)
        with home.write_session() as session:
            run = get_run(session, run_id)
            raise_notices(session, run_id=run_id, instrument=run.instrument, configuration=run.configuration, now=now())
    with home.read_session() as session:
        (one,) = notices(session)
    text = notifier.sentence(one)
    assert text.startswith("gain of amplifier 1 stepped since 20")
    assert "%, 1.0" in text
    assert text.endswith("e⁻/ADU.")
    assert draw_trend(home, "gain", instrument="m2-ml", configuration="bin1x1", run_id=run_id)[:4] == b"\x89PNG"


def test_addresses_of_pages_hold_any_name() -> None:
    assert (
        trend_url("http://127.0.0.1:4300/", "a/b", instrument="x y&z", amplifier="ü")
        == "http://127.0.0.1:4300/trends/a%2Fb?instrument=x+y%26z&amplifier=%C3%BC"
    )


TRIALS, BASELINE = 10, 20


def test_the_step_of_five_nights_at_once_is_told_once_in_every_trial(
    tmp_path: Path, receivers: list[Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an outage: all five are on record before the first is judged, and two at a time are, in any order."""
    monkeypatch.setattr("flows.products.trends.draw_trend", lambda *_, **__: b"\x89PNG")
    told = []
    for trial in range(TRIALS):
        rng = np.random.default_rng(trial)
        home = home_with(tmp_path / f"home{trial}", [receivers[0].url])
        for night in range(BASELINE):
            run_id = measured(home, 1.0 + rng.normal(0, 0.004), night=night - BASELINE + 4)
            if night % 7 == 6:
                judge_trends(Run(home, run_id))
        runs = [measured(home, 1.03 + rng.normal(0, 0.004), night=4 + place) for place in range(5)]
        with ThreadPoolExecutor(2) as two:
            list(two.map(lambda run_id, home=home: judge_trends(Run(home, run_id)), rng.permutation(runs).tolist()))
        tell(home)
        tell(home, at=now() + timedelta(hours=2))
        told.append([one["message"].partition(" since ")[0] for one in receivers[0].received])
        receivers[0].received.clear()
    assert told == [["gain of amplifier 1 stepped"]] * TRIALS
