"""The comparison of two commits: that it sees what differs, and takes no tree for another one."""

from pathlib import Path

from benchmarks.results import LEFT_OUT, results_of
from benchmarks.same_results import ROOT, Tree


def test_a_tree_that_is_not_imported_is_not_compared(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    done = Tree("other", tmp_path).type("--version")
    assert done.returncode == 1
    assert f"ccdcore was imported from {ROOT / 'ccdcore'}" in done.stderr
    assert f"not from {tmp_path}" in done.stderr
    assert Tree("own", ROOT).type("--version").returncode == 0


def test_rows_have_the_same_names_whatever_their_order_and_numbers(tmp_path: Path) -> None:
    def answer(home: Path, number: int, *amplifiers: str) -> dict[str, object]:
        rows = [
            {"id": number + n, "quantity": "gain", "amplifier": name, "value": float(name), "remark": f"{home}/a"}
            for n, name in enumerate(amplifiers)
        ]
        answers = {"trends": rows, "masters": [], "frames": []}
        return results_of(home, lambda *words: answers[str(words[0])])

    one = answer(tmp_path / "a", 1, "2", "1", "1")
    assert one == answer(tmp_path / "b", 7, "1", "2", "1")
    assert one["trends/1 gain/value"] == one["trends/1 gain (2)/value"] == 1.0
    assert one["trends/2 gain/remark"] == "HOME/a"
    assert not [name for name in one if name.rsplit("/", 1)[-1] in LEFT_OUT]
