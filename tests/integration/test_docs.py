"""What the documents say is so: links, commands, configuration, reasons; what they show runs."""

import ast
import json
import math
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import click
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from pydantic import BaseModel

from flows.cli.main import COMMANDS, cli
from flows.config.instrument_settings import AmplifierSettings, HeaderField, InstrumentSettings
from flows.config.settings import Settings, load_settings
from tests.support.command import ccdwatch
from tests.support.simulate import Camera, expose, simple_night, standard_cards, uniform_light, write_frame

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guide.md"
APPLYING = ROOT / "docs" / "applying.md"
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
WRITTEN = [*DOCUMENTS, NOTEBOOK]

TRUE_GAIN, TRUE_READ_NOISE = 0.971, 2.836
NO_VALUE = object()
"""Default of a key that has none."""

TELL_RESULTS = """
import json
from dataclasses import asdict

json.dumps(asdict(results[0]))
"""

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def text_of(document: Path) -> str:
    """The Markdown of a document."""
    if document.suffix != ".ipynb":
        return document.read_text(encoding="utf-8")
    cells = nbformat.read(document, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def fenced(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(document), re.MULTILINE | re.DOTALL)


def without_fences(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(document: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_fences(text_of(document)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# Links


@pytest.mark.parametrize("document", WRITTEN, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", without_fences(text_of(document)))
    for target in targets:
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), f"{document.name}: {target}"
        assert not anchor or anchor in anchors(path), f"{document.name}: {target}"


def test_the_readme_leads_to_guide_and_notebook() -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", text_of(ROOT / "README.md"))
    assert {"docs/guide.md", "docs/notebook.ipynb"} <= set(targets)


# Commands


def command_lines(document: Path) -> Iterator[str]:
    """Every ``ccdwatch …`` of a document, in fences and in running text."""
    text = text_of(document)
    for block in fenced(document, ""):
        for line in block.splitlines():
            yield from re.findall(r"(?:^|&& )(ccdwatch (?:(?!&&).)+)", line.partition("#")[0].strip())
    yield from re.findall(r"`(ccdwatch [^`]+)`", without_fences(text))


def is_of_options(words: list[str]) -> bool:
    return not words or words[0].startswith("-")


def parse(line: str) -> None:
    """Let click read a command line, as far as its parameters; nothing is run."""
    words = shlex.split(line)[1:]
    command: click.Command = cli
    while isinstance(command, click.Group) and not (command.invoke_without_command and is_of_options(words)):
        name = words.pop(0)
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"{line}: there is no command {name}"
        command = found
    command.make_context(command.name, words)


@each_document
def test_command_lines_are_understood(document: Path) -> None:
    for line in command_lines(document):
        try:
            parse(line)
        except click.UsageError as error:
            pytest.fail(f"{document.name}: {line}: {error.format_message()}")


def test_a_command_line_that_is_wrong_would_be_found() -> None:
    with pytest.raises(click.NoSuchOption):
        parse("ccdwatch trends gain --plott gain.png")
    with pytest.raises(AssertionError, match="there is no command trend"):
        parse("ccdwatch trend gain")


def test_the_readme_lists_the_commands_there_are() -> None:
    table = text_of(ROOT / "README.md").partition("| command | does |")[2].partition("\n\n")[0]
    cells = [row.split(" | ")[0] for row in table.splitlines()]
    listed = {code.split()[0] for cell in cells for code in re.findall(r"`([a-z][^`]*)`", cell)}
    assert listed == set(COMMANDS)


# Configuration


@each_document
def test_configurations_load(document: Path, tmp_path: Path) -> None:
    for number, block in enumerate(fenced(document, "toml")):
        home = tmp_path / str(number)
        home.mkdir()
        (home / "ccdwatch.toml").write_text(block, encoding="utf-8")
        assert load_settings(home).instruments


def values(settings: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Every key below a prefix, with its default."""
    names = type(settings).model_fields if isinstance(settings, BaseModel) else [one.name for one in fields(settings)]
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, BaseModel) or is_dataclass(value):
            yield from values(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", list(value) if isinstance(value, tuple) else value


def keys_there_are() -> dict[str, Any]:
    keys = dict(values(Settings(home=Path()), ""))
    del keys["home"], keys["instrument"]
    keys |= dict(values(InstrumentSettings(name="any"), "instrument."))
    keys |= dict(values(AmplifierSettings(name="any", data="[1:1,1:1]"), "instrument.amplifiers."))
    limits = InstrumentSettings.model_fields["spec"].annotation
    keys |= {f"instrument.header.{name}": None for name in get_args(HeaderField)}
    keys |= {f"instrument.spec.{name}": None for name in get_args(get_args(limits)[0])}
    for required in ("instrument.name", "instrument.amplifiers.name", "instrument.amplifiers.data"):
        keys[required] = NO_VALUE
    return keys


def keys_in_the_guide() -> dict[str, Any]:
    keys: dict[str, Any] = {}
    section = ""
    for line in text_of(GUIDE).splitlines():
        if line.startswith("#"):
            heading = re.fullmatch(r"### `\[+([a-z_.]+)\]+`", line)
            section = heading[1] if heading else ""
        elif section and (row := re.match(r"\| `([a-z0-9_]+)` \| (.+?) \| ", line)):
            keys[f"{section}.{row[1]}"] = documented_default(row[2])
    return keys


def documented_default(cell: str) -> Any:
    if cell.startswith("`"):
        return tomllib.loads(f"x = {cell.strip('`')}")["x"]
    return NO_VALUE if cell == "required" else None


def test_the_guide_has_every_key_with_its_default() -> None:
    assert keys_in_the_guide() == keys_there_are()


# Reasons


def program_texts() -> set[str]:
    """Every piece of text in the program, format strings cut at their fields."""
    modules = [path for floor in ("ccdcore", "db", "web", "flows") for path in (ROOT / floor).rglob("*.py")]
    nodes = (node for path in modules for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def documented_reasons() -> list[str]:
    text = text_of(GUIDE).partition("## What each reason means")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^|]+)` \|", text, re.MULTILINE)


def test_the_program_gives_the_reasons_of_the_guide() -> None:
    texts = program_texts()
    reasons = documented_reasons()
    assert len(reasons) > 30
    for reason in reasons:
        for piece in filter(None, map(str.strip, re.split("…|: ", reason))):
            assert any(piece in text for text in texts), f"{reason}: nothing says {piece!r}"


# Numbers


def shown_rows(text: str, first: str) -> list[dict[str, str]]:
    """The rows of tables on a terminal whose first two columns are called so."""
    rows: list[dict[str, str]] = []
    names: list[str] = []
    for line in text.splitlines():
        cells = re.split(r"  +", line.strip())
        if line.strip().startswith(first):
            names = cells
        elif names and len(cells) == len(names):
            rows.append(dict(zip(names, cells, strict=True)))
        elif "─" not in line:
            names = []
    return rows


def test_prices_on_the_page_of_applying_are_those_of_its_formulas() -> None:
    text = text_of(APPLYING)
    (best,) = (block for block in fenced(APPLYING, "") if "ccdwatch best" in block)
    noise_e = float(re.findall(r"noise of a pixel\s+([\d.]+) e⁻", best)[0])
    rows = shown_rows(best, "kind  master")
    chosen = {row["kind"]: row for row in rows if "quality" in row}
    prices = {row["kind"]: row for row in rows if "random" in row}
    assert chosen.keys() == prices.keys() == {"bias", "flat", "mask"}
    limits = Settings(home=Path()).science.quality
    for kind, row in prices.items():
        price_e, parts = float(row["price (e⁻)"]), (float(row["random"]), float(row["systematic"]))
        assert price_e == pytest.approx(math.hypot(*parts), rel=0.005)
        assert chosen[kind]["price (e⁻)"] == row["price (e⁻)"]
        assert int(chosen[kind]["quality"]) == sum(price_e / noise_e >= limit for limit in limits), kind
    bias = chosen["bias"]
    adds = f"adds {bias['price (e⁻)']} e⁻ to a noise of {noise_e:g} e⁻"
    assert f"the best, master {bias['master']} of {bias['date']}, {adds}" in text
    said = re.search(r"less than (\d+) % of that, 1 less than (\d+) %, 2 less than (\d+) %", text)
    assert said is not None
    assert [int(one) / 100 for one in said.groups()] == list(limits)


# What is shown runs


@pytest.fixture
def camera_folder(tmp_path: Path) -> Path:
    simple_night(tmp_path / "camera" / "2022-09-19", n_bias=8, n_flat=8)
    return tmp_path / "camera"


def test_the_first_day_and_the_use_of_its_masters(
    camera_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("CCDWATCH_HOME", str(home))
    first_day = text_of(GUIDE).partition("## First day")[2].partition("\n## ")[0]
    lines = [line.partition("#")[0].strip() for line in first_day.splitlines() if line.startswith("ccdwatch ")]
    assert lines.pop() == "ccdwatch up"
    assert "ccdwatch process /data/camera/2022-09-19" in lines
    for line in lines:
        said = ccdwatch(*shlex.split(line.replace("/data/camera", str(camera_folder)))[1:])
        assert said.status == 0, f"{line}: {said.err}"
    (gain,) = ccdwatch("trends", "gain", "--format", "json").json()
    assert gain["value"] == pytest.approx(1.5, abs=4 * gain["uncertainty"])
    assert gain["uncertainty"] < 0.03

    reduced = reduce_as_in_the_guide(home, monkeypatch)
    pulls = (reduced.data - reduced.data.mean()) / reduced.uncertainty.array
    assert pulls.std() == pytest.approx(1, abs=0.05)


def reduce_as_in_the_guide(home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    camera = Camera(gain_e_per_adu=1.5, read_noise_e=5.0, bias_adu=1000.0, shape=(64, 256))
    light = uniform_light(camera.shape, 30_000.0, vignetting=0.3)
    cards = standard_cards("flat", datetime(2022, 9, 19, 23, tzinfo=UTC), 5.0) | {"IMAGETYP": "Light Frame"}
    write_frame(home / "science.fits", expose(camera, np.random.default_rng(7), light), cards)
    monkeypatch.chdir(home)
    (example,) = (block for block in fenced(GUIDE, "python") if "ccdproc" in block)
    names: dict[str, Any] = {}
    exec(compile(example, "docs/guide.md", "exec"), names)
    return names["science"]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook, run anew in a folder of its own, with a last cell that tells its results."""
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("CCDWATCH_NOTEBOOK_FRAMES", raising=False)
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
            environment.setenv(name, str(folder / name))
        environment.setenv("JUPYTER_PLATFORM_DIRS", "1")
        notebook = nbformat.read(NOTEBOOK, as_version=4)
        notebook.cells.append(nbformat.v4.new_code_cell(TELL_RESULTS))
        resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
        NotebookClient(notebook, timeout=200, kernel_name="python3", resources=resources).execute()
    return notebook


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def test_the_notebook_finds_the_truth(executed: Any) -> None:
    result = outputs(executed)[-1]["data"]["text/plain"]
    measured = json.loads(ast.literal_eval(result))
    assert measured["gain_e_per_adu"] == pytest.approx(TRUE_GAIN, rel=0.01)
    assert measured["gain_e_per_adu"] == pytest.approx(TRUE_GAIN, abs=4 * measured["gain_uncertainty"])
    assert measured["read_noise_e"] == pytest.approx(TRUE_READ_NOISE, abs=4 * measured["read_noise_uncertainty"])


def test_the_notebook_prints_no_error_and_no_warning(executed: Any) -> None:
    for notebook in (executed, nbformat.read(NOTEBOOK, as_version=4)):
        kinds = {output["output_type"] for output in outputs(notebook)}
        assert kinds == {"execute_result"}, kinds


def words(notebook: Any) -> list[str]:
    """The text that cells gave, without its numbers: those may differ in the last digits from machine to machine."""
    texts = [output["data"]["text/plain"] for output in outputs(notebook)]
    return [re.sub(r"[\d.\se−+-]+", " ", text) for text in texts]


def test_the_notebook_is_committed_with_its_outputs(executed: Any) -> None:
    committed = nbformat.read(NOTEBOOK, as_version=4)
    count = [cell.execution_count for cell in committed.cells if cell.cell_type == "code"]
    assert count == list(range(1, len(count) + 1))
    assert words(committed) == words(executed)[:-1], "run it again: jupyter execute --inplace docs/notebook.ipynb"
    assert sum("image/png" in output["data"] for output in outputs(committed)) == 4


def test_the_committed_notebook_is_small_and_names_no_machine() -> None:
    content = NOTEBOOK.read_text(encoding="utf-8")
    assert len(content) < 700_000
    shown = [
        str(value) for output in outputs(nbformat.reads(content, as_version=4)) for value in output["data"].values()
    ]
    assert not re.search(r"/(tmp|home|root|work|usr|Users|var)/", "\n".join(shown))
