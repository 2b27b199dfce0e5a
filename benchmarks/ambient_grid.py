"""Which training rule learns best at equal compute? Losses x denoisers, then the controls and laps, at R=4 and R=8.

    python benchmarks/ambient_grid.py mr_slices_256.npz --out grid [--images 80000 --matrix 64 --accels 4 8 --only NAME ...]

The npz is anatomy for ``mri-ambient simulate`` (8 coils, SNR 30, seed 0; --ideal: no noise, and maps from 24 lines that are
not part of the scan); a tenth of its patients are kept for the test.
Every stage sees the same number of images of the same scans, each behind one fixed mask, from the same seed; whole slices, for
at 64 pixels strips would be short (at 128: --strip 32). The controls: `supervised` (the same network on complete k-space),
`ssdu` (self-supervised without a prior, as in ssdu.yaml: one step alone), `edm` (an image prior of the complete scans, one for
all R), `l1-edm`, and classical methods, their regularisation from validation scans. Laps start from the run of --laps-from.
Resumable: finished stages are not repeated; --only trains or evaluates some. Writes grid/results.csv: NRMSE (magnitude, per
slice, against the simulated image without noise) of the one-step estimate, of the same made consistent with the measured lines
as `recon` does (which `ssdu` needs: its loss never sees the ACS), of one 30-step `dds` sample and of its K=8 mean,
the spread over the error, and of `image` priors the same by `mmps`; grid/curves.png: the loss, each over its own at a tenth
of the training, for losses of different rules have different scales.
"""

import argparse
import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Generator, Tensor

from mri_ambient.data_prep.coils.calibration import calibrate
from mri_ambient.data_prep.coils.maps import ESTIMATORS
from mri_ambient.data_prep.folder import prepare_folder
from mri_ambient.data_prep.prepare import PrepareSettings, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.simulation.anatomy_files import read_patients
from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_folder
from mri_ambient.measurement import Measurement, project
from mri_ambient.physics.sense import Sense
from mri_ambient.priors.card import Prior, load_prior, read_card
from mri_ambient.priors.runs import CARD
from mri_ambient.processes import Spread, run_jobs
from mri_ambient.recon.evaluate.metrics.nrmse import nrmse
from mri_ambient.recon.methods.classical import CgSettings, L1WaveletSettings, cg_sense, l1_wavelet
from mri_ambient.recon.methods.denoising import denoiser_for
from mri_ambient.recon.methods.samplers.annealing import Annealing
from mri_ambient.recon.methods.samplers.aos import ITERATIONS, SPREAD
from mri_ambient.recon.methods.samplers.dds import DdsSettings, dds
from mri_ambient.recon.methods.samplers.mmps import MmpsSettings, mmps
from mri_ambient.training.config import TrainConfig
from mri_ambient.training.laps import EStep
from mri_ambient.training.run import RUN, run
from mri_ambient.training.run_config import EStepConfig, RunConfig
from mri_ambient.workflows.learning import e_step_of

COILS, ACS, SAMPLES, TEST_SLICES = 8, 6, 8, 24
SILENT = 1e9  # the SNR of a scan without noise
GRID = [(loss, denoiser) for denoiser in ("unrolled", "unet") for loss in ("weighted", "noise-aware", "published")]
GRID += [("supervised", "unrolled"), ("ssdu", "unrolled")]
SSDU = {"loss": "noise-aware", "log_sigma": (-9.2, 0.0), "removal": (0.4, 0.4)}  # ssdu.yaml says why
CLASSICAL = {
    "cg-sense": lambda measurement, weight: cg_sense(measurement, CgSettings(weight)),
    "l1-wavelet": lambda measurement, weight: l1_wavelet(measurement, L1WaveletSettings(weight)),
}
VALIDATION_SLICES = 12
DDS, MMPS = DdsSettings(steps=30), MmpsSettings()
SMOOTHED = 200  # steps, in a picture
REGULARISATIONS = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
WIDTHS = {"unrolled": (16, 32, 48), "unet": (32, 64, 96)}  # 0.35 and 0.69 M parameters: alike in seconds an image


