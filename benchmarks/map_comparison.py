"""Draw the sensitivity maps of our ESPIRiT, sigpy and BART of a scan beside each other, with the angles between them.

    python benchmarks/map_comparison.py SCAN [SCAN ...] --out maps.png

Per scan (its middle slice): the magnitude of the first coil's map of each, then the angle to ours in degrees at each pixel. All
three calibrate on the same square box, at most 24 wide, for sigpy takes no other.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from mri_ambient.bart import installed
from mri_ambient.data_prep.acs import find_acs
from mri_ambient.data_prep.coils.calibration import calibrate
from mri_ambient.data_prep.coils.maps import ESTIMATORS
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.readout import crop_readout, target_rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, default=Path("maps.png"))
    chosen = parser.parse_args()
    names = [name for name in ("espirit", "sigpy", "bart") if name != "bart" or installed()]
    width = 2 * len(names) - 1
    figure, axes = plt.subplots(len(chosen.scans), width, figsize=(2.4 * width, 2.8 * len(chosen.scans)), squeeze=False)
    for row, path in zip(axes, chosen.scans, strict=True):
        scan = read_scan(path)
        size = min(24, *find_acs(scan, 24 if scan.fully_sampled else None, target_rows(scan)))
        kspace = crop_readout(scan.kspace[len(scan.kspace) // 2], scan)
        maps = {name: ESTIMATORS[name](calibrate(kspace / kspace.abs().max(), (size, size))) for name in names}
        for axis, (name, found) in zip(row, maps.items(), strict=False):
            axis.imshow(found[0].abs(), cmap="gray", vmin=0, vmax=1)
            axis.set_title(f"{name}\n|map| of coil 1", fontsize=8)
        row[0].set_ylabel(f"{path.stem}\nbox {size}x{size}", fontsize=7)
        for axis, name in zip(row[len(names) :], names[1:], strict=True):
            both = (maps[name].norm(dim=0) > 0) & (maps["espirit"].norm(dim=0) > 0)
            cosine = (maps["espirit"].conj() * maps[name]).sum(0).abs().clamp(max=1)
            angle = torch.where(both, torch.rad2deg(torch.arccos(cosine)), torch.nan)
            values = angle[both].numpy()
            shown = axis.imshow(angle, cmap="viridis", vmin=0, vmax=10)
            middle, most = np.quantile(values, [0.5, 0.95])
            axis.set_title(f"angle to {name}, degrees\nmedian {middle:.2f}, 95 % {most:.2f}", fontsize=8)
            figure.colorbar(shown, ax=axis, shrink=0.7)
            print(f"{path.name}: {name}: median {middle:.3f}, 95 % {most:.3f} degrees, {both.sum()} pixels inside both")
        for axis in row:
            axis.set_xticks([])
            axis.set_yticks([])
    figure.tight_layout()
    figure.savefig(chosen.out, dpi=110)


if __name__ == "__main__":
    main()
