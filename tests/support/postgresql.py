"""A PostgreSQL server of the tests' own: on loopback, in a temporary directory, ended with the tests."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def programs() -> Path | None:
    """Return the directory of PostgreSQL's server programs, the newest version's; None where there is none."""
    on_path = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    found = [Path(on_path)] if on_path else debian[-1:]
    return found[0].resolve().parent if found else None


def stop_hard(binaries: Path, data: str, *, seconds: float) -> None:
    """Stop the server of a data directory as a crash does, and start it again some seconds later."""
    control = [str(binaries / "pg_ctl"), "-D", data, "--wait"]
    user, log = _user(), f"{data}/../log"
    options = (Path(data) / "postmaster.opts").read_text().split(maxsplit=1)[1].replace('"', "'")
    subprocess.run([*control, "stop", "--mode=immediate"], check=True, user=user, stdout=subprocess.DEVNULL, cwd=data)
    time.sleep(seconds)
    start = [*control, "start", "--log", log, "-o", options]
    subprocess.run(start, check=True, user=user, stdout=subprocess.DEVNULL, cwd=data)


def _user() -> str | None:
    """Return who runs the server, which refuses to be run as root; Debian's package brings a user for it."""
    return "postgres" if os.geteuid() == 0 else None


@contextmanager
def running_server(binaries: Path) -> Iterator[str]:
    """Run a server and give the URL of its empty database."""
    user = _user()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ccdwatch-postgresql-") as folder:
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        data = Path(folder) / "data"

        def run(program: str, *words: str) -> None:
            command = [str(binaries / program), "-D", str(data), *words]
            subprocess.run(command, check=True, user=user, stdout=subprocess.DEVNULL, cwd=folder)

        run("initdb", "--auth=trust", "--username=ccdwatch", "--encoding=UTF8", "--no-sync")
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        run("pg_ctl", "start", "--wait", "--log", f"{folder}/log", "-o", options)
        try:
            yield f"postgresql+psycopg://ccdwatch@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "stop", "--wait", "--mode=immediate")
