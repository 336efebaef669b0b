"""Which calibrated frames are affected is what brute force finds, for simulated nights."""

from sqlalchemy.orm import Session

from benchmarks.affected import by_brute_force, differences, prepare


def test_what_is_affected_is_what_brute_force_finds(session: Session) -> None:
    site = prepare(session, nights=130, frames=150, seed=3)
    told = by_brute_force(site)
    assert differences(told, session) == []
    of_masters = {key for key, (masters, _) in told.items() if masters != site.used[key][0]}
    of_readout = {key for key, (_, readout) in told.items() if site.used[key][1] not in (None, readout)}
    assert of_masters
    assert of_readout - of_masters
    assert site.bad_frames
    assert set(site.used) - set(told) - site.bad_frames
