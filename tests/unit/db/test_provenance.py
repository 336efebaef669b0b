"""Where a result came from."""

import json

import pytest
from sqlalchemy.orm import Session

from ccdcore.headers.instrument import FrameType, Instrument
from db.errors import UnknownIdError
from db.provenance import provenance
from db.runs.inputs import NewInput, record_inputs
from db.runs.lifecycle import finish_run
from db.runs.masters import record_master
from db.runs.measurements import record_measurements
from tests.support.on_record import HOST, NOON, add_frame, begin_run, gain, hash_of, master, set_of

ENTRY = Instrument("m2-ml", match={"HEAD": "DU970P_BV"})


class Made:
    """A finished run of three biases and three flats, with what it made."""

    def __init__(self, session: Session) -> None:
        self.bias, self.other_bias, self.leaky = (
            add_frame(session, f"bias{number}", entry=ENTRY) for number in range(3)
        )
        self.red, self.green = (
            add_frame(session, f"flat {name}", FrameType.FLAT, filter=name, entry=ENTRY) for name in "rg"
        )
        self.run = begin_run(session, set_of(session, self.bias))
        inputs = [
            NewInput("bias", hash_of("bias0"), "/data/raw/bias0.fits"),
            NewInput("bias", hash_of("bias1"), "/data/raw/bias1.fits", borrowed=True),
            NewInput("bias", hash_of("bias2"), "/data/raw/bias2.fits", excluded="a light leak"),
            NewInput("flat", hash_of("flat r"), "/data/raw/flat r.fits"),
            NewInput("flat", hash_of("flat g"), "/data/raw/flat g.fits"),
            NewInput("for gain", hash_of("flat g"), "/data/raw/flat g.fits", excluded="no pair"),
        ]
        record_inputs(session, run_id=self.run, inputs=inputs)
        (self.gain,) = record_measurements(session, run_id=self.run, measurements=[gain()])
        self.bias_master = record_master(session, run_id=self.run, master=master("bias.fits"))
        self.flat_master = record_master(
            session, run_id=self.run, master=master("flat.fits", kind="flat", filter="g", unit="")
        )
        finish_run(session, run_id=self.run, now=NOON)


@pytest.fixture
def made(session: Session) -> Made:
    return Made(session)


def test_a_measurement_leads_down_to_the_raw_files(session: Session, made: Made) -> None:
    tree = provenance(session, f"measurement:{made.gain}")
    json.dumps(tree, allow_nan=False)
    assert provenance(session, str(made.gain)) == tree
    assert (tree["type"], tree["quantity"], tree["value"]) == ("entity", "gain", 0.97)
    run = tree["wasGeneratedBy"]
    assert (run["type"], run["id"], run["outcome"]) == ("activity", f"run:{made.run}", "done")
    assert run["recipes"] == {"version": 1}
    agent = run["wasAssociatedWith"]
    assert (agent["type"], agent["versions"], agent["host"]) == ("agent", {"ccdwatch": "0.1.0"}, HOST)
    assert run["instrument_entries"] == {ENTRY.digest: ENTRY.describe()}
    used = run["used"][0]
    assert (used["path"], used["file_sha256"]) == ("/data/raw/bias0.fits", hash_of("bias0 file"))
    frame = used["entity"]
    assert (frame["type"], frame["kind"], frame["sha256"]) == ("entity", "bias frame", hash_of("bias0"))
    assert frame["files"] == [{"host": HOST, "path": "/data/raw/bias0.fits", "file_sha256": hash_of("bias0 file")}]
    assert frame["wasAttributedTo"]["entry"] == ENTRY.digest
    assert [one["excluded"] for one in run["used"]] == [None, None, "a light leak", None, None, "no pair"]


def test_each_result_names_only_what_went_into_it(session: Session, made: Made) -> None:
    def inputs(id_text: str) -> list[str]:
        return [str(one) for one in provenance(session, id_text)["wasDerivedFrom"]]

    bias, borrowed, red, green = (f"frame:{key}" for key in (made.bias, made.other_bias, made.red, made.green))
    assert inputs(f"measurement:{made.gain}") == [bias, borrowed, red]
    assert inputs(f"master:{made.bias_master}") == [bias]
    assert inputs(f"master:{made.flat_master}") == [bias, borrowed, green]


def test_a_master_of_another_run_is_followed(session: Session, made: Made) -> None:
    later = begin_run(session, set_of(session, made.bias), digest="d2")
    record_inputs(session, run_id=later, inputs=[NewInput("bias", master_id=made.bias_master)])
    (used,) = provenance(session, f"run:{later}")["used"]
    assert used["entity"]["id"] == f"master:{made.bias_master}"
    assert used["entity"]["wasGeneratedBy"]["id"] == f"run:{made.run}"


def test_a_hash_finds_a_frame_a_raw_file_or_a_master(session: Session, made: Made) -> None:
    frame = provenance(session, hash_of("bias0")[:8].upper())
    assert (frame["id"], frame["wasUsedBy"]) == (f"frame:{made.bias}", [f"run:{made.run}"])
    assert provenance(session, hash_of("bias0 file")) == frame
    assert provenance(session, f"frame:{made.bias}") == frame
    assert provenance(session, hash_of("flat.fits"))["id"] == f"master:{made.flat_master}"


@pytest.mark.parametrize(
    ("id_text", "message"),
    [
        ("measurement:99", "nothing on record is measurement:99: see ccdwatch trends"),
        ("99", "nothing on record is 99"),
        ("gain", "gain is no id: write measurement:12, master:3"),
        ("camera:1", "camera:1 is no id"),
        ("abc", "abc is no id"),
        ("0123456789abcdef", "no frame, raw file or master on record has a SHA-256 that begins with 0123456789abcdef"),
    ],
)
def test_an_unknown_id_says_what_to_type(session: Session, id_text: str, message: str) -> None:
    with pytest.raises(UnknownIdError, match=message):
        provenance(session, id_text)


def test_a_hash_that_names_two_things_needs_more_digits(session: Session) -> None:
    for end in "ab":
        add_frame(session, f"frame {end}", sha256="12345678" + end * 56)
    with pytest.raises(UnknownIdError, match="several SHA-256 begin with 12345678: give more digits"):
        provenance(session, "12345678")
    assert provenance(session, "12345678a")["sha256"] == "12345678" + "a" * 56
