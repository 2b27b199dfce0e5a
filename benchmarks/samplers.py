"""Samplers at several step counts, on simulated validation scans: error of one sample and of the mean, spread, cost.

python benchmarks/samplers.py [--subjects 6 --slices 1 --accel 4 8 --samples 8 --only dds mmps ...]    prints Markdown

NRMSE (magnitude, against the MVUE of the complete scan, mean over scans); std/error as in the demo; network calls a sample,
forward + backward; seconds a slice with all its samples, of one thread of the processor alone, whatever else it does.
"""

import argparse
import math
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from data_prep.prepare import PrepareSettings, complete, prepare
from data_prep.readers import read_scan
from data_prep.simulate import SimulateSettings, simulate_folder
from mri_ambient.priors.find import BUNDLED, find_prior
from recon.metrics import nrmse
from recon.reconstruct import reconstruct, reference_image
from recon.samplers.aald import AaldSettings
from recon.samplers.adps import AdpsSettings
from recon.samplers.daps import DapsSettings
from recon.samplers.dds import DdsSettings
from recon.samplers.mmps import MmpsSettings
from recon.summary import spread_over_error

VALIDATION_SEED = 777
NEW = DdsSettings(steps=12, sigma_max=1.0, order=2)
ROWS = [
    ("dds", DdsSettings()),
    ("dds", replace(DdsSettings(), steps=12)),
    *(("dds", replace(NEW, steps=steps)) for steps in (8, 12, 20, 30)),
    *(("dds", replace(NEW, sigma_max=start)) for start in (0.3, 0.6, 2.0)),
    *(("dds", replace(NEW, eta=eta)) for eta in (0.0, 0.5)),
    ("dds", replace(NEW, rho=math.inf)),
    ("dds", replace(NEW, order=1)),
    ("dds", replace(NEW, sigma_min=0.02)),
    ("dds", replace(NEW, sigma_min=0.01, stop_at_noise=True)),
    ("dds", replace(NEW, prior_spread=0.2)),
    *(("daps", replace(DapsSettings(), steps=steps)) for steps in (12, 20, 50)),
    ("daps", replace(DapsSettings(), inner_spread=0.4)),
    *(("mmps", replace(MmpsSettings(), steps=steps)) for steps in (8, 12, 20)),
    ("mmps", replace(MmpsSettings(), iterations=1)),
    ("aald", AaldSettings()),
    ("adps", AdpsSettings()),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=6)
    parser.add_argument("--slices", type=int, default=1)
    parser.add_argument("--accel", type=float, nargs="+", default=[4.0, 8.0])
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--only", nargs="+", default=["dds", "daps", "mmps", "aald", "adps"])
    parser.add_argument("--prior", type=Path, default=BUNDLED)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    prior = find_prior(("image",), chosen.prior)
    forward = []
    prior.denoiser.register_forward_hook(lambda *_: forward.append(1))
    print("| R | method | steps | other settings | one sample | mean | std/error | calls | s/slice |\n|" + "---|" * 9)
    with tempfile.TemporaryDirectory() as folder:
        simulation = SimulateSettings(slices=chosen.slices, seed=VALIDATION_SEED)
        scans = [read_scan(path) for path in simulate_folder(Path(folder), chosen.subjects, simulation)]
        for accel in chosen.accel:
            volumes = [prepare(scan, PrepareSettings(accel=accel)) for scan in scans]
            references = [reference_image(complete(s, v)) for s, v in zip(scans, volumes, strict=True)]
            for method, settings in ROWS:
                if method not in chosen.only:
                    continue
                errors, seconds = [], 0.0
                for volume, reference in zip(volumes, references, strict=True):
                    forward.clear()
                    start = time.process_time()
                    found = reconstruct(volume, method, prior, chosen.samples, 0, settings, batch=10**6)
                    seconds += (time.process_time() - start) / len(reference) / len(volumes)
                    truth = reference.abs().numpy()
                    one = np.mean([nrmse(truth, sample.abs().numpy()) for sample in found.samples.movedim(1, 0)])
                    errors.append([one, nrmse(truth, found.mean.abs().numpy()), spread_over_error(found, reference)])
                standard = vars(type(settings)())
                other = {k: v for k, v in vars(settings).items() if k != "steps" and v != standard[k]}
                backward = {"adps": 1, "mmps": getattr(settings, "iterations", 0) + 1}.get(method, 0) * settings.steps
                one, mean, ratio = np.mean(errors, 0)
                told = ", ".join(f"{name} {value}" for name, value in other.items())
                row = f"| {accel:g} | {method} | {settings.steps} | {told} | {one:.4f} | {mean:.4f} | {ratio:.2f} "
                print(f"{row}| {len(forward)} + {backward} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
