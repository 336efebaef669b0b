"""What each program gets of a camera: which masters, in which files, and why not the others."""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from astropy.io import fits

from ccdcore.errors import CcdError
from ccdcore.exchange.siril import siril_names
from ccdcore.exchange.wbpp import UnfitError, wbpp_bytes, wbpp_name
from ccdcore.io.plain_files import file_sha256
from flows.applying.calibrating.masters import ChangedMasterError
from flows.exporting.folder import Item
from flows.exporting.words import CCDPROC, SIRIL, WBPP

if TYPE_CHECKING:
    from db.runs.masters import MasterOnRecord
    from flows.exporting.cameras import Camera

Program = Literal["siril", "wbpp", "ccdproc"]
PROGRAMS: tuple[Program, ...] = get_args(Program)


@dataclass(slots=True)
class Plan:
    """What a program gets: the files, and what is to be known of them; what is left out or failed, and why."""

    items: list[tuple[MasterOnRecord, Item]] = field(default_factory=list)
    words: str = ""
    left_out: list[tuple[MasterOnRecord, str]] = field(default_factory=list)
    failed: list[tuple[MasterOnRecord, str]] = field(default_factory=list)


def plan(camera: Camera, program: Program) -> Plan:
    """Return what a program gets of the masters in force of a camera."""
    found = Plan()
    headers: dict[int, Any] = {}
    for one in camera.masters:
        if one.kind == "darkrate" and program != "ccdproc":
            found.left_out.append((one, f"{program} knows of no dark rates: it takes darks of the frame's exposure"))
            continue
        try:
            headers[one.master_id] = fits.getheader(camera.file(one))
        except CcdError as error:
            found.failed.append((one, str(error)))
    masters = [one for one in camera.masters if one.master_id in headers]
    names, found.words = _names(camera, program, masters, [headers[one.master_id] for one in masters])
    item = {"siril": _for_siril, "wbpp": _for_wbpp, "ccdproc": _copy}[program]
    for one, name in zip(masters, _told_apart(camera, masters, names), strict=True):
        try:
            found.items.append((one, item(camera, one, name)))
        except UnfitError as error:
            found.left_out.append((one, str(error)))
        except CcdError as error:
            found.failed.append((one, str(error)))
    return found


def _names(
    camera: Camera, program: Program, masters: Sequence[MasterOnRecord], headers: Sequence[Any]
) -> tuple[list[str], str]:
    """Return the names of masters as a program has them, and what is to be known of these."""
    if program == "ccdproc":
        return [f"{camera.names[one.master_id]}.fits" for one in masters], CCDPROC
    if program == "wbpp":
        return [wbpp_name(one.kind, header) for one, header in zip(masters, headers, strict=True)], WBPP
    names, patterns = [], []
    for kind, pairs in groupby(zip(masters, headers, strict=True), key=lambda pair: pair[0].kind):
        pattern, of_kind = siril_names(kind, [header for _, header in pairs])
        names += of_kind
        patterns.append(f"  {kind:<5} {pattern}")
    return names, SIRIL.format(patterns="\n".join(patterns))


def _told_apart(camera: Camera, masters: Sequence[MasterOnRecord], names: Sequence[str]) -> list[str]:
    """Return names of which no two are the same in any case of letters; such as were have those of ``reference/``."""
    n = Counter(name.casefold() for name in names)
    return [
        name if n[name.casefold()] == 1 else f"{camera.names[one.master_id]}{Path(name).suffix}"
        for one, name in zip(masters, names, strict=True)
    ]


def _for_siril(camera: Camera, one: MasterOnRecord, name: str) -> Item:
    if one.kind == "bias" and one.master_id in camera.overscan:
        raise UnfitError("Siril subtracts no overscan, and this bias is only what the overscan leaves of it")
    return _copy(camera, one, name)


def _for_wbpp(camera: Camera, one: MasterOnRecord, name: str) -> Item:
    if one.kind != "flat" and one.master_id in camera.overscan:
        raise UnfitError("its overscan was subtracted: PixInsight takes pixels below zero for zero")
    bias = camera.bias_in(one) if one.kind == "dark" else None
    if one.kind == "dark" and bias is None:
        raise UnfitError("WBPP takes darks with the bias in them, and no bias of this temperature is in force")
    content = partial(_xisf, camera, one, bias)
    sources = [one] if bias is None else [one, bias]
    return _item(name, hashlib.sha256(content()).hexdigest(), lambda path: path.write_bytes(content()), sources)


def _copy(camera: Camera, one: MasterOnRecord, name: str) -> Item:
    return _item(name, one.sha256, lambda path: shutil.copyfile(camera.file(one), path), [one])


def _item(name: str, sha256: str, write: Any, sources: Sequence[MasterOnRecord]) -> Item:
    """Return a file that is made of masters, the first of which it is for; it is looked at when it is written."""

    def write_rightly(path: Path) -> None:
        write(path)
        if file_sha256(path) != sha256:
            raise ChangedMasterError(sources[0].master_id, "its file changed meanwhile")

    return Item(name, sha256, write_rightly, about(sources))


def about(sources: Sequence[MasterOnRecord]) -> dict[str, Any]:
    """Return what is told of a file that is made of masters, as JSON has it: that of the first, and all of them."""
    said = sources[0].as_dict()
    columns = "kind", "configuration", "filter", "exposure_s", "temperature_c", "valid_from", "valid_to"
    masters = [{"master_id": one.master_id, "sha256": one.sha256} for one in sources]
    return {"master_id": said["master_id"], **{column: said[column] for column in columns}, "masters": masters}


def _xisf(camera: Camera, one: MasterOnRecord, bias: MasterOnRecord | None) -> bytes:
    with fits.open(camera.file(one), memmap=False) as hdus:
        header, image = hdus[0].header, hdus[0].data
    put_back = None if bias is None else fits.getdata(camera.file(bias))
    return wbpp_bytes(one.kind, header, image, put_back, created=one.valid_from)
