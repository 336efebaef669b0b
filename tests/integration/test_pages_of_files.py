"""Pages over files of a processed night: frames with pictures and headers, masters at full size, nights, search."""

import io
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from astropy.io import fits
from PIL import Image as PillowImage

from db.frames.listing import list_frames
from db.runs.masters import MasterOnRecord, list_masters
from flows.commands.process import process
from flows.home.home import Home, open_home
from flows.runs.pictures import pictures_of
from tests.support.simulate import Camera, simple_night
from tests.support.site import running_site

CAMERA = Camera(shape=(530, 600))
"""More than one part."""
FILTERS = ("V", "V-2", "V#2")


@dataclass
class Shown:
    """A home and its pages."""

    home: Home
    client: httpx.Client
    masters: dict[str, MasterOnRecord]
    frames: Path

    def text(self, address: str, status: int = 200) -> str:
        answer = self.client.get(address)
        assert answer.status_code == status, f"{address}: {answer.status_code} {answer.text[:300]}"
        return answer.text


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("files")
    for number, name in enumerate(FILTERS):
        night = folder / "frames" / f"{number}"
        simple_night(night, seed=number, camera=CAMERA, filter_name=name, n_bias=0 if number else 4, n_flat=3)
    home = open_home(folder / "home")
    process(home, [folder / "frames"])
    with home.read_session() as session:
        masters = {one.product: one for one in list_masters(session)}
    with running_site(home.path) as address, httpx.Client(base_url=address, timeout=120) as client:
        yield Shown(home, client, masters, folder / "frames")


def picture(content: bytes) -> npt.NDArray[Any]:
    return np.asarray(PillowImage.open(io.BytesIO(content)))


def test_a_frame_shows_picture_histogram_header_and_what_was_made_of_it(shown: Shown) -> None:
    with shown.home.read_session() as session:
        flat = next(one for one in list_frames(session) if one.filter == "V-2")
    page = shown.text(f"/frames/{flat.id}")
    for address in re.findall(r'<img src="(/frames/[^"]+)"', page):
        answer = shown.client.get(address)
        assert answer.headers["content-type"] == "image/png"
        assert min(picture(answer.content).shape[:2]) > 100
    assert page.count('<img src="/frames/') == 2
    header = fits.getheader(flat.paths[0])
    cards = dict(re.findall(r"<dt>([^<]+)</dt><dd>([^<]*)</dd>", page.partition('id="header"')[2]))
    assert (cards["FILTER"], cards["NAXIS1"]) == ("V-2", "600")
    assert float(cards["EXPTIME"]) == header["EXPTIME"]
    assert f'/masters/{shown.masters["master flat V-2"].master_id}">' in page
    assert f'/masters/{shown.masters["master flat V#2"].master_id}">' not in page
    assert '<td data-label="As">flat</td><td data-label="Used">yes</td>' in page


def test_a_frame_whose_file_was_changed_or_is_a_link_is_not_drawn(shown: Shown, tmp_path: Path) -> None:
    with shown.home.read_session() as session:
        frame = list_frames(session)[0]
    path, aside = Path(frame.paths[0]), tmp_path / "aside.fits"
    address = f"/frames/{frame.id}/pictures/frame.png"
    assert shown.client.get(address).status_code == 200
    shutil.copy2(path, aside)
    try:
        with path.open("r+b") as file:
            file.seek(-3000, io.SEEK_END)
            file.write(b"x")
        assert shown.client.get(address).status_code == 409
        assert "not as on record any more" in shown.text(f"/frames/{frame.id}")
        path.unlink()
        path.symlink_to(aside)
        assert shown.client.get(address).status_code == 404
    finally:
        path.unlink()
        shutil.copy2(aside, path)
    assert shown.client.get(address).status_code == 200


