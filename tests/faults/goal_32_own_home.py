"""A run asked for with any other home than its process's own: refused in words, nothing opened, nothing made."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from flows.config.errors import SettingsError
from flows.home.home import home_id, open_home, own_home


def run(full: bool) -> str:
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as directory, pytest.MonkeyPatch.context() as environment:
        top = Path(directory).resolve()
        home, evil, link = top / "home", top / "evil", top / "link"
        open_home(home).engine.dispose()
        evil.mkdir()
        (evil / "ccdwatch.toml").write_text('[database]\nurl = "postgresql+psycopg://192.0.2.1/x"\n')
        link.symlink_to(home)
        before = sorted(top.rglob("*"))
        environment.setenv("CCDWATCH_HOME", str(home))
        others = [evil, top / "made", f"{home}/../evil", f"{home}/", f"{home}/.", link, "~/x", "/", ".", "", "../home"]
        others += [
            home_id(evil),
            home_id(home).upper(),
            home_id(home)[:-1],
            "file://" + str(evil),
            "//host/share",
            "a\nb",
        ]
        others += ["\x00", "x" * 100_000, "é", "\udcff", "%2e%2e/evil", "${HOME}", "$(touch made)"]
        for other in map(str, others):
            with pytest.raises(SettingsError, match="this run is for another home than"):
                own_home(other)
        environment.setenv("CCDWATCH_HOME", str(link))
        for own in (None, home_id(home), str(home), home_id(link), str(link)):  # and as older versions asked
            own_home(own).engine.dispose()
        assert sorted(top.rglob("*")) == before
    return f"{len(others)} other names refused, 0 files made; the own one by 5 names"
