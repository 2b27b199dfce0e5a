"""Samplers at several step counts, on simulated validation scans: error of one sample and of the mean, spread, cost.

    python benchmarks/samplers.py --out samplers [--subjects 6 --slices 1 --accel 4 8 --samples 8 --only dds mmps ...]

Prints Markdown; writes samplers.csv and error_and_time.png. Resumable: rows that samplers.csv has are not measured again; it
has rows of one prior, of as many samples and scans.
NRMSE (magnitude, against the simulation's noiseless truth, mean over scans) of one sample (mean over all K) and of the mean of
K; CRPS of magnitudes; std/error (1 is calibrated, 0 of one image); network calls a sample, forward + backward; seconds a slice
with all its samples, of one thread of the processor alone, whatever else it does. `mean` of adps is that of K independent runs.
"""

import argparse
import csv
import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from matplotlib.figure import Figure

from mri_ambient.console import stderr
from mri_ambient.data_prep.prepare import PrepareSettings, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_folder
from mri_ambient.memory import keep_freed_memory
from mri_ambient.priors.card import Prior
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.runs import BUNDLED
from mri_ambient.recon.evaluate.metrics.nrmse import nrmse
from mri_ambient.recon.evaluate.proper_scores import proper_scores
from mri_ambient.recon.evaluate.std_calibration import spread_over_error
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.methods.samplers.aald import AaldSettings
from mri_ambient.recon.methods.samplers.adps import AdpsSettings
from mri_ambient.recon.methods.samplers.annealing import Annealing
from mri_ambient.recon.methods.samplers.dds import DdsSettings
from mri_ambient.recon.methods.samplers.mmps import MmpsSettings
from mri_ambient.recon.reconstruct import reconstruct
from mri_ambient.workflows.opening import truth_of

VALIDATION_SEED = 777
NEW = DdsSettings(steps=12, sigma_max=1.0, order=2)
OLD = DdsSettings(steps=30, sigma_max=2.0, order=1)
ROWS: list[tuple[str, Any]] = [
    ("aos", None),
    ("dds", OLD),
    ("dds", replace(OLD, steps=12)),
    *(("dds", replace(NEW, steps=steps)) for steps in (8, 12, 20, 30)),
    *(("dds", replace(NEW, sigma_max=start)) for start in (0.3, 0.6, 2.0)),
    *(("dds", replace(NEW, eta=eta)) for eta in (0.0, 0.5)),
    ("dds", replace(NEW, rho=math.inf)),
    ("dds", replace(NEW, order=1)),
    ("dds", replace(NEW, sigma_min=0.02)),
    ("dds", replace(NEW, sigma_min=0.01, stop_at_noise=True)),
    ("dds", replace(NEW, prior_spread=0.2)),
    *(("daps", replace(METHODS["daps"].settings, steps=steps)) for steps in (4, 6, 12, 20, 40)),
    *(("daps", replace(METHODS["daps"].settings, draw_iterations=count)) for count in (2, 4, 16, 32)),
    *(("mmps", replace(MmpsSettings(), steps=steps)) for steps in (5, 10, 20, 40)),
    *(("mmps", replace(MmpsSettings(), iterations=count)) for count in (1, 3, 4)),
    *(("mmps", replace(MmpsSettings(), draw_iterations=count)) for count in (2, 4, 16, 32)),
    ("mmps", replace(MmpsSettings(), jacobian="gradients")),
    ("aald", AaldSettings()),
    ("adps", AdpsSettings()),
    ("adps-scaled", AdpsSettings(step="scaled")),
]
COLUMNS = (
    "R",
    "method",
    "steps",
    "settings",
    "one sample",
    "mean",
    "CRPS",
    "std/error",
    "forward",
    "backward",
    "s/slice",
)
ORIGIN = ("K", "scans", "slices", "prior")  # of samplers.csv alone
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("samplers"))
    parser.add_argument("--subjects", type=int, default=6)
    parser.add_argument("--slices", type=int, default=1)
    parser.add_argument("--accel", type=float, nargs="+", default=[4.0, 8.0])
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--only", nargs="+", default=["aos", "dds", "daps", "mmps", "aald", "adps", "adps-scaled"])
    parser.add_argument("--prior", type=Path, default=BUNDLED)
    chosen = parser.parse_args()
    keep_freed_memory()  # as the command does
    chosen.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    rows = read_rows(chosen.out / "samplers.csv")
    settings = [(method, options) for method, options in ROWS if method in chosen.only]
    for accel in chosen.accel:
        rows = measure(settings, accel, chosen, rows)
    order = [method for method, _ in ROWS]
    rows = sorted(rows, key=lambda row: (float(row["R"]), order.index(row["method"])))
    draw(chosen.out / "error_and_time.png", rows)
    print(markdown(rows))


