"""What a run measures and combines, called directly: no record, no files of masters, no pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ccdcore.frames.frame import SeriesFrame
from ccdcore.headers.instrument import FrameType
from ccdcore.masters.bad_pixels import find_bad_pixels
from ccdcore.masters.build import master_bias, master_flat
from ccdcore.masters.check import check_master
from ccdcore.masters.repair import without_culprits
from ccdcore.masters.response_scatter import response_scatter
from ccdcore.noise.anatomy import measure_noise
from ccdcore.photon_transfer.measure import measure_gain

_FEWEST = 3


def measure_and_combine(frames: Sequence[SeriesFrame]) -> None:
    """Measure gain, read noise and the parts of the noise, make and check masters, look for bad pixels."""
    biases = [one for one in frames if one.info.frame_type is FrameType.BIAS]
    flats = [one for one in frames if one.info.frame_type is FrameType.FLAT]
    gains = measure_gain(biases, flats)
    measure_noise(biases)
    noise = {one.amplifier: one.read_noise_adu for one in gains}
    gain = {one.amplifier: one.gain_e_per_adu or 1.0 for one in gains}
    bias = without_culprits(partial(master_bias, noise_adu=noise), biases, fewest=_FEWEST).master
    make_flat = partial(master_flat, bias=bias, noise_adu=noise, gain_e_per_adu=gain)
    flat = without_culprits(make_flat, flats, fewest=_FEWEST, bias=bias).master
    check_master(bias, biases[len(biases) // 2], noise_adu=noise["1"])
    check_master(flat, flats[len(flats) // 2], bias=bias, noise_adu=noise["1"], gain_e_per_adu=gain["1"])
    amplifiers = biases[0].amplifiers
    for one in amplifiers:
        response_scatter(flat, one)
    find_bad_pixels(bias, amplifiers=amplifiers, read_noise_adu=noise, flats=[flat], flat_frames=flats)
