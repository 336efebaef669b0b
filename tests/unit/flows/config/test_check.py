"""What makes no sense in a configuration: each case is told with its place, and with what to write."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.config.check import Evidence, missing_folders, senseless, unusable_keys
from flows.config.settings import load_settings

CAM = '[[instrument]]\nname = "cam"\nmatch = { INSTRUME = "cam" }\n'
NONE = Evidence()
GAIN = Evidence(measured={(1, "gain_e_per_adu"): (1.932, 0.0022)})


def lines(home: Path, text: str, evidence: Evidence = NONE) -> list[str]:
    (home / "ccdwatch.toml").write_text(text)
    if unusable := unusable_keys(home):
        found = unusable
    else:
        settings = load_settings(home)
        found = [*missing_folders(settings), *senseless(settings, evidence)]
    start = f"{home}/ccdwatch.toml: "
    assert all(one.line.startswith(start) for one in found)
    return [one.line.removeprefix(start) for one in found]


def spec(limits: str) -> str:
    return f"{CAM}spec.gain_e_per_adu = {{ {limits} }}\n"


def amplifiers(*sections: str, overscan: str = "") -> str:
    more = f', overscan = "{overscan}"' if overscan else ""
    each = [f'{{ name = "{name}", data = "{data}"{more} }}' for name, data in zip("LR", sections, strict=False)]
    return f"{CAM}amplifiers = [{', '.join(each)}]\n"


CASES = {
    "an unknown key": (
        "[watch]\nsettle_second = 3\n",
        NONE,
        ["[watch] settle_second unknown key: known keys here are directories, ", "; the nearest is settle_seconds"],
    ),
    "an unknown table": ("[wach]\n", NONE, ["wach unknown key: known keys here are watch", "the nearest is watch"]),
    "an unknown key of a recipe": (
        "[recipes.bias]\nclipsigma = 3\n",
        NONE,
        ["[recipes.bias] clipsigma unknown key", "clip_sigma"],
    ),
    "an unknown key of an entry": (f"{CAM}heder = {{}}\n", NONE, ["[[instrument]] 1 heder unknown key", "is header"]),
    "an unknown limit": (
        f"{CAM}spec.gain_e_per_adu = {{ mn = 3 }}\n",
        NONE,
        ["[[instrument]] 1 spec.gain_e_per_adu.mn unknown key: known keys here are min, max; the nearest is min"],
    ),
    "a value that cannot be": (
        "[watch]\nscan_seconds = 0\n",
        NONE,
        ["[watch] scan_seconds = 0: should be greater than 0"],
    ),
    "home": ('home = "/x"\n', NONE, ["home unknown key: give it as --home"]),
    "a folder that is not there": (
        '[watch]\ndirectories = ["nowhere"]\n',
        NONE,
        ["[watch] directories ", "/nowhere is not there: make it, mount its disk, or correct the name"],
    ),
    "the home watched": (
        '[watch]\ndirectories = ["."]\n',
        NONE,
        [" is the home, where no frame is looked for: name a"],
    ),
    "calibrated frames where raw ones land": (
        '[watch]\ndirectories = [".."]\n[science]\noutput = "../reduced"\n',
        NONE,
        ["[science] output = ", "/reduced lies in the watched folder "],
    ),
    "milliseconds": (
        "[watch]\nsettle_seconds = 30000\n",
        NONE,
        ["[watch] settle_seconds = 30000 is 8.3 hours: it is in seconds: write 30, if milliseconds were meant; 300 "],
    ),
    "a clip of good values": (
        "[recipes.flat]\nclip_sigma = 1.0\n",
        NONE,
        ["[recipes.flat] clip_sigma = 1 leaves out 32 % of values that are right: write 5"],
    ),
    "a unit of milliseconds": (
        f"{CAM}exposure_time_unit_s = 1000\n",
        NONE,
        ["exposure_time_unit_s = 1000 takes", "0.001"],
    ),
    "min above max": (
        spec("min = 1.6, max = 1.4"),
        GAIN,
        [
            "[[instrument]] 1 (cam) spec.gain_e_per_adu has min = 1.6 above max = 1.4, so that every value is bad: "
            "write { min = 1.4, max = 1.6 }"
        ],
    ),
    "limits of a thousand times": (
        spec("min = 1400, max = 2100"),
        GAIN,
        [
            "[[instrument]] 1 (cam) spec.gain_e_per_adu = { min = 1400, max = 2100 }, but 1.9320 ± 0.0022 e⁻/ADU was "
            "measured: it is in another unit: write { min = 1.4, max = 2.1 }"
        ],
    ),
    "a limit of a thousandth": (spec("max = 0.0021"), GAIN, ["write { max = 2.1 }"]),
    "narrow limits": (
        spec("min = 1.931, max = 1.933"),
        GAIN,
        ["is narrower than ± 1 σ: 1.9320 ± 0.0022 e⁻/ADU was measured: write { min = 1.923, max = 1.941 }"],
    ),
    "amplifiers side by side": (
        amplifiers("[1:1024,1:512]", "[1000:2048,1:512]"),
        NONE,
        [
            "[[instrument]] 1 (cam) amplifiers [1:1024,1:512] of L and [1000:2048,1:512] of R have pixels in common: "
            'for R write data = "[1025:2048,1:512]", for example'
        ],
    ),
    "amplifiers on top of each other": (
        amplifiers("[1:9,100:200]", "[1:9,1:100]"),
        NONE,
        ['for L write data = "[1:9,101:200]"'],
    ),
    "the same twice": (amplifiers("[1:9,1:9]", "[1:9,1:9]"), NONE, ["in common: give each pixel to one amplifier"]),
    "an overscan in the data": (
        amplifiers("[1:100,1:50]", overscan="[90:100,1:50]"),
        NONE,
        ["the overscan [90:100,1:50] of L lies in the data [1:100,1:50] of L: give as overscan"],
    ),
    "a span that never is": (
        f"{CAM}valid_from = 2024-01-01\nvalid_to = 2023-01-01T12:00:00Z\n",
        NONE,
        ["valid_from = 2024-01-01T00:00:00Z is not before valid_to = 2023-01-01T12:00:00Z, so that it never holds"],
    ),
    "spans that overlap": (
        f"{CAM}{CAM}valid_from = 2023-04-01T12:00:00Z\n",
        NONE,
        [
            "[[instrument]] 2 (cam) valid_from holds when entry 1 of this name holds too, which is used then: write "
            "valid_to = 2023-04-01T12:00:00Z in entry 1"
        ],
    ),
    "the same entry twice": (f"{CAM}{CAM}", NONE, ["give each its span by valid_from and valid_to, or take one away"]),
    "an entry that nothing fits": (
        CAM,
        Evidence(unmatched={1: 0}),
        ["[[instrument]] 1 (cam) match (INSTRUME = cam) fits no frame on record: see ccdwatch identify FILE"],
    ),
    "an entry below another": (
        f'[[instrument]]\nname = "all"\n{CAM}',
        Evidence(unmatched={2: 1}),
        ["[[instrument]] 2 (cam) match fits frames on record, but entry 1 (all) above takes them all: put it above"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_makes_no_sense_is_told(tmp_path: Path, case: str) -> None:
    text, evidence, said = CASES[case]
    (line,) = lines(tmp_path, text, evidence)
    assert all(words in line for words in said), line


SENSE = {
    "nothing": ("", NONE),
    "sections that share an edge": (amplifiers("[1:10,1:5]", "[11:20,1:5]"), NONE),
    "an overscan of both": (amplifiers("[1:10,1:5]", "[15:20,1:5]", overscan="[11:14,1:5]"), NONE),
    "limits around what was measured": (spec("min = 1.9, max = 2.0"), GAIN),
    "limits that are missed": (spec("min = 2.5, max = 3.0"), GAIN),
    "one limit": (spec("max = 1.932"), GAIN),
    "limits of nothing measured": (spec("min = 1400, max = 1400.001"), NONE),
    "a level that may be below": (spec("min = 0, max = 2.0"), GAIN),
    "spans one after the other": (
        f"{CAM}valid_to = 2023-04-01T12:00:00Z\n{CAM}valid_from = 2023-04-01T12:00:00Z\n",
        NONE,
    ),
    "two heads of one name": (f'{CAM}[[instrument]]\nname = "cam"\nmatch = {{ INSTRUME = "second" }}\n', NONE),
    "an entry of the time to come": (
        f"{CAM}valid_from = 2030-01-01\n",
        Evidence(unmatched={1: 0}, last_observed=datetime(2026, 1, 1, tzinfo=UTC)),
    ),
    "a long wait": ("[watch]\nsettle_seconds = 7200\n", NONE),
}


@pytest.mark.parametrize("case", SENSE)
def test_what_makes_sense_is_not_told(tmp_path: Path, case: str) -> None:
    assert lines(tmp_path, *SENSE[case]) == []


def test_all_is_told_at_once(tmp_path: Path) -> None:
    found = lines(tmp_path, '[watch]\nscan_second = 1\nsettle_seconds = -1\n[web]\nport = "secret"\n')
    assert len(found) == 3
    assert "secret" not in "".join(found)
    found = lines(tmp_path, f"[watch]\nsettle_seconds = 30000\n{spec('min = 2, max = 1')}exposure_time_unit_s = 1e3\n")
    assert len(found) == 3
