"""Sensitivity maps against the true ones: ours, sigpy's and BART's, over widths of the ACS, SNR and numbers of coils.

    python benchmarks/maps.py --out maps.csv

Simulated heads of 128x128 (the template's subjects, ``--subjects`` of them, seeds 2, 3, ...); all rows of the central `acs`
columns calibrate. Of each: the share of the head that the maps cover and of the air that they leave in, the median and 95 %
angle to the true maps inside the head, and the NRMSE of CG-SENSE (R=4 random lines, 10 ACS lines in all cases, so that only
the maps differ) against the noiseless image, over the whole picture and inside the head. Every tool with the threshold that it
comes with; sigpy's and BART's crop is BART's 0.8. The closing lines have the largest ratio of our NRMSE to the better of both.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from mri_ambient.bart import installed
from mri_ambient.console import track
from mri_ambient.data_prep.coils.calibration import calibrate
from mri_ambient.data_prep.coils.maps import ESTIMATORS
from mri_ambient.data_prep.simulation.anatomy import FIELD_OF_VIEW, draw_subject, smooth_noise
from mri_ambient.data_prep.simulation.loops import draw_coils
from mri_ambient.physics.fourier import fft2c
from mri_ambient.physics.masks import slice_mask
from mri_ambient.physics.sense import Sense
from mri_ambient.physics.solvers import data_consistency

MATRIX = 128
COLUMNS = ("covered", "air", "angle", "angle_95", "nrmse", "nrmse_head")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=3)
    parser.add_argument("--coils", type=int, nargs="+", default=[4, 8, 16])
    parser.add_argument("--snr", type=float, nargs="+", default=[10, 20, 30, 60])
    parser.add_argument("--acs", type=int, nargs="+", default=[10, 14, 20, 24, 48, MATRIX])
    parser.add_argument("--out", type=Path, default=Path("maps.csv"))
    chosen = parser.parse_args()
    names = [name for name in ("espirit", "sigpy", "bart") if name != "bart" or installed()]
    cases = [(c, s, a, n) for c in chosen.coils for s in chosen.snr for n in range(chosen.subjects) for a in chosen.acs]
    found = defaultdict(list)
    for coils, snr, acs, number in track(cases, "maps", len(cases)):
        kspace, maps, image, noise_std = head(coils, snr, 2 + number)
        for name in names:
            estimated = ESTIMATORS[name](calibrate(kspace, (MATRIX, acs), noise_std))
            found[coils, snr, acs, name].append(judge(estimated, maps, kspace, image, number))
        found[coils, snr, acs, "true"].append(judge(maps * (image.abs() > 0), maps, kspace, image, number))
    rows = [(*key, *np.mean(values, 0).round(4)) for key, values in found.items()]
    with chosen.out.open("w", newline="") as file:
        csv.writer(file).writerows([("coils", "snr", "acs", "maps", *COLUMNS), *rows])
    for row in rows:
        print(
            "{:2d} coils SNR {:3.0f} ACS {:3d} {:8s}".format(*row[:4]), " ".join(f"{value:7.3f}" for value in row[4:])
        )
    for column in ("nrmse", "nrmse_head"):
        of = {row[:4]: row[4 + COLUMNS.index(column)] for row in rows}
        ratios = {k[:3]: of[*k[:3], "espirit"] / min(of[*k[:3], n] for n in names[1:]) for k in of}
        worst = max(ratios, key=lambda key: ratios[key])
        print(
            f"{column}: ours over the better of {', '.join(names[1:])}: at most {ratios[worst]:.3f} (coils, SNR, ACS {worst})"
        )


def head(coils: int, snr: float, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
    """k-space with noise, true maps, the noiseless image (0 in air), and the noise's std of a real component."""
    rng = np.random.default_rng(seed)
    anatomy = draw_subject(MATRIX, 1, rng).image[0]
    phase = rng.uniform(0.3, 1.2) * smooth_noise((1, MATRIX, MATRIX), (1.5, MATRIX / 4, MATRIX / 4), rng)[0]
    fields = draw_coils(coils, MATRIX, np.array([0.0]), FIELD_OF_VIEW, rng)[0]
    images = torch.from_numpy((anatomy * np.exp(1j * phase) * fields).astype(np.complex64))
    rss = images.norm(dim=0)
    noise_std = float(rss[torch.from_numpy(anatomy > 0.1)].mean()) / snr
    noise = torch.randn(images.shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))
    scale = float(torch.quantile(rss.flatten(), 0.99))
    maps = torch.from_numpy((fields / np.linalg.norm(fields, axis=0)).astype(np.complex64))
    kspace = (fft2c(images) + 2**0.5 * noise_std * noise) / scale
    image = (maps.conj() * images).sum(0) / scale
    return kspace, maps, torch.where(torch.from_numpy(anatomy > 0.1), image, 0), noise_std / scale


def judge(
    found: torch.Tensor, maps: torch.Tensor, kspace: torch.Tensor, image: torch.Tensor, number: int
) -> tuple[float, ...]:
    """The figures of COLUMNS."""
    support, inside = found.norm(dim=0) > 0, image.abs() > 0
    cosine = (maps.conj() * found).sum(0).abs()[support & inside].clamp_max(1)
    angle = torch.rad2deg(torch.arccos(cosine))
    everywhere = torch.ones(MATRIX, dtype=torch.bool)
    sense = Sense(found, slice_mask("maps", number, "random", 4, (MATRIX, 10), everywhere, MATRIX))
    solved = torch.where(support, data_consistency(sense, sense.apply_mask(kspace), None, 1e-2, 30), 0).abs()
    wrong = solved - image.abs()
    covered, air = support[inside].float().mean(), support[~inside].float().mean()
    errors = wrong.norm() / image.norm(), wrong[inside].norm() / image.norm()
    return tuple(map(float, (covered, air, angle.median(), angle.quantile(0.95), *errors)))


if __name__ == "__main__":
    main()
