"""Simulation-based calibration of what users get: truths drawn from the prior, so that only the sampler can be wrong.

    python benchmarks/sbc.py --out sbc [--slices 16 --samples 16 --accel 2 4 8 --methods mmps daps dds --seed 5]
    python benchmarks/sbc.py --truths heads             # simulated scans, true maps: what the prior lacks; or mr_slices_256.npz

(Talts et al., 1804.06788.) Each truth is an unconditional sample of the bundled prior, behind true coil maps, random lines and
noise, reconstructed with the tuned settings that `recon` takes. If samples and truth are draws of one posterior, the truth's
rank among K samples is uniform, T (by which the std has to be multiplied for 90 % intervals to hold 90 %) and std/error are 1.
Of anatomy from files every tenth subject is taken,
which the bundled prior has not seen, but for those of the validation. Prints Markdown; writes sbc.csv and the rank histograms,
ranks.png.
"""

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Complex, Float
from matplotlib.figure import Figure
from torch import Generator, Tensor

from mri_ambient.data_prep.acs import only_acs
from mri_ambient.data_prep.prepare import acs_scale
from mri_ambient.data_prep.simulation.anatomy import FIELD_OF_VIEW
from mri_ambient.data_prep.simulation.anatomy_files import read_patients
from mri_ambient.data_prep.simulation.loops import draw_coils
from mri_ambient.data_prep.simulation.simulate import SimulateSettings, draw_scan
from mri_ambient.memory import keep_freed_memory
from mri_ambient.physics.fourier import ifft2c
from mri_ambient.physics.masks import slice_mask
from mri_ambient.physics.seeds import seed_of
from mri_ambient.physics.sense import Sense
from mri_ambient.priors.card import Prior
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.runs import BUNDLED
from mri_ambient.priors.sampling import sample_prior
from mri_ambient.recon.evaluate.metrics.nrmse import nrmse
from mri_ambient.recon.evaluate.proper_scores import proper_scores
from mri_ambient.recon.evaluate.std_calibration import (
    coverage,
    spread_over_error,
    standardised_errors,
    std_scale_of,
    tissue,
)
from mri_ambient.recon.evaluate.tuned import find_tuned, nearest
from mri_ambient.recon.methods.method import Settings
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.reconstruct import Reconstruction, reconstruct
from mri_ambient.store import PreparedVolume

NOISE, COILS, ACS, STEPS = 0.02, 8, 10, 40
TENTH = 10
VALIDATION = (1, 5, 9, 13, 17, 21)  # of every tenth
APART = 4  # pixels between those whose ranks are counted: neighbours are alike


@dataclass(frozen=True)
class Case:
    """Truths of the prior and what was measured of them, as one volume."""

    volume: PreparedVolume
    truth: Complex[Tensor, "slice y x"]


def as_case(
    truth: Complex[Tensor, "slice y x"],
    maps: Complex[Tensor, "slice coil y x"],
    noise: Complex[Tensor, "slice coil y x"],
    noise_std: Float[Tensor, " slice"],
    accel: float,
) -> Case:
    """y = M (F S x + n), normalised, at a random M of R."""
    rows, columns = truth.shape[-2:]
    everything, count = torch.ones(columns, dtype=torch.bool), len(truth)
    masks = [slice_mask("sbc", index, "random", accel, (0, ACS), everything, rows) for index in range(count)]
    sense = Sense(maps, torch.stack(masks))
    volume = PreparedVolume(
        name="sbc",
        kspace=sense.apply_mask(sense(truth) + noise),
        mask=sense.mask,
        acquired=everything,
        sens_maps=maps,
        scale=torch.ones(count),
        noise_std=noise_std,
        acs=(rows, ACS),
        coil_transform=torch.eye(maps.shape[1], dtype=torch.complex64).expand(count, -1, -1),
        provenance={
            "source": "truths",
            "format": "samples",
            "measured_sha256": "",
            "settings": {},
            "maps": "true",
            "calibrated_on": [rows, ACS],
            "noise_from": "known",
            "coils": [maps.shape[1], maps.shape[1]],
            "notes": [],
            "subject": None,
            "field_of_view_mm": (FIELD_OF_VIEW, FIELD_OF_VIEW),
            "simulated": True,
            "version": "",
        },
    )
    return Case(volume, truth)


def case_of_scans(truths: str, count: int, accel: float, seed: int) -> Case:
    """Middle slices of simulated scans, their true maps, their own noise; ``truths``: heads, or a file of anatomy."""
    settings = SimulateSettings(slices=1, seed=seed, anatomy=None if truths == "heads" else truths)
    patients = None
    if settings.anatomy is not None:
        every_tenth = read_patients(Path(truths))[::TENTH]
        patients = [patient for number, patient in enumerate(every_tenth) if number not in VALIDATION]
    parts: list[list[Tensor]] = [[], [], [], []]
    for index in range(count):
        patient = patients[index % len(patients)] if patients else None
        drawn = draw_scan(index, settings, next(iter(patient.series)) if patient else None, patient)
        sensitivity = drawn.coils.norm(dim=1)
        maps = drawn.coils / sensitivity[:, None]
        scale = acs_scale(only_acs(drawn.noiseless[0], (drawn.kspace.shape[-2], ACS)))
        truth = (maps.conj() * ifft2c(drawn.noiseless)).sum(1) / scale
        found = truth, maps, (drawn.kspace - drawn.noiseless) / scale, torch.tensor([drawn.noise_std]) / scale
        for part, one in zip(parts, found, strict=True):
            part.append(one)
    truth, maps, noise, level = (torch.cat(part) for part in parts)
    return as_case(truth, maps, noise, level, accel)