def make_data(anatomy: Path, out: Path, matrix: int, draws: int, ideal: bool = False) -> None:
    """out/train and out/test: every tenth patient, once, is for the test; the others are drawn ``draws`` times."""
    about = {"anatomy": anatomy.name, "matrix": matrix, "draws": draws, "ideal": ideal}
    if (out / "data.json").exists():
        made = {"ideal": False} | json.loads((out / "data.json").read_text())
        if any(made.get(key, value) != value for key, value in about.items()):
            raise SystemExit(f"{out}: holds data of other settings; choose another --out")
        return
    snr = SILENT if ideal else 30.0
    settings = SimulateSettings(matrix=matrix, slices=36, coils=COILS, snr=snr, seed=0, anatomy=str(anatomy))
    patients = [patient.identity for patient in read_patients(anatomy)]
    simulate_folder(out / "raw", draws * len(patients), settings, workers=2)
    if ideal:
        shutil.copytree(out / "raw", out / "silent", dirs_exist_ok=True)
        jobs = [(path,) for path in sorted((out / "raw").glob("*.h5"))]
        run_jobs(add_maps, jobs, Spread(2), "estimating maps", lambda _, result: result())
    else:
        simulate_folder(out / "silent", len(patients), replace(settings, snr=SILENT), workers=2)
    kept = set(patients[::10])
    for name in ("train", "test", "truth"):
        (out / name).mkdir(exist_ok=True)
    for path in sorted((out / "raw").glob("*.h5")):
        if patient_of(path) not in kept:
            shutil.move(path, out / "train" / path.name)
        elif (out / "silent" / path.name).exists():
            shutil.move(out / "silent" / path.name, out / "truth" / path.name)
            shutil.move(path, out / "test" / path.name)
    (out / "data.json").write_text(json.dumps({"test patients": sorted(kept)} | about) + "\n")


def add_maps(path: Path) -> None:
    """Into a scan of complete k-space, which `prep` then takes its maps from."""
    maps = [ESTIMATORS["espirit"](calibrate(kspace, (24, 24))).numpy() for kspace in read_scan(path).kspace]
    with h5py.File(path, "r+") as file:
        file["sens_maps"] = np.stack(maps)


def prepare_data(out: Path, accels: list[float]) -> None:
    """The training scans at each acceleration, and complete for the supervised control; what is done is not repeated."""
    for accel in accels:
        prepare_folder(out / "train", prepared(out, accel), PrepareSettings(accel=accel, acs=ACS), Spread(2))
    prepare_folder(out / "train", out / "train_complete", PrepareSettings(acs=ACS), Spread(2))


def patient_of(path: Path) -> str:
    with h5py.File(path) as file:
        return str(file.attrs["patient_id"])


def prepared(out: Path, accel: float) -> Path:
    return out / f"prepared_r{accel:g}"


def ambient(out: Path, loss: str, denoiser: str, accel: float, images: int, strip: int) -> RunConfig:
    """All scans, nobody held out; what is not said here is the default of `mri-ambient train`."""
    stage = common(images) | {
        "strip": strip,
        "accel": (accel,),
        "architecture": {"denoiser": denoiser, "widths": WIDTHS[denoiser]},
    }
    stage |= SSDU if loss == "ssdu" else {"loss": loss}
    data = (out / "train_complete" if loss == "supervised" else prepared(out, accel)).resolve()
    return RunConfig.model_validate({"data": data, "ambient": stage, "hold_out": 0.0})


def common(images: int) -> dict[str, Any]:
    return {"images": images, "strip": 0, "save_every": 250}


def lap(images: int) -> dict[str, Any]:
    architecture = {"denoiser": "unet", "widths": WIDTHS["unet"]}
    return common(images) | {"accel": (1.0,), "loss": "supervised", "architecture": architecture}


def train_laps(out: Path, start: str, accel: float, images: int, laps: int) -> list[Path]:
    """Laps on top of a finished ambient run, in a folder of their own; returns the laps' folders. One draw a slice."""
    folder = out / "runs" / f"laps-of-{start}"
    if not folder.exists():
        shutil.copytree(out / "runs" / start, folder, ignore=shutil.ignore_patterns(RUN, "lap*", "tensorboard"))
    first = RunConfig.model_validate_json((out / "runs" / start / RUN).read_text())
    stages = tuple(TrainConfig.model_validate(lap(images)) for _ in range(laps))
    config = first.model_copy(update={"laps": stages, "e_step": EStepConfig(draws=1, batch=16)})
    run(config, folder, True, e_step_of(config))
    return [folder / f"lap{number}" for number in range(1, laps + 1)]


def l1_edm(out: Path, accel: float, images: int, regularisation: float) -> RunConfig:
    start = {"accel": (accel,), "regularisation": regularisation}
    return RunConfig.model_validate(
        {"data": prepared(out, accel).resolve(), "l1_wavelet": start, "laps": (lap(images),), "hold_out": 0.0}
    )


def edm(out: Path, images: int) -> RunConfig:
    """A lap on the images of complete scans, which `coil_combined` makes: what laps could be at best."""
    return RunConfig.model_validate(
        {
            "data": (out / "train_complete").resolve(),
            "l1_wavelet": {"accel": (1.0,)},
            "laps": (lap(images),),
            "hold_out": 0.0,
        }
    )


def coil_combined(prior: Prior | None, measurement: Measurement, generators: Any) -> Tensor:
    """In place of an E-step: nothing is missing."""
    return measurement.adjoint[None]