def test_each_filter_keeps_its_own_pictures(shown: Shown) -> None:
    addresses: dict[str, set[str]] = {}
    for name in FILTERS:
        page = shown.text(f"/masters/{shown.masters[f'master flat {name}'].master_id}")
        addresses[name] = set(re.findall(r'<img src="(/runs/[^"]+)"', page))
        assert len(addresses[name]) == 2, name
        assert f"<figcaption>Master flat {name} frames</figcaption>" in page
    contents = {name: {shown.client.get(one).content for one in found} for name, found in addresses.items()}
    assert all(content.startswith(b"\x89PNG") for found in contents.values() for content in found)
    assert len(set.union(*contents.values())) == 2 * len(FILTERS)
    run_id = shown.masters["master bias"].run_id
    run = shown.text(f"/runs/{run_id}")
    assert all(f"<figcaption>Master flat {name} histogram</figcaption>" in run for name in FILTERS)
    assert len({path.name for path in pictures_of(shown.home, run_id)}) == run.count('loading="lazy"')


@pytest.mark.parametrize("scale", ["zscale", "linear", "log"])
def test_parts_of_a_master_are_its_pixels(shown: Shown, scale: str) -> None:
    master = shown.masters["master flat V-2"]
    value = fits.getdata(shown.home.path / master.path)
    base = f"/masters/{master.master_id}/parts/{master.sha256[:12]}/value/{scale}"
    rows = [
        np.hstack([picture(shown.client.get(f"{base}/0/{row}/{column}.png").content)[::-1] for column in (0, 1)])
        for row in (0, 1)
    ]
    drawn = np.vstack(rows)
    assert drawn.shape == value.shape
    page = shown.text(f"/masters/{master.master_id}/view?scale={scale}")
    found = re.search(r"black ([\d.]+), white ([\d.]+)", page)
    assert found is not None
    low, high = map(float, found.groups())
    place = np.clip((value - low) / (high - low), 0, 1)
    expected = 254 * (np.log1p(1000 * place) / np.log(1001) if scale == "log" else place)
    assert abs(drawn - expected).max() <= (3 if scale == "log" else 1)
    whole = picture(shown.client.get(f"{base}/whole.png").content)
    assert whole.shape == value.shape


def test_a_pixel_is_told_by_all_planes(shown: Shown) -> None:
    master = shown.masters["master flat V-2"]
    with fits.open(shown.home.path / master.path) as hdus:
        value, uncertainty, n_used = (hdus[name].data[6, 4] for name in (0, "UNCERT", "NCOMBINE"))
    said = shown.client.get(f"/masters/{master.master_id}/pixel?x=5&y=7").json()
    assert said == {
        "x": 5,
        "y": 7,
        "value": pytest.approx(float(value)),
        "residual": pytest.approx(0, abs=0.1),
        "uncertainty": pytest.approx(float(uncertainty)),
        "combined": int(n_used),
        "mask": [],
    }
    assert shown.client.get(f"/masters/{master.master_id}/pixel?x=601&y=1").status_code == 404


def test_a_mask_names_its_bits(shown: Shown) -> None:
    (mask,) = (one for product, one in shown.masters.items() if one.kind == "mask")
    bits = fits.getdata(shown.home.path / mask.path)
    page = shown.text(f"/masters/{mask.master_id}/view?plane=uncertainty")  # it has none, and shows what it has
    assert "orange: masked" in page
    row, column = np.argwhere(bits)[0] if bits.any() else (0, 0)
    said = shown.client.get(f"/masters/{mask.master_id}/pixel?x={column + 1}&y={row + 1}").json()
    assert bool(said["mask"]) == bool(bits.any())
    drawn = picture(
        shown.client.get(f"/masters/{mask.master_id}/parts/{mask.sha256[:12]}/mask/zscale/0/0/0.png").content
    )
    assert ((drawn[::-1] == 255) == (bits[:512, :512] != 0)).all()