def case_from(prior: Prior, slices: int, accel: float, seed: int) -> Case:
    """``slices`` samples of the prior; the first are the same whatever their number."""
    truth = sample_prior(prior, slices, STEPS, False, Path(), seed)
    rows = truth.shape[-2]
    coils = [
        draw_coils(COILS, rows, np.array([10.0 * (index % 5)]), FIELD_OF_VIEW, np.random.default_rng([seed, index]))[0]
        for index in range(slices)
    ]
    maps = torch.from_numpy(np.stack(coils).astype(np.complex64))
    maps = maps / maps.abs().square().sum(1, keepdim=True).sqrt()
    generators = [Generator().manual_seed(seed_of("sbc", index, seed, "noise")) for index in range(slices)]
    noise = [torch.randn(maps.shape[1:], dtype=torch.complex64, generator=generator) for generator in generators]
    return as_case(truth, maps, 2**0.5 * NOISE * torch.stack(noise), torch.full((slices,), NOISE), accel)


def settings_for(prior: Prior, method: str, accel: float) -> Settings | None:
    """Those that `recon` takes with the prior at R."""
    for study in find_tuned(None, [prior]).values():
        chosen = nearest(study, method, accel, prior.card.weights_sha256)
        if chosen:
            return chosen.settings
    return METHODS[method].settings


def figures_of(found: Reconstruction, case: Case) -> dict[str, float]:
    """What calibration is told by."""
    support = case.volume.sense.support
    errors, count = standardised_errors(found, case.truth, tissue(case.truth, support)), found.samples.shape[1]
    scores = proper_scores(found, case.truth, support)
    truth, (one, mean) = case.truth.abs().numpy(), (image.numpy() for image in found.magnitudes)
    return {
        "T": std_scale_of(errors, count),
        "std/error": spread_over_error(found, case.truth),
        "50 %": coverage(errors, 0.5, count),
        "90 %": coverage(errors, 0.9, count),
        "CRPS": scores.crps,
        "complex": scores.crps_complex,
        "one": nrmse(truth, one),
        "mean": nrmse(truth, mean),
        "s/slice": found.seconds / len(found.samples),
    }


def ranks(found: Reconstruction, case: Case) -> np.ndarray:
    """How many of the K samples' magnitudes are below the truth's, at tissue pixels that lie APART."""
    where = tissue(case.truth, case.volume.sense.support)[:, ::APART, ::APART]
    below = found.samples.abs() < case.truth.abs()[:, None]
    return below.sum(1)[:, ::APART, ::APART][where].numpy()


def draw(path: Path, counted: dict[tuple[float, str], np.ndarray], samples: int) -> None:
    """A histogram a method and R; the band is what chance alone leaves of uniform ranks in nine of ten bars."""
    accels, methods = (list(dict.fromkeys(key[i] for key in counted)) for i in (0, 1))
    figure = Figure(figsize=(2.6 * len(accels), 2.1 * len(methods)), layout="constrained")
    axes = figure.subplots(len(methods), len(accels), squeeze=False, sharex=True)
    for (accel, method), found in counted.items():
        axis = axes[methods.index(method)][accels.index(accel)]
        share = np.bincount(found, minlength=samples + 1) / len(found) * (samples + 1)
        axis.bar(range(samples + 1), share, width=0.9)
        chance = 1.645 * (samples / len(found)) ** 0.5
        axis.axhspan(1 - chance, 1 + chance, color="0.7", alpha=0.6, lw=0)
        axis.set_title(f"{method}, R={accel:g}", fontsize=9)
        axis.set_ylim(0, 2.5)
    for axis in axes[-1]:
        axis.set_xlabel("rank of the truth")
    figure.savefig(path, dpi=130)


def rows(chosen: argparse.Namespace, prior: Prior) -> Iterator[tuple[float, str, dict[str, float], np.ndarray]]:
    """Of each R and method its figures and ranks."""
    for accel in chosen.accel:
        if chosen.truths == "prior":
            case = case_from(prior, chosen.slices, accel, chosen.seed)
        else:
            case = case_of_scans(chosen.truths, chosen.slices, accel, chosen.seed)
        for method in chosen.methods:
            settings = settings_for(prior, method, accel)
            found = reconstruct(case.volume, method, prior, chosen.samples, chosen.seed, settings)
            yield accel, method, figures_of(found, case), ranks(found, case)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("sbc"))
    parser.add_argument("--slices", type=int, default=16)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--accel", type=float, nargs="+", default=[2.0, 4.0, 8.0])
    parser.add_argument("--methods", nargs="+", default=["mmps", "daps", "dds"])
    parser.add_argument("--truths", default="prior")
    parser.add_argument("--seed", type=int, default=5)
    chosen = parser.parse_args()
    keep_freed_memory()  # as the command does
    chosen.out.mkdir(parents=True, exist_ok=True)
    prior, counted = find_prior(("image",), BUNDLED), {}
    with (chosen.out / "sbc.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        for number, (accel, method, figures, found) in enumerate(rows(chosen, prior)):
            if number == 0:
                writer.writerow(["R", "method", *figures])
                print(f"| R | method | {' | '.join(figures)} |\n|---|---{'|---' * len(figures)}|", flush=True)
            writer.writerow([accel, method, *figures.values()])
            print(f"| {accel:g} | {method} | {' | '.join(f'{v:.3f}' for v in figures.values())} |", flush=True)
            counted[accel, method] = found
    draw(chosen.out / "ranks.png", counted, chosen.samples)


if __name__ == "__main__":
    main()
