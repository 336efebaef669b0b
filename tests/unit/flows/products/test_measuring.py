"""What is said of a gain that is not given."""

import numpy as np

from ccdcore.photon_transfer.measure import measure_gain
from flows.products.measuring import why_no_gain
from flows.runs.lacks import in_short


def test_what_withheld_a_gain_is_its_reason():
    rng = np.random.default_rng(4)

    def frames(light: float) -> list[np.ndarray]:
        each = [(gain, rng.poisson(light * gain, (120, 120))) for gain in (2.0,) * 4 + (1.5,) * 4]
        return [np.rint(500 + (e + rng.normal(0, 4 * gain, e.shape)) / gain).astype(np.uint16) for gain, e in each]

    (result,) = measure_gain(frames(0), frames(9000))
    assert result.gain_e_per_adu is None
    assert in_short(why_no_gain(result)).startswith("the flats fall into two groups, 4 with a variance/mean of ")
