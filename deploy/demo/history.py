"""The demonstration of trends: two years of a simulated camera that ages, measured in a few minutes.

Every fortnight a night of frames by the simulator getframes. The read noise creeps up with the temperature; the
electronics of one amplifier are exchanged; one night something disturbs the read-out. The frames go the way that all
frames go, except that nobody waits for them.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
from astropy.io import fits
from demo import free_port, say
from getframes import Camera, CameraConfig, SensorType

from ccdcore.text import value_text
from db.trends.curves import conditions, curves, entry_versions
from db.trends.history import trends
from db.trends.notices import NoticeOnRecord, notices
from flows.commands.process import process
from flows.home.home import Home, open_home
from flows.terminal import progress_bar
from web.formatting import sentence

NIGHTS, APART = 53, timedelta(weeks=2)
SWAPPED, DISTURBED = 24, 43
"""Numbers of the first night after the exchange, and of the bad one."""
STEP, PER_KELVIN = 1.03, 0.02
SHAPE = (256, 512)
N_BIAS, N_FLAT = 4, 5
CONFIGURATION = """
[nights]
longitude_deg = 0

[[instrument]]
name = "ageing"
match = { INSTRUME = "ageing camera" }
amplifiers = [
  { name = "left", data = "[1:256,1:256]" },
  { name = "right", data = "[257:512,1:256]" },
]
spec.gain_e_per_adu = { min = 1.4, max = 1.6 }
spec.read_noise_e = { max = 7.0 }
"""


@dataclass(frozen=True, slots=True)
class Night:
    """What the camera is on one night, the first having number 0."""

    number: int
    begins: date

    @property
    def temperature_c(self) -> float:
        """Of the detector: it creeps up, and follows the seasons."""
        return -100 + 6 * self.number / NIGHTS + 3 * float(np.sin(4 * np.pi * self.number / NIGHTS))

    @property
    def read_noise_e(self) -> float:
        """It follows the temperature, but for the bad night."""
        warmer = self.temperature_c + 100
        return 5.0 * (1 + PER_KELVIN * warmer) * (2.0 if self.number == DISTURBED else 1.0)

    def camera(self) -> Camera:
        """Return the simulated camera."""
        return Camera(
            CameraConfig(
                name="ageing camera",
                sensor_type=SensorType.CCD,
                resolution=SHAPE,
                pixel_size_um=13.5,
                quantum_efficiency=1.0,
                full_well_e=150_000,
                bit_depth=16,
                gain_e_per_adu=1.5,
                bias_offset_adu=1000,
                read_noise_e=self.read_noise_e,
                dark_current_e_per_s=0.0,
                prnu=0.01,
                amplifier_layout=(1, 2),
                amplifier_gain_factors=(1.0, STEP if self.number >= SWAPPED else 1.0),
            ),
            default_temperature_c=self.temperature_c,
            seed=self.number,
        )


def main(work: Path, *, stop: bool) -> int:
    """Run the demonstration of trends and show the pages, unless they are to stop; return the exit status."""
    began = time.monotonic()
    (work / "home").mkdir(parents=True)
    (work / "home" / "ccdwatch.toml").write_text(CONFIGURATION, encoding="utf-8")
    last = datetime.now(UTC).date() - timedelta(days=2)
    nights = [Night(number, last - (NIGHTS - 1 - number) * APART) for number in range(NIGHTS)]
    say(f"{NIGHTS} nights of a camera that ages, one a fortnight, are simulated and measured: some minutes")
    home = open_home(work / "home")
    with progress_bar() as progress:
        for night in nights:
            progress("simulating frames", night.number + 1, NIGHTS)
            simulate(night, work / "frames" / night.begins.isoformat())
        results = process(home, [work / "frames"], progress=progress)
    n_failed = len(results["failed"])
    say(f"Done in {time.monotonic() - began:.0f} s")
    found = tell_what_was_found(home, nights)
    problems = [f"{n_failed} files or runs failed"] * bool(n_failed) + judge(found, nights)
    for problem in problems:
        say(f"NOT as it should be: {problem}")
    draw(home, work, nights[SWAPPED].begins)
    show_pages(home, stop=stop)
    return 1 if problems else 0


def simulate(night: Night, folder: Path) -> None:
    """Write a night's biases and flats."""
    folder.mkdir(parents=True)
    camera = night.camera()
    begin = datetime.combine(night.begins, datetime.min.time(), UTC) + timedelta(hours=20)
    for number in range(N_BIAS + N_FLAT):
        is_bias = number < N_BIAS
        seed = 1000 * night.number + number
        frame = camera.bias_frame(seed=seed) if is_bias else camera.flat_frame(6000.0, 5.0, seed=seed)
        header = fits.Header()
        header["IMAGETYP"] = "Bias Frame" if is_bias else "Flat Field"
        header["INSTRUME"] = "ageing camera"
        header["DATE-OBS"] = (begin + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%S")
        header["EXPTIME"] = 0.0 if is_bias else 5.0
        header["CCD-TEMP"] = round(night.temperature_c, 2)
        header["FILTER"] = "V"
        fits.writeto(folder / f"frame_{number}.fits", np.asarray(frame.data).astype(np.uint16), header)


def tell_what_was_found(home: Home, nights: Sequence[Night]) -> list[NoticeOnRecord]:
    """Print what was put in, and what was found; return the notices."""
    with home.read_session() as session:
        found = notices(session)
        n = len(trends(session))
        entries = entry_versions(session, None)
        noises = curves(session, entries, conditions(session, {"quantity": "read_noise"}))
    print("\nPut in")
    print(f"  since {nights[SWAPPED].begins}  the gain of amplifier right is {STEP - 1:+.0%}: other electronics")
    print(f"  on    {nights[DISTURBED].begins}  the read noise is doubled: a bad night")
    print(
        f"  always            the read noise follows the detector's temperature by {PER_KELVIN:.0%}/K, which creeps up"
    )
    print(f"Found in {n} measurements, and told to people where there are any")
    for notice in found:
        print(f"  on    {night_of(notice)}  {sentence(notice)}")
    for curve in noises:
        chart = curve.chart()
        per_kelvin, error = (100 * one / 5.0 for one in (chart.slope, chart.slope_uncertainty))
        print(f"  always            read noise of amplifier {curve.amplifier} follows the temperature by", end=" ")
        print(f"{value_text(per_kelvin, error)} %/K")
    return found


def night_of(notice: NoticeOnRecord) -> date:
    """Return the night whose measurement made it certain."""
    return (notice.observed_at - timedelta(hours=12)).date()


def judge(found: Sequence[NoticeOnRecord], nights: Sequence[Night]) -> list[str]:
    """Return what is wrong, unless the step and the bad night were found and nobody was disturbed otherwise."""
    step = {("step", "gain", "right", nights[SWAPPED].begins)}
    bad = {("outside", "read_noise", name, nights[DISTURBED].begins) for name in ("left", "right")}
    well = {("inside", "read_noise", name, nights[DISTURBED + 1].begins) for name in ("left", "right")}
    told = Counter((one.kind, one.quantity, one.amplifier, one.since.date()) for one in found)
    expected = step | bad | well
    missing = [
        f"not found once: {what} of {quantity}, {name}, {day}"
        for what, quantity, name, day in expected - {key for key, n in told.items() if n == 1}
    ]
    return missing + [f"false alarm: {one}" for one in told.keys() - expected]


def draw(home: Home, work: Path, month: date) -> None:
    """Write pictures of the trends, and the report of a month."""
    for quantity in ("gain", "read_noise"):
        run(home, "trends", quantity, "--plot", str(work / f"{quantity}.png"), "--format", "csv")
        print(f"picture      {work / f'{quantity}.png'}")
    run(home, "report", "ageing", "--month", f"{month:%Y-%m}", "-o", str(work / "report.html"))
    print(f"report       {work / 'report.html'}: the month of the exchange")


def show_pages(home: Home, *, stop: bool) -> None:
    """Name the pages worth a look, and show them until Ctrl-C."""
    port = free_port(home.settings.web.port)
    address = f"http://127.0.0.1:{port}"
    print(f"pages        {address}/  (ccdwatch web --home {home.path})")
    print(f"the step     {address}/trends/gain?instrument=ageing&amplifier=right")
    print(f"the bad night and the drift  {address}/trends/read_noise?instrument=ageing\n", flush=True)
    if not stop:
        say("The pages are shown until Ctrl-C")
        command = [sys.executable, "-m", "flows.cli.main", "web", "--home", str(home.path), "--port", str(port)]
        with suppress(KeyboardInterrupt):
            subprocess.run(command, check=True)


def run(home: Home, *words: str) -> None:
    """Run a command of ours."""
    command = [sys.executable, "-m", "flows.cli.main", *words, "--home", str(home.path)]
    subprocess.run(command, check=True, capture_output=True)
