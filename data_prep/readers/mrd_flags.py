"""What each acquisition of an ISMRMRD file is for, by its flags: images, calibration, noise, or nothing of use here."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from mri_ambient.errors import UserError

ASIDE = {
    "PHASECORR_DATA": "phase-correction",
    "NAVIGATION_DATA": "navigator",
    "HPFEEDBACK_DATA": "feedback",
    "RTFEEDBACK_DATA": "real-time feedback",
    "DUMMYSCAN_DATA": "dummy",
    "PHASE_STABILIZATION_REFERENCE": "phase stabilisation reference",
    "PHASE_STABILIZATION": "phase stabilisation",
}
CORRECTION = "SURFACECOILCORRECTIONSCAN_DATA"  # of a scan for that, or, as a converter has it, of data to be corrected

Records = Bool[np.ndarray, " record"]


@dataclass(frozen=True)
class Kinds:
    """Which records are what. calibration: alone, not for the image. corrections: flagged for surface-coil correction.
    elsewhere: of further encoding spaces. aside: what is left out, by what it is. embedded: whether some lines are flagged
    to be calibration and image at once."""

    imaging: Records
    calibration: Records
    corrections: Records
    noise: Records
    elsewhere: Records
    aside: dict[str, Records]
    embedded: bool
    notes: list[str]


def flagged(heads: np.ndarray, name: str) -> Records:
    import ismrmrd  # optional: read_mrd has asked for it

    bit = getattr(ismrmrd, f"ACQ_{name}") - 1  # the constants count from one
    return (heads["flags"] >> np.uint64(bit)) & np.uint64(1) == 1


def sort_by_flags(path: Path, heads: np.ndarray) -> Kinds:
    """Raises UserError if nothing makes up images.

    Where no line is left for the image but lines are there that a flag alone keeps from it (converters differ on
    surface-coil correction and on calibration), those are the image.
    """
    if (
        flagged(heads, "IS_PHASECORR_DATA").any() and flagged(heads, "IS_REVERSE").any()
    ):  # turbo spin echo has no reversed
        raise UserError(
            f"{path}: holds phase-correction and reversed readouts, and echo-planar phase correction is not applied here; "
            "correct the data and export them again"
        )
    noise = flagged(heads, "IS_NOISE_MEASUREMENT")
    rest, aside = ~noise, {}
    for flag, what in ASIDE.items():
        aside[f"{what} readouts"] = rest & flagged(heads, f"IS_{flag}")
        rest = rest & ~aside[f"{what} readouts"]
    corrections = rest & flagged(heads, f"IS_{CORRECTION}")
    both = rest & flagged(heads, "IS_PARALLEL_CALIBRATION_AND_IMAGING")
    calibration = rest & flagged(heads, "IS_PARALLEL_CALIBRATION") & ~both & ~corrections
    imaging, notes = rest & ~calibration & ~corrections, []
    for other, what in ((corrections, "for surface-coil correction"), (calibration, "as calibration alone")):
        if not imaging.any() and other.any():
            notes.append(f"all {other.sum()} readouts are flagged {what}: they are read as the image")
            imaging, other[:] = other.copy(), False
    if not imaging.any():
        held = ", ".join(f"{these.sum()} {what}" for what, these in {**aside, "of noise": noise}.items() if these.any())
        raise UserError(
            f"{path}: has no imaging acquisitions among its {len(heads)}{f' ({held} by their flags)' if held else ''}; "
            "export the scan with its images, or clear a flag that is wrong"
        )
    spaces = heads["encoding_space_ref"]
    elsewhere = rest & (spaces != spaces[imaging].min())
    return Kinds(
        imaging=imaging & ~elsewhere,
        calibration=calibration,  # of further spaces too
        corrections=corrections & ~elsewhere,
        noise=noise,
        elsewhere=elsewhere,
        aside=aside,
        embedded=bool((both & ~elsewhere).any()),
        notes=notes,
    )
