"""50 000 files flat, 20 000 in 2 000 new folders, events overflowing: all on the ledger within 120 s, idle after."""

import signal
import time

from db.schema.models import FileState
from tests.faults.watching import WatchedSite, watched_site
from tests.support.service import wait_for

WITHIN_SECONDS = 120.0
IDLE_FILES = 200
"""An idle second costs less than so many files that arrive, on any machine: some 4 % of a processor of ours."""
SCAN_SHARE = 0.5
"""A look at all files costs less than this part of what it cost to see them arrive."""


def run(full: bool) -> str:
    n_flat, n_nested, n_folders = (50_000, 20_000, 2_000) if full else (9_000, 500, 50)
    n = n_flat + n_nested
    # The scan of everything, once a minute, would fall into a short time by chance: it is left out, a long one has it.
    scan_seconds = 60 if full else 3600
    with watched_site(scan_seconds=scan_seconds) as site:
        site.start()
        site.land(["first.fits"])
        site.wait_for_ledger(1, within=30)
        assert site.process is not None
        # While it sleeps, the kernel's queue of 16 384 events runs over.
        site.process.send_signal(signal.SIGSTOP)
        site.land(f"flat{i}.fits" for i in range(n_flat))
        site.land(f"night{i % n_folders}/frame{i}.fits" for i in range(n_nested))
        before = site.cpu_seconds()
        site.process.send_signal(signal.SIGCONT)
        seconds = site.wait_for_ledger(n + 1, within=WITHIN_SECONDS)
        cost = (site.cpu_seconds() - before) / n
        assert "some were lost" in site.said(), f"the queue of events did not overflow\n{site.said()}"
        share = _idle_share(site, over=60 if full else 3)
        site.land(f"night{i}/late.fits" for i in range(n_folders))
        late = site.wait_for_ledger(n + 1 + n_folders, within=WITHIN_SECONDS)
    idle = f"{share:.1%} of a processor when idle, as for {share / cost:.0f} files a second that arrive"
    assert share / cost < IDLE_FILES + SCAN_SHARE * n / scan_seconds, idle
    return (
        f"{n_flat} files in one folder, {n_nested} in {n_folders} new ones: all on the ledger {seconds:.1f} s after the"
        f" overflow, {n_folders} more after {late:.1f} s; {idle}"
    )


def _idle_share(site: WatchedSite, *, over: float) -> float:
    """Return the load when all files are done."""
    stable = wait_for(lambda: set(site.states().values()) == {FileState.READY}, seconds=WITHIN_SECONDS, every=1)
    assert stable, site.said()
    site.finish_all()
    time.sleep(6)  # the watcher asks the ledger every 5 s
    before = site.cpu_seconds()
    time.sleep(over)
    return (site.cpu_seconds() - before) / over
