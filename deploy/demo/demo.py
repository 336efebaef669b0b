"""The demonstration: the whole service on real frames of a real camera.

Starts the service on a home of its own, lets the frames land in a watched directory, waits for the
results, and prints them beside the reference values.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ccdcore.text import value_text

HERE = Path(__file__).resolve().parent
MARK = ".demonstration"
"""Says of a directory that it may be emptied."""
FRAMES = ("ESIS1_04860", "ESIS1_04861", "ESIS1_04803", "ESIS1_04804")
"""Two frames with the lamp off, which serve as biases, and two flats."""

SCIENCE = "ESIS1_00002"
"""A frame of the same camera with X-rays of Fe-55 on it, which takes the place of a science frame."""

REFERENCE = {"1": (2.535, 3.99), "2": (2.505, 3.84), "3": (2.540, 4.14), "4": (2.500, 4.20)}
"""Gain (e⁻/ADU) and read noise (ADU) of each amplifier by an independent analysis: photon transfer of the same
frames in boxes of 64 pixels. The camera team's Fe-55 exposures agree with these gains within 3 %."""

PATIENCE_SECONDS = 3600.0
"""A small machine that is busy with other things may need many minutes for what takes one elsewhere."""
STOP_SECONDS = 300.0


def is_of_a_demonstration(work: Path) -> bool:
    """Whether a directory may be emptied: it is not there, or is empty, or a demonstration marked it as its own."""
    if work.is_symlink() or (work.exists() and not work.is_dir()):
        return False
    return not work.exists() or (work / MARK).exists() or not any(work.iterdir())


def main() -> int:
    """Run the demonstration; return the exit status."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--frames", type=Path, required=True, help="directory with the frames of msfc-ccd")
    options.add_argument(
        "--work",
        type=Path,
        required=True,
        help="directory to work in; emptied of an earlier one first",
    )
    options.add_argument("--exit", action="store_true", help="stop the service afterwards")
    options.add_argument("--history", action="store_true", help="two simulated years of a camera that ages, instead")
    arguments = options.parse_args()

    if not is_of_a_demonstration(arguments.work):
        say(f"{arguments.work}: holds something else than an earlier demonstration: give another --work")
        return 2
    shutil.rmtree(arguments.work, ignore_errors=True)
    arguments.work.mkdir(parents=True)
    (arguments.work / MARK).touch()
    if arguments.history:
        import history

        return history.main(arguments.work, stop=arguments.exit)
    home, incoming = arguments.work / "home", arguments.work / "incoming"
    home.mkdir(parents=True)
    incoming.mkdir()
    shutil.copy(HERE / "ccdwatch.toml", home)
    say("Starting the service (its database is made and inner loops are compiled first; later starts are quicker)")
    up = ["up", "--home", str(home), "--watch", str(incoming), "--port", str(free_port(4200))]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as by Ctrl-C: the service with it
    service = subprocess.Popen([*ccdwatch(), *up])
    try:
        wait_for(service, (home / "service.json").exists, what="the service to be ready")
        say(f"Four frames of the ESIS camera land in {incoming}")
        for name in FRAMES:
            shutil.copy(next(arguments.frames.rglob(f"{name}.fit.gz")), incoming)
        wait_for(service, lambda: ask(home, "runs"), what="the results")
        report(home)
        shutil.copy(next(arguments.frames.rglob(f"{SCIENCE}.fit.gz")), arguments.work)
        calibrate(home, arguments.work)
        if not arguments.exit:
            say("The service goes on until Ctrl-C: copy frames of your own into that directory")
            service.wait()
    except KeyboardInterrupt:
        pass
    finally:
        if service.poll() is None:
            service.send_signal(signal.SIGTERM)
            service.wait(timeout=STOP_SECONDS)
    return 0


def report(home: Path) -> None:
    """Print gains, read noises, masters and addresses."""
    noises = {row["amplifier"]: row for row in ask(home, "trends", "read_noise_adu")}
    print("\namplifier   gain (e⁻/ADU)      reference   read noise (ADU)   reference")
    for row in ask(home, "trends", "gain"):
        noise = noises[row["amplifier"]]
        gain_reference, noise_reference = REFERENCE[row["amplifier"]]
        gain, read_noise = (value_text(one["value"], one["uncertainty"]) for one in (row, noise))
        print(f"{row['amplifier']:<12}{gain:<19}{gain_reference:<12.3f}{read_noise:<19}{noise_reference:.2f}")
    print()
    for master in ask(home, "masters"):
        print(f"master {master['kind']:<5} {master['path']}")
    (run,) = ask(home, "runs")
    service = json.loads((home / "service.json").read_text())
    address = service["prefect_ui_url"]
    print(f"\npages        {service['web_url']}")
    print(f"Prefect UI   {address}, whose password is in {home}/prefect/password")
    print(f"this run     {address}/runs/flow-run/{run['flow_run_id']}")
    print(f"history      ccdwatch trends gain --home {home}\n", flush=True)


def calibrate(home: Path, work: Path) -> None:
    """Calibrate a frame with the masters that suit it best, and draw it before and after."""
    from astropy.io import fits  # what the service starts with needs neither

    from ccdcore.figures.images import whole_frame
    from ccdcore.figures.style import png

    raw = work / f"{SCIENCE}.fit.gz"
    say(f"The masters that suit {raw.name} best, a frame with X-rays of Fe-55; there are no darks of its exposure")
    words = ["calibrate", str(raw), "-o", str(work / "calibrated"), "--allow-missing", "dark"]
    (row,) = ask(home, *words)
    for choice in ask(home, "best", str(raw), may_lack=True)[0]["choices"]:
        adds = f"adds {choice['price_e']:.3g} e⁻ to a noise of {choice['frame_noise_e']:.3g} e⁻"
        print(f"{choice['kind']:<12}master {choice['master_id']}, quality {choice['quality']}, {adds}")
    print(f"raw         {raw}\ncalibrated  {row['output']}")
    for name, file, what in (("before", raw, "raw"), ("after", row["output"], "calibrated")):
        picture = work / "calibrated" / f"{name}.png"
        picture.write_bytes(png(whole_frame(fits.getdata(file).astype(float), title=f"{SCIENCE}, {what}")))
        print(f"{name:<12}{picture}", flush=True)


def ask(home: Path, *question: str, may_lack: bool = False) -> list[dict[str, Any]]:
    """Return what a command answers; nothing of what is not done yet. Some end with status 1 where a master lacks."""
    command = [*ccdwatch(), *question, "--home", str(home), "--format", "json"]
    rows = json.loads(subprocess.run(command, check=not may_lack, capture_output=True, text=True).stdout)
    return [row for row in rows if row.get("outcome", "done") == "done"]


def ccdwatch() -> list[str]:
    """Return how the command is started."""
    return [sys.executable, "-m", "flows.cli.main"]


def wait_for(service: subprocess.Popen[bytes], condition: Any, *, what: str) -> None:
    """Wait until a condition holds, and say each minute that we do; end with a message where it is in vain."""
    began, n_said = time.monotonic(), 0
    while not condition():
        waited = time.monotonic() - began
        if service.poll() is not None or waited > PATIENCE_SECONDS:
            raise SystemExit(f"waited in vain for {what}: see the logs folder in the service's home")
        if waited > 60 * (n_said + 1):
            n_said += 1
            say(f"Waiting for {what} for {n_said} min")
        time.sleep(0.5)


def free_port(wanted: int) -> int:
    """Return the wanted port, or any free one where it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SystemExit("no port of 127.0.0.1 is free")


def say(line: str) -> None:
    """Tell the person who looks on."""
    print(f"• {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