def measure(
    settings: Sequence[tuple[str, Any]], accel: float, chosen: argparse.Namespace, rows: list[Row]
) -> list[Row]:
    """``rows`` and those of ``settings`` at R that they lack, kept in samplers.csv as they come."""
    priors = {method: find_prior(METHODS[method].kinds, chosen.prior) for method, _ in settings}
    of_all = {"K": str(chosen.samples), "scans": str(chosen.subjects), "slices": str(chosen.slices)}
    origins = {name: of_all | {"prior": prior.card.weights_sha256[:8]} for name, prior in priors.items()}
    for row in rows:
        if any(row.get(key) != value for key, value in origins.get(row["method"], {}).items()):
            raise SystemExit(
                f"{chosen.out}: holds rows of another prior, or of other samples or scans; choose another --out"
            )
    simulation = SimulateSettings(slices=chosen.slices, seed=VALIDATION_SEED)
    with tempfile.TemporaryDirectory() as folder:
        scans = [read_scan(path) for path in simulate_folder(Path(folder), chosen.subjects, simulation)]
    cases = []
    for scan in scans:
        volume = prepare(scan, PrepareSettings(accel=accel))
        cases.append((volume, truth_of(scan, volume, "mvue")[0]))
    for method, options in settings:
        key = {
            "R": f"{accel:g}",
            "method": method,
            "steps": str(getattr(options, "steps", 1)),
            "settings": changed(method, options),
        }
        if any(all(row[name] == value for name, value in key.items()) for row in rows):
            continue
        found = errors_and_cost(method, options, cases, priors[method], chosen.samples)
        rows = [*rows, key | found | origins[method]]
        with (chosen.out / "samplers.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, (*COLUMNS, *ORIGIN))
            writer.writeheader()
            writer.writerows(rows)
        stderr.print(rows[-1])
    return rows


def errors_and_cost(method: str, options: Annealing | None, cases: Sequence[Any], prior: Prior, samples: int) -> Row:
    forward, errors, seconds = [], [], 0.0
    hook = prior.denoiser.register_forward_hook(lambda *_: forward.append(1))
    for volume, reference in cases:
        forward.clear()
        start = time.process_time()
        with patch(
            "mri_ambient.recon.reconstruct.PIXELS", 10**9
        ):  # all slices at once: the calls are those of a sample
            found = reconstruct(volume, method, prior, samples, 0, options)
        seconds += (time.process_time() - start) / len(reference) / len(cases)
        truth = reference.abs().numpy()
        one = np.mean([nrmse(truth, sample.abs().numpy()) for sample in found.samples.movedim(1, 0)])
        scores = proper_scores(found, reference, volume.sense.support)
        ratio = spread_over_error(found, reference) if samples > 1 and found.samples.shape[1] > 1 else 0.0
        errors.append([one, nrmse(truth, found.mean.abs().numpy()), ratio, scores.crps])
    hook.remove()
    one, mean, ratio, crps = np.mean(errors, 0)
    backward = options.steps if isinstance(options, AdpsSettings) else 0
    if isinstance(options, MmpsSettings) and options.jacobian == "gradients":
        backward = options.iterations * options.steps
    numbers = {"one sample": f"{one:.4f}", "mean": f"{mean:.4f}", "CRPS": f"{crps:.4f}", "std/error": f"{ratio:.2f}"}
    return numbers | {"forward": str(len(forward)), "backward": str(backward), "s/slice": f"{seconds:.1f}"}


def changed(method: str, options: Annealing | None) -> str:
    """The settings, beside steps, that are not the method's own."""
    if options is None:
        return ""
    standard = vars(METHODS[method].settings)
    return ", ".join(f"{k} {v}" for k, v in vars(options).items() if k != "steps" and v != standard[k])


def read_rows(path: Path) -> list[Row]:
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def draw(path: Path, rows: Sequence[Row]) -> None:
    """CRPS (above) and error of the mean (filled) and of one sample (open) against time, R by R; small: other settings than the
    method's own."""
    accels, methods = (list(dict.fromkeys(row[key] for row in rows)) for key in ("R", "method"))
    figure = Figure(figsize=(5.6 * len(accels) + 1.2, 8), dpi=130, layout="constrained")
    for (above, axis), accel in zip(figure.subplots(2, len(accels), squeeze=False).T, accels, strict=True):
        for row in rows:
            if row["R"] == accel:
                number = methods.index(row["method"])
                style = {"color": f"C{number}", "marker": "osD^vP"[number % 6], "linestyle": ""}
                style |= {"markersize": 4, "alpha": 0.6} if row["settings"] else {"markersize": 8}
                seconds = float(row["s/slice"])
                above.plot(seconds, float(row["CRPS"]), **style)
                axis.plot(seconds, float(row["one sample"]), fillstyle="none", **style)
                axis.plot(seconds, float(row["mean"]), label=None if row["settings"] else row["method"], **style)
        axis.set(xscale="log", title=f"R={accel}", xlabel="seconds a slice, one thread, all samples", ylabel="NRMSE")
        above.set(xscale="log", title=f"R={accel}", ylabel="CRPS")
        for one in (above, axis):
            one.grid(alpha=0.3)
    handles, labels = figure.axes[1].get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    figure.legend(named.values(), named.keys(), title="filled: mean\nopen: one sample", loc="outside right upper")
    figure.savefig(path)


def markdown(rows: Sequence[Row]) -> str:
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(row[name] for name in COLUMNS) + " |" for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
