"""The benchmark of culprits in short; and what a run says of a frame that spoils its master."""

from benchmarks.culprits import FAULTS, misses, outcomes


def test_culprits_are_found_and_no_others() -> None:
    found = outcomes(2 * len(FAULTS), 6)
    assert {one.fault for one in found} == {*FAULTS, None}
    assert misses(found) == []
