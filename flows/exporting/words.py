"""The text that lies beside exported masters: what is to be known before they are used."""

CCDPROC = """\
Masters that are in force, as ccdwatch made them: value, uncertainty, mask. They read with CCDData.read.

  from ccdproc import ImageFileCollection, flat_correct, subtract_bias, subtract_dark

  masters = ImageFileCollection(".", glob_include="*.fits")
  (bias,) = masters.ccds(imagetyp="Master Bias")
  (dark,) = masters.ccds(imagetyp="Master Dark", exptime=100.0)
  (flat,) = masters.ccds(imagetyp="Master Flat", filter="V")

Darks hold no bias. "Master Rate" is the dark signal in adu/s, for frames of any exposure. Flats are normalised: give
flat_correct(frame, flat, norm_value=1). Where a camera has an overscan it was subtracted: do so with your frames.
"""

SIRIL = """\
Masters that are in force, as ccdwatch made them. Darks hold no bias: give Siril bias AND dark, as in

  calibrate light -bias=... -dark=... -flat=...

Without the bias its level stays in your frames, and the flat makes a pattern of it. In the preferences of Siril 1.2 and
later, under pre-processing, these paths find them by the header of the frame; write the folder in front:

{patterns}

Siril scales light by the mean of the middle of the flat, ccdwatch by that of all of it.
"""

WBPP = """\
Masters that are in force, made by ccdwatch, as PixInsight's WeightedBatchPreprocessing takes them: files of XISF, for
raw frames of 16 bits. Add this folder by Directory, or the files by Bias, Darks and Flats. Darks have the bias in them,
as WBPP has it from the start.

WBPP tells masters apart by binning, size, exposure and filter. Where yours differ in gain, offset or temperature, add
GAIN, OFFSET or SET-TEMP to its grouping keywords. The first row of the FITS file is the upper one, as PixInsight
has it from the start. PixInsight scales light by the mean of the flat.
"""