@dataclass(frozen=True)
class Slices:
    """One slice of each of several scans, and their images without noise."""

    measurement: Measurement
    reference: Tensor


def middle_slices(folder: Path, truth: Path, accel: float, count: int) -> Slices:
    """The middle slice of ``count`` scans, evenly spread over those of ``folder`` whose noiseless version is in ``truth``."""
    paths = [path for path in sorted(folder.glob("*.h5")) if (truth / path.name).exists()]
    volumes, references = [], []
    for path in paths[:: max(1, len(paths) // count)][:count]:
        scan, silent = read_scan(path), read_scan(truth / path.name)
        middle = len(scan.kspace) // 2
        own = scan.sens_maps
        one = replace(
            scan,
            kspace=scan.kspace[middle : middle + 1],
            sens_maps=None if own is None else own[middle : middle + 1],
        )
        volume = prepare(one, PrepareSettings(accel=accel, acs=ACS))
        kspace = torch.einsum("vc,cyx->vyx", volume.coil_transform[0], silent.kspace[middle])
        references.append(Sense(volume.sens_maps[0], silent.mask).adjoint(kspace))
        volumes.append(volume)
    kspace, maps, mask, levels = (
        torch.cat([getattr(volume, key) for volume in volumes]) for key in ("kspace", "sens_maps", "mask", "noise_std")
    )
    return Slices(Measurement(kspace, Sense(maps, mask), levels, (ACS,) * len(levels)), torch.stack(references))


def mean_nrmse(images: Tensor, slices: Slices) -> float:
    errors = [nrmse(r.abs().numpy(), i.abs().numpy()) for r, i in zip(slices.reference, images, strict=True)]
    return sum(errors) / len(errors)


def tuned(solve: Callable[..., Tensor], slices: Slices) -> float:
    """The regularisation of least error on validation slices."""
    return min(REGULARISATIONS, key=lambda weight: mean_nrmse(solve(slices.measurement, weight), slices))


def evaluated(folder: Path, slices: Slices, accel: float, sampled: bool) -> dict[str, float]:
    """The evaluation of a prior, kept beside it; ``sampled``: also of its samples."""
    prior, kept = load_prior(folder), folder / f"evaluation_r{accel:g}.json"
    found = json.loads(kept.read_text()) if kept.exists() else {}
    how = {
        "weights_sha256": prior.card.weights_sha256,
        "dds": repr(DDS),
        "mmps": repr(MMPS),
        "slices": len(slices.reference),
    }
    if any(found.get(key) != value for key, value in how.items()):
        found = how | {"errors": evaluate(prior, slices, sampled)}
        kept.write_text(json.dumps(found))
    return found["errors"]


@torch.no_grad()
def evaluate(prior: Prior, slices: Slices, sampled: bool) -> dict[str, float]:
    measurement, row = slices.measurement, {}
    if prior.card.kind == "masked":
        one = prior.denoiser.from_measurements(measurement)
        row["one step"] = mean_nrmse(one, slices)
        consistent = project(measurement, one[None], SPREAD, ITERATIONS)[0]
        row["made consistent"] = mean_nrmse(consistent, slices)
    ways: dict[str, tuple[Callable[..., Tensor], Annealing]] = {}
    if sampled:
        ways["dds"] = dds, DDS
    if prior.card.kind == "image":
        ways["mmps"] = mmps, MMPS
    for name, (sampler, settings) in ways.items():
        generators = [Generator().manual_seed(number) for number in range(len(measurement.kspace))]
        denoise = denoiser_for(prior, measurement, settings.masks, SAMPLES, generators)
        samples = sampler(denoise, measurement, SAMPLES, settings, generators)
        mean = samples.mean(0)
        spread = samples.var(0).mean().sqrt()
        row[f"{name} one"] = mean_nrmse(samples[0], slices)
        row[f"{name} mean"] = mean_nrmse(mean, slices)
        row[f"{name} spread/error"] = float(spread / (mean - slices.reference).abs().square().mean().sqrt())
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("anatomy", type=Path)
    parser.add_argument("--out", type=Path, default=Path("grid"))
    parser.add_argument("--images", type=int, default=80_000)
    parser.add_argument("--matrix", type=int, default=64)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--ideal", action="store_true", help="no noise, known maps: what physics allows")
    parser.add_argument("--strip", type=int, default=0, help="rows seen at once in the ambient runs' first 90 %%")
    parser.add_argument("--accels", type=float, nargs="+", default=[4.0, 8.0])
    parser.add_argument("--only", nargs="*", help="names such as weighted-unrolled-r4, laps-r4 or l1-edm-r4")
    parser.add_argument("--laps", type=int, default=3)
    parser.add_argument("--laps-from", default="weighted-unrolled", help="the ambient run that laps start from")
    parser.add_argument("--evaluate-only", action="store_true", help="of the priors that there are")
    chosen = parser.parse_args()
    out = chosen.out
    out.mkdir(parents=True, exist_ok=True)
    make_data(chosen.anatomy, out, chosen.matrix, chosen.draws, chosen.ideal)
    if not chosen.evaluate_only:
        prepare_data(out, chosen.accels)
    rows: list[dict[str, Any]] = []
    for accel in chosen.accels:
        validation = middle_slices(out / "train", out / "silent", accel, VALIDATION_SLICES)
        test = middle_slices(out / "test", out / "truth", accel, TEST_SLICES)
        weights = {}
        for name, solve in CLASSICAL.items():
            weights[name] = tuned(solve, validation)
            error = mean_nrmse(solve(test.measurement, weights[name]), test)
            rows.append({"R": accel, "run": f"{name} ({weights[name]:g})", "one step": error})
        jobs: dict[str, Callable[[], list[Path]]] = {}
        for loss, denoiser in GRID:
            name = f"{loss}-{denoiser}-r{accel:g}"
            config = ambient(out, loss, denoiser, accel, chosen.images, chosen.strip)
            jobs[name] = partial(train_run, config, out / "runs" / name)
        jobs["edm"] = partial(train_run, edm(out, chosen.images), out / "runs" / "edm", coil_combined)
        wavelets = l1_edm(out, accel, chosen.images, weights["l1-wavelet"])
        jobs[f"l1-edm-r{accel:g}"] = partial(train_run, wavelets, out / "runs" / f"l1-edm-r{accel:g}")
        start = f"{chosen.laps_from}-r{accel:g}"
        jobs[f"laps-r{accel:g}"] = partial(train_laps, out, start, accel, chosen.images, chosen.laps)
        for name, job in jobs.items():
            if chosen.only and name not in chosen.only:
                continue
            for folder in finished(out, name, start) if chosen.evaluate_only else job():
                label = name if folder.parent.name == "runs" else f"{name}: {folder.name}"
                rows.append({"R": accel, "run": label} | evaluated(folder, test, accel, not name.startswith("ssdu")))
                write(out / "results.csv", rows)
    draw_curves(out)


def draw_curves(out: Path) -> None:
    """A panel for each R, a line for each stage that tensorboard has."""
    curves = {folder.parent: smoothed_loss(folder) for folder in sorted((out / "runs").rglob("tensorboard"))}
    accels = sorted({run_of(folder, out).rsplit("-r", 1)[1] for folder in curves if "-r" in run_of(folder, out)})
    if not accels:
        return  # `edm` alone is of no R
    figure = Figure(figsize=(5.5 * len(accels), 4.8), dpi=130, layout="constrained")
    for axis, accel in zip(figure.subplots(1, len(accels), squeeze=False)[0], accels, strict=True):
        axis.set_prop_cycle(color=colormaps["tab20"](range(20)))
        for folder, (steps, losses) in curves.items():
            if run_of(folder, out).endswith(f"-r{accel}"):
                axis.plot(steps, losses / losses[len(losses) // 10], lw=1, label=str(folder.relative_to(out / "runs")))
        axis.set(title=f"R={accel}", xlabel="step", ylabel="loss over that at a tenth", yscale="log")
        axis.legend(fontsize=6, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.14))
    figure.savefig(out / "curves.png")


def run_of(folder: Path, out: Path) -> str:
    return folder.relative_to(out / "runs").parts[0]


def smoothed_loss(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Steps, and the mean of the SMOOTHED losses before each."""
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload().Scalars("loss")
    steps, losses = np.array([event.step for event in events]), np.array([event.value for event in events])
    sums, window = np.concatenate([[0.0], losses.cumsum()]), min(SMOOTHED, len(losses))
    return steps[window - 1 :], (sums[window:] - sums[:-window]) / window


def train_run(config: RunConfig, folder: Path, e_step: EStep | None = None) -> list[Path]:
    run(config, folder, True, e_step or e_step_of(config))
    return [folder / "lap1" if config.ambient is None else folder]


def finished(out: Path, name: str, start: str) -> list[Path]:
    """The priors of a job that are there, all of their images seen."""
    folder = out / "runs" / (f"laps-of-{start}" if name.startswith("laps") else name)
    found = sorted(folder.glob("lap*")) if name.startswith(("laps", "l1-edm", "edm")) else [folder]
    return [path for path in found if (path / CARD).exists() and is_finished(path)]


def is_finished(folder: Path) -> bool:
    card = read_card(folder)
    return card.images_seen >= card.training.images


def write(path: Path, rows: list[dict]) -> None:
    keys = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, keys, restval="")
        writer.writeheader()
        writer.writerows(
            {k: f"{v:.4f}" if isinstance(v, float) and k != "R" else v for k, v in row.items()} for row in rows
        )
    print(path.read_text())


if __name__ == "__main__":
    main()
