"""10 000 frames landed while the service was down, more at its start: all on the ledger within 120 s, none twice."""

from tests.faults.watching import watched_site

WITHIN_SECONDS = 120.0


def run(full: bool) -> str:
    n_down, n_start = (10_000, 1_000) if full else (1_000, 100)
    with watched_site() as site:
        site.land(f"night{i % 20}/down{i}.fits" for i in range(n_down))
        site.start()
        site.land(f"night{i % 20}/start{i}.fits" for i in range(n_start))
        n = n_down + n_start
        seconds = site.wait_for_ledger(n, within=WITHIN_SECONDS)
        site.finish_all()
        site.kill()
        site.start()
        site.land(["last.fits"])
        site.wait_for_ledger(n + 1, within=WITHIN_SECONDS)
        again = [path for path, state in site.states().items() if state != "quarantined" and path != "last.fits"]
    assert not again, f"{len(again)} of {n} files offered twice"
    return f"{n_down} files while down and {n_start} during the start: all on the ledger {seconds:.1f} s after, 0 twice"
