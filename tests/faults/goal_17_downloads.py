"""Links, tampered rows and changed files behind the addresses of downloads: nothing but what is on record is sent."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from threading import Event, Thread

import httpx
from sqlalchemy import select, update

from db.schema.models import File, Master
from flows.commands.process import process
from flows.home.home import Home, open_home
from flows.runs.pictures import pictures_of
from tests.support.simulate import Camera, simple_night
from tests.support.site import running_site

SECRET = b"SIMPLE  = the password of the database"  # it even begins as a frame does

Harm = Callable[[Path, Path], None]


def run(full: bool) -> str:
    with tempfile.TemporaryDirectory(prefix="ccdwatch-") as name:
        directory = Path(name)
        simple_night(directory / "frames", camera=Camera(shape=(32, 64)), n_bias=3, n_flat=0)
        home = open_home(directory / "home")
        process(home, [directory / "frames"])
        (home.path / "secret.toml").write_bytes(SECRET)
        with running_site(home.path) as site, httpx.Client(base_url=site) as client:
            n_refused = sum(1 for _ in _refusals(home, client))
            n_raced, n_sent = _race(home, client, 2_000 if full else 60)
        home.engine.dispose()
    race = f"{n_raced} downloads while a link came and went: {n_sent} whole, no other sent"
    return f"{n_refused} of {n_refused} refused; {race}"


def _refusals(home: Home, client: httpx.Client) -> Iterator[str]:
    """Do each harm to each kind of file, see that nothing of the secret comes, and put all back."""
    for address, path in _addresses(home).items():
        whole = client.get(address)
        assert (whole.status_code, whole.content) == (200, path.read_bytes()), address
        assert int(whole.headers["content-length"]) == len(whole.content)
        for harm in (_link, _hard_link, _link_to_folder, _other_bytes, _remove, _pipe):
            if harm in (_hard_link, _other_bytes) and "pictures" in address:
                continue  # of pictures no hash is on record; a link needs the right to write there
            aside = path.parent.with_name("aside")
            shutil.copytree(path.parent, aside)
            harm(path, home.path / "secret.toml")
            answer = client.get(address)
            assert answer.status_code in {404, 409}, f"{harm.__name__} {address}: {answer.status_code}"
            assert SECRET not in answer.content, f"{harm.__name__} {address}"
            _put_back(path, aside)
            yield harm.__name__
        assert client.get(address).content == whole.content, address
    yield from _tampered(home, client)


def _addresses(home: Home) -> dict[str, Path]:
    with home.read_session() as session:
        file = session.scalars(select(File).order_by(File.id)).first()
        master = session.scalars(select(Master)).first()
    assert file
    assert master
    drawn = pictures_of(home, master.run_id)[0]
    return {
        f"/frames/{file.frame_id}/fits": Path(file.root) / file.relative_path,
        f"/masters/{master.id}/fits": home.path / master.path,
        f"/runs/{master.run_id}/pictures/{drawn.name}": drawn,
    }


def _link(path: Path, secret: Path) -> None:
    path.unlink()
    path.symlink_to(secret)


def _hard_link(path: Path, secret: Path) -> None:
    path.unlink()
    path.hardlink_to(secret)


def _link_to_folder(path: Path, secret: Path) -> None:
    """Have the folder lead elsewhere; of a frame, whose folder is the root, the frame itself."""
    if path.parent.name == "frames":
        _link(path, secret)
        return
    elsewhere = path.parent.with_name("elsewhere")
    elsewhere.mkdir(exist_ok=True)
    (elsewhere / path.name).write_bytes(path.read_bytes() if path.suffix == ".png" else secret.read_bytes())
    shutil.rmtree(path.parent)
    path.parent.symlink_to(elsewhere)


def _other_bytes(path: Path, _secret: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def _remove(path: Path, _secret: Path) -> None:
    path.unlink()


def _pipe(path: Path, _secret: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _put_back(path: Path, aside: Path) -> None:
    if path.parent.is_symlink():
        path.parent.unlink()
    else:
        shutil.rmtree(path.parent)
    aside.rename(path.parent)


def _tampered(home: Home, client: httpx.Client) -> Iterator[str]:
    """Change what the record says of a place."""
    secret = home.path / "secret.toml"
    places = (str(secret), "../secret.toml", "masters/../secret.toml", "secret.toml", "masters", "masters/", "", "a\0b")
    digest = sha256(SECRET).hexdigest()
    with home.read_session() as session:
        master = session.scalars(select(Master)).first()
        file = session.scalars(select(File).order_by(File.id)).first()
    assert file
    assert master
    for place in places:
        with home.write_session() as session:
            session.execute(update(Master).where(Master.id == master.id).values(path=place, sha256=digest))
            session.execute(update(File).where(File.id == file.id).values(relative_path=place))
        for address in (f"/masters/{master.id}/fits", f"/frames/{file.frame_id}/fits"):
            answer = client.get(address)
            assert answer.status_code == 404, f"{place} {address}: {answer.status_code}"
            assert SECRET not in answer.content, f"{place} {address}"
            assert client.get(address.removesuffix("/fits")).status_code == 200
            yield place
    with home.write_session() as session:
        session.execute(update(Master).where(Master.id == master.id).values(path=master.path, sha256=master.sha256))
        session.execute(update(File).where(File.id == file.id).values(relative_path=file.relative_path))


def _race(home: Home, client: httpx.Client, n: int) -> tuple[int, int]:
    """Download while the file and a link to the secret take turns in its place; return how many, and how many came."""
    address, path = next(iter(_addresses(home).items()))
    whole, stop = path.read_bytes(), Event()
    real, link = path.with_name("real"), path.with_name("link")
    link.symlink_to(home.path / "secret.toml")

    def swap() -> None:
        while not stop.is_set():
            path.rename(real)
            link.rename(path)
            path.rename(link)
            real.rename(path)

    swapper = Thread(target=swap)
    swapper.start()
    try:
        answers = [client.get(address) for _ in range(n)]
    finally:
        stop.set()
        swapper.join()
    assert {answer.status_code for answer in answers} <= {200, 404}
    sent = [answer.content for answer in answers if answer.status_code == 200]
    assert set(sent) <= {whole}
    assert not any(SECRET in answer.content for answer in answers)
    return n, len(sent)