def test_parts_are_of_the_file_on_record_and_of_no_other(shown: Shown, tmp_path: Path) -> None:
    master = shown.masters["master bias"]
    path = shown.home.path / master.path
    address = f"/masters/{master.master_id}/parts/{master.sha256[:12]}/value/zscale/0/0/0.png"
    assert shown.client.get(address).status_code == 200
    for wrong in (address.replace(master.sha256[:12], 12 * "0"), address.replace("/0/0.png", "/0/9.png")):
        assert shown.client.get(wrong).status_code == 404
    assert shown.client.get(address.replace("/value/", "/residuum/")).status_code == 422
    shutil.copy2(path, tmp_path / "aside")
    try:
        path.unlink()
        path.symlink_to(tmp_path / "aside")
        assert shown.client.get(address).status_code == 404
        path.unlink()
        content = bytearray((tmp_path / "aside").read_bytes())
        content[50_000] ^= 1
        path.write_bytes(content)
        assert shown.client.get(address).status_code == 409
        assert shown.client.get(f"/masters/{master.master_id}/view").status_code == 409
    finally:
        path.unlink()
        shutil.copy2(tmp_path / "aside", path)
    assert shown.client.get(address).status_code == 200


def test_a_search_finds_instrument_night_file_and_numbers(shown: Shown) -> None:
    def lead(words: str) -> str:
        answer = shown.client.get("/search", params={"q": words})
        assert answer.status_code == 303, words
        return answer.headers["location"]

    assert lead("2022-09-19") == "/nights/2022-09-19"
    assert lead("run 1") == lead(" run:1 ") == "/runs/1"
    assert lead(shown.masters["master bias"].sha256[:12]) == f"/masters/{shown.masters['master bias'].master_id}"
    found = shown.text("/search?q=testc")
    assert 'href="/instruments/testcam"' in found
    one = next(shown.frames.rglob("flat*"))
    assert one.name in shown.text(f"/search?q={one.stem}")
    assert "/frames/1" in shown.text("/search?q=1")
    assert "Nothing on record is called &lt;b&gt;%_" in shown.text("/search?q=<b>%25_")
    assert shown.text("/search").count("<h2>") == 0


def test_a_night_shows_its_sets_runs_and_masters(shown: Shown) -> None:
    page = shown.text("/nights/2022-09-19")
    assert shown.text("/nights") == page  # the latest
    assert "<h1>Night 2022-09-20</h1>" in shown.text("/nights?night=2022-09-20")
    assert "4 bias, 9 flat" in page
    for one in shown.masters.values():
        assert f'href="/masters/{one.master_id}"' in page
    other = shown.text("/nights/2022-09-21")
    assert "Nothing is on record of this night" in other
    assert "← 2022-09-19" in other
    assert shown.client.get("/nights/yesterday").status_code == 422


def test_the_residual_is_the_frame_minus_its_master_while_the_frame_is_there(shown: Shown, tmp_path: Path) -> None:
    bias, flat = shown.masters["master bias"], shown.masters["master flat V"]
    with fits.open(shown.home.path / bias.path) as hdus:
        master, first = hdus[0].data, Path(hdus["PROVENANCE"].data["path"][0])
    expected = fits.getdata(first).astype(float) - master
    address = f"/masters/{bias.master_id}/pixel?x=9&y=4"
    assert shown.client.get(address).json()["residual"] == pytest.approx(expected[3, 8], abs=1e-3)
    page = shown.text(f"/masters/{flat.master_id}/view?plane=residual&scale=linear")
    assert "<option selected>residual</option>" in page
    assert abs(shown.client.get(f"/masters/{flat.master_id}/pixel?x=9&y=4").json()["residual"]) < 0.1
    first.rename(tmp_path / "archived")
    try:
        assert shown.client.get(address).json()["residual"] is None
        assert shown.client.get(address).json()["value"] == pytest.approx(float(master[3, 8]))
    finally:
        (tmp_path / "archived").rename(first)
