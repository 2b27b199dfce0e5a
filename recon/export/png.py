"""PNG, a file a slice, for slides and quick looks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mri_ambient.console import track
from mri_ambient.recon.export.exporter import Exporter, Extras
from mri_ambient.recon.result_data import ResultData
from mri_ambient.recon.show.panel import NOTICE
from mri_ambient.recon.show.series import Series


def write_pngs(folder: Path, result: ResultData, series: Sequence[Series], extras: Extras) -> None:
    """``NAME_slice_000.png``: 8 bits, 255 is ``window`` in all slices of a series; what is brighter is cut off. Text chunks say
    so, in them no name of the scan, which may be a patient's."""
    for one in track(series, "png", len(series)):
        (volume,) = one.images
        levels = np.round(255 * np.clip(volume / max(one.window, 1e-30), 0, 1)).astype(np.uint8)
        for index, level in enumerate(levels):
            text = PngInfo()
            text.add_itxt("Title", f"{one.title}, R={result.about.accel:.2f}, slice {index} of 0 to {len(levels) - 1}")
            text.add_itxt("Description", f"window 0 to {one.window:.6g}, shown as 0 to 255")
            text.add_itxt("Disclaimer", NOTICE)
            Image.fromarray(level).save(folder / f"{one.name}_slice_{index:03d}.png", pnginfo=text)


PNG = Exporter(write_pngs, (".png",), "folder")
