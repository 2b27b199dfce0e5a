"""Maps refined from all measured lines against ESPIRiT's, sigpy's JSENSE, BART's NLINV (if installed) and the true ones.

    python benchmarks/refined_maps.py mr_slices_256.npz --acs 10 12 14 --out refined.csv

Real MR slices, one of every tenth patient (whose files, `subject_???0` in the README, the bundled prior has not seen), with
simulated coils, phase and noise; R random lines. NRMSE of CG-SENSE against the noiseless image, a row a slice; the closing
lines have each tool's mean, and its ratio to the true maps (on ESPIRiT's support), mean and largest.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import torch

from mri_ambient.bart import bart, installed
from mri_ambient.console import track
from mri_ambient.data_prep.acs import only_acs
from mri_ambient.data_prep.coils.espirit import espirit
from mri_ambient.data_prep.coils.refine import refine_maps
from mri_ambient.data_prep.simulation.anatomy import FIELD_OF_VIEW, smooth_noise
from mri_ambient.data_prep.simulation.anatomy_files import Patient, read_patients
from mri_ambient.data_prep.simulation.loops import draw_coils
from mri_ambient.physics.fourier import fft2c
from mri_ambient.physics.masks import slice_mask
from mri_ambient.physics.sense import Sense
from mri_ambient.physics.solvers import data_consistency


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("anatomy", type=Path)
    parser.add_argument("--matrix", type=int, default=256)
    parser.add_argument("--coils", type=int, default=8)
    parser.add_argument("--snr", type=float, default=30)
    parser.add_argument("--accel", type=float, default=4)
    parser.add_argument("--acs", type=int, nargs="+", default=[10, 12, 14, 20, 24])
    parser.add_argument("--others", action="store_true", help="also JSENSE and NLINV, seconds a slice")
    parser.add_argument("--out", type=Path, default=Path("refined.csv"))
    chosen = parser.parse_args()
    patients = read_patients(chosen.anatomy)
    cases = [(index, acs) for index in range(0, len(patients), 10) for acs in chosen.acs]
    everywhere = torch.ones(chosen.matrix, dtype=torch.bool)
    rows = []
    for index, width in track(cases, "maps", len(cases)):
        kspace, true, image, noise_std = scan(patients[index], index, chosen)
        acs = (chosen.matrix, width)
        mask = slice_mask(f"s{index}", 0, "random", chosen.accel, acs, everywhere, chosen.matrix)
        kspace = torch.where(mask, kspace, 0)
        estimated = espirit(only_acs(kspace, acs), acs, noise_std)[0]
        maps = {"true": true, "espirit": estimated, "refined": refine_maps(kspace, mask, estimated, noise_std, acs)}
        if chosen.others:
            maps |= elsewhere(kspace, mask)
        support = (estimated != 0).any(0)
        for name, found in maps.items():
            solved = data_consistency(Sense(found * support, mask), kspace, None, 1e-2, 30)
            error = (solved.abs() - image.abs()).norm() / image.norm()
            rows.append((patients[index].identity, width, name, round(float(error), 4)))
    with chosen.out.open("w", newline="") as file:
        csv.writer(file).writerows([("patient", "acs", "maps", "nrmse"), *rows])
    names = dict.fromkeys(row[2] for row in rows)
    for width in chosen.acs:
        of = {name: np.array([row[3] for row in rows if row[1:3] == (width, name)]) for name in names}
        for name, errors in of.items():
            ratio = errors / of["true"]
            print(
                f"ACS {width}: {name:8s} NRMSE {errors.mean():.3f}, over true {ratio.mean():.3f} to {ratio.max():.3f}"
            )


def scan(
    patient: Patient, index: int, chosen: argparse.Namespace
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
    """k-space with noise, true maps, the noiseless image, the noise's std of a real component."""
    size, rng = chosen.matrix, np.random.default_rng([2, index])
    drawn = list(patient.series.values())[index // 10 % len(patient.series)](size, 1)
    phase = rng.uniform(0.3, 1.2) * smooth_noise((1, size, size), (1.5, size / 4, size / 4), rng)[0]
    fields = draw_coils(chosen.coils, size, drawn.heights, FIELD_OF_VIEW, rng)[0]
    images = torch.from_numpy((drawn.image[0] * np.exp(1j * phase) * fields).astype(np.complex64))
    rss = images.norm(dim=0)
    noise_std = float(rss[torch.from_numpy(drawn.image[0] > 0.1)].mean()) / chosen.snr
    noise = torch.randn(images.shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(index))
    scale = float(torch.quantile(rss.flatten(), 0.99))
    maps = torch.from_numpy((fields / np.linalg.norm(fields, axis=0)).astype(np.complex64))
    kspace = (fft2c(images) + 2**0.5 * noise_std * noise) / scale
    return kspace, maps, (maps.conj() * images).sum(0) / scale, noise_std / scale


def elsewhere(kspace: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """Joint estimates of other tools, all lines their own to use."""
    from sigpy.mri.app import JsenseRecon

    weights = mask.expand(kspace.shape).float().numpy()
    found = JsenseRecon(
        kspace.numpy(), mps_ker_width=12, ksp_calib_width=kspace.shape[-1], weights=weights, show_pbar=False
    ).run()
    maps = {"jsense": torch.from_numpy(np.nan_to_num(np.asarray(found)))}  # not a number where it has no coil
    if installed():
        _, found = bart("nlinv -i 9", kspace.permute(1, 2, 0)[:, :, None].numpy(), outputs=2, threads=1)
        found = torch.from_numpy(np.ascontiguousarray(found.reshape(*kspace.shape[1:], -1)))
        maps["nlinv"] = found.permute(2, 0, 1)
    return {name: (m / m.norm(dim=0).clamp_min(1e-12)).to(torch.complex64) for name, m in maps.items()}


if __name__ == "__main__":
    main()
