"""``make faults``: measure the goals in full, one after the other, each result printed as it is there."""

import argparse
import sys
import time

from tests.faults.goals import CannotRunError, Goal, goals


def main() -> int:
    """Measure; return the number of goals that were missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--goal", type=int, action="append", metavar="N", help="only this one; may be given again")
    parser.add_argument("--short", action="store_true", help="the versions of make test, which take seconds")
    wanted = parser.parse_args()
    known = goals()
    if unknown := set(wanted.goal or ()) - {goal.number for goal in known}:
        parser.error(f"no goal {min(unknown)}: there are {', '.join(str(goal.number) for goal in known)}")
    chosen = [goal for goal in known if not wanted.goal or goal.number in wanted.goal]
    return sum(not _measure(goal, full=not wanted.short) for goal in chosen)


def _measure(goal: Goal, *, full: bool) -> bool:
    """Print what a goal is and what was found; return whether it was met, or cannot be judged here."""
    print(f"goal {goal.number}: {goal.title}", flush=True)
    began = time.monotonic()
    try:
        outcome = f"met: {goal.run(full=full)}"
    except AssertionError as error:
        outcome = f"MISSED: {error}"
    except CannotRunError as error:
        outcome = f"not run: {error}"
    print(f"  {outcome} ({time.monotonic() - began:.0f} s)", flush=True)
    return not outcome.startswith("MISSED")


if __name__ == "__main__":
    sys.exit(main())
