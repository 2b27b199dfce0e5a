"""Which training rule learns best at equal compute? Losses x denoisers, then the controls and laps, at R=4 and R=8.

    python benchmarks/ambient_grid.py mr_slices_256.npz --out grid [--images 80000 --matrix 64 --only NAME ...]

The npz is anatomy for ``mri-ambient simulate`` (8 coils, SNR 30, seed 0); a tenth of its patients are kept for the test.
Every run sees the same number of images of the same scans, each behind one fixed mask, from the same seed. Resumable:
finished runs are not repeated. Writes grid/results.csv: NRMSE (magnitude, per slice, against the simulated image without
noise) of the one-step estimate, of one 30-step `dds` sample and of its K=8 mean, and the spread over the error.
"""

import argparse
import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import torch
from torch import Generator

from data_prep.anatomy_files import read_patients
from data_prep.folder import prepare_folder
from data_prep.prepare import PrepareSettings, prepare
from data_prep.readers import read_scan
from data_prep.simulate import SimulateSettings, simulate_folder
from mri_ambient.physics.sense import Sense
from mri_ambient.priors.card import Prior, load_prior
from mri_ambient.processes import Spread
from mri_ambient.training.run import RunConfig, run
from recon.classical import cg_sense, l1_wavelet
from recon.denoising import denoiser_for
from recon.metrics import nrmse
from recon.problem import Problem, problem_of
from recon.samplers.dds import DdsSettings, dds

COILS, ACS, SAMPLES, TEST_SLICES = 8, 6, 8, 24
ACCELS = (4.0, 8.0)
GRID = [(loss, denoiser) for denoiser in ("unrolled", "unet") for loss in ("weighted", "noise-aware", "published")]
WIDTHS = {"unrolled": (16, 32, 48), "unet": (32, 64, 96)}  # 0.35 and 0.69 M parameters: alike in seconds an image


def make_data(anatomy: Path, out: Path, matrix: int, draws: int) -> None:
    """out/train and out/test: every tenth patient, once, is for the test; the others are drawn ``draws`` times."""
    if (out / "data.json").exists():
        return
    settings = SimulateSettings(matrix=matrix, slices=36, coils=COILS, snr=30.0, seed=0, anatomy=str(anatomy))
    patients = [patient.identity for patient in read_patients(anatomy)]
    simulate_folder(out / "raw", draws * len(patients), settings, workers=2)
    simulate_folder(out / "silent", len(patients), replace(settings, snr=1e9), workers=2)  # the same without the noise
    kept = set(patients[::10])
    for name in ("train", "test", "truth"):
        (out / name).mkdir(exist_ok=True)
    for path in sorted((out / "raw").glob("*.h5")):
        if patient_of(path) not in kept:
            shutil.move(path, out / "train" / path.name)
        elif (out / "silent" / path.name).exists():
            shutil.move(out / "silent" / path.name, out / "truth" / path.name)
            shutil.move(path, out / "test" / path.name)
    for accel in ACCELS:
        prepare_folder(out / "train", prepared(out, accel), PrepareSettings(accel=accel, acs=ACS), Spread(2))
    (out / "data.json").write_text(json.dumps({"test patients": sorted(kept), "draws": draws}) + "\n")


def patient_of(path: Path) -> str:
    with h5py.File(path) as file:
        return str(file.attrs["patient_id"])


def prepared(out: Path, accel: float) -> Path:
    return out / f"prepared_r{accel:g}"


def config(out: Path, loss: str, denoiser: str, accel: float, images: int, matrix: int) -> RunConfig:
    """Whole slices, for at 64 pixels strips would be short, and all scans; the rest is the default of `mri-ambient train`."""
    ambient = {
        "accel": (accel,),
        "loss": loss,
        "architecture": {"denoiser": denoiser, "widths": WIDTHS[denoiser]},
        "images": images,
        "strip": 0,
        "save_every": 250,
    }
    return RunConfig.model_validate({"data": prepared(out, accel).resolve(), "ambient": ambient, "hold_out": 0.0})


def test_problems(out: Path, accel: float) -> list[tuple[Problem, torch.Tensor]]:
    """(problem, reference image) of TEST_SLICES slices, one from the middle of each of as many test scans."""
    paths = sorted((out / "test").glob("*.h5"))
    step = max(1, len(paths) // TEST_SLICES)
    found = []
    for path in paths[::step][:TEST_SLICES]:
        scan = read_scan(path)
        volume = prepare(scan, PrepareSettings(accel=accel, acs=ACS))
        index = len(volume.kspace) // 2
        silent = read_scan(out / "truth" / path.name)
        kspace = torch.einsum("vc,cyx->vyx", volume.coil_transform[index], silent.kspace[index])
        reference = Sense(volume.sens_maps[index], silent.mask).adjoint(kspace)
        found.append((problem_of(volume, slice(index, index + 1)), reference))
    return found


@torch.no_grad()
def evaluate(prior: Prior, problems: list[tuple[Problem, torch.Tensor]]) -> dict[str, float]:
    rows = []
    for number, (problem, reference) in enumerate(problems):
        truth = reference.abs().numpy()
        row = {}
        if prior.card.kind == "masked":
            sense = problem.sense
            one = prior.denoiser.from_measurements(problem.kspace, sense.maps, sense.mask, problem.noise_std)[0]
            row["one step"] = nrmse(truth, one.abs().numpy())
        generator = Generator().manual_seed(number)
        samples = dds(denoiser_for(prior, problem), problem, SAMPLES, DdsSettings(), [generator])[:, 0]
        mean = samples.mean(0)
        spread = ((samples - mean).abs().square().sum(0) / (SAMPLES - 1)).mean().sqrt()
        row["dds one"] = nrmse(truth, samples[0].abs().numpy())
        row["dds mean"] = nrmse(truth, mean.abs().numpy())
        row["spread/error"] = float(spread / (mean - reference).abs().square().mean().sqrt())
        rows.append(row)
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("anatomy", type=Path)
    parser.add_argument("--out", type=Path, default=Path("grid"))
    parser.add_argument("--images", type=int, default=80_000)
    parser.add_argument("--matrix", type=int, default=64)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="names such as weighted-unrolled-r4")
    chosen = parser.parse_args()
    out = chosen.out
    out.mkdir(parents=True, exist_ok=True)
    make_data(chosen.anatomy, out, chosen.matrix, chosen.draws)
    rows = []
    for accel in ACCELS:
        problems = test_problems(out, accel)
        for name, solve in (("cg-sense", cg_sense), ("l1-wavelet", l1_wavelet)):
            errors = [
                nrmse(reference.abs().numpy(), solve(problem)[0].abs().numpy()) for problem, reference in problems
            ]
            rows.append({"R": accel, "run": name, "one step": sum(errors) / len(errors)})
        for loss, denoiser in GRID:
            name = f"{loss}-{denoiser}-r{accel:g}"
            if chosen.only and name not in chosen.only:
                continue
            settings = config(out, loss, denoiser, accel, chosen.images, chosen.matrix)
            run(settings, out / "runs" / name, resume=True)
            rows.append({"R": accel, "run": name} | evaluate(load_prior(out / "runs" / name), problems))
            write(out / "results.csv", rows)


def write(path: Path, rows: list[dict]) -> None:
    keys = ["R", "run", "one step", "dds one", "dds mean", "spread/error"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, keys, restval="")
        writer.writeheader()
        writer.writerows(
            {k: f"{v:.4f}" if isinstance(v, float) and k != "R" else v for k, v in row.items()} for row in rows
        )
    print(path.read_text())


if __name__ == "__main__":
    main()
