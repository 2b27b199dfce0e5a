"""Reconstruction against what a user would pick instead, in one run: time, and what is got for it.

    python benchmarks/reconstruction.py --out recon_benchmark [--only samplers published classical]

`samplers`: error against time of every sampler and step count (benchmarks/samplers.py with its defaults), one picture.
`published`: the published configuration, 36.8 M parameters at 384x320 with 500 steps forward and backward, untrained, three
steps timed and multiplied, against our default on the same simulated 8-coil slice (K=8), and on one of 320x320.
`classical`: CG-SENSE and L1-wavelet on a 320x320, 8-coil slice at R=4: ours, sigpy's and BART's, lambda and iterations the
same. Times are of the whole call on all cores, the least of three but for `published`.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from published_network import PARAMETERS, GatedDdpmpp, published_denoiser
from torch import Generator, Tensor

from mri_ambient.bart import installed
from mri_ambient.data_prep.prepare import PrepareSettings, complete, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.scan import Scan
from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_folder
from mri_ambient.measurement import Measurement, measurement_of
from mri_ambient.memory import keep_freed_memory
from mri_ambient.physics.fourier import fft2c, ifft2c
from mri_ambient.physics.masks import line_mask
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.runs import BUNDLED
from mri_ambient.recon.evaluate.metrics.nrmse import nrmse
from mri_ambient.recon.methods.classical import CgSettings, L1WaveletSettings, cg_sense, l1_wavelet
from mri_ambient.recon.methods.classical_bart import BartL1WaveletSettings, bart_l1_wavelet, by_slice, call, seen
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.methods.samplers.adps import AdpsSettings, adps
from mri_ambient.recon.reconstruct import reconstruct, reference_image

DEFAULT, SAMPLES, SEED, ACCEL = "mmps", 8, 0, 4.0
ROWS, COLUMNS = 384, 320  # of the published configuration
TIMED_STEPS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("recon_benchmark"))
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    chosen = parser.parse_args()
    keep_freed_memory()  # as the command does
    for name in chosen.only:
        PARTS[name](chosen.out)


def samplers(out: Path) -> None:
    subprocess.run([sys.executable, Path(__file__).with_name("samplers.py"), "--out", out], check=True)


def published(out: Path) -> None:
    prior, settings = find_prior(METHODS[DEFAULT].kinds, BUNDLED), METHODS[DEFAULT].settings
    volumes = [prepare(scan, PrepareSettings(accel=ACCEL)) for scan in (simulated(320), narrowed(simulated(ROWS)))]
    for volume in volumes:
        took = reconstruct(volume, DEFAULT, prior, SAMPLES, SEED).seconds
        matrix = "x".join(map(str, volume.kspace.shape[-2:]))
        print(f"{DEFAULT}, {settings.steps} steps, {SAMPLES} samples of {matrix}: {took:.1f} s", flush=True)
    measurement = measurement_of(volumes[-1])
    torch.manual_seed(SEED)
    network = GatedDdpmpp().requires_grad_(False)
    assert sum(p.numel() for p in network.parameters()) == PARAMETERS
    everything = torch.ones(COLUMNS, dtype=torch.bool)
    seen_lines = measurement.sense.with_mask(
        line_mask("random", ACCEL + 1, measurement.acs[0], everything, Generator().manual_seed(SEED))
    )

    def denoise(images: Tensor, sigma: Tensor) -> Tensor:
        return published_denoiser(network, seen_lines.gram(images[0]), seen_lines.mask, sigma)[None]

    steps = AdpsSettings(steps=TIMED_STEPS)
    took = seconds(lambda: adps(denoise, measurement, 1, steps, [Generator().manual_seed(SEED)]))
    hours = took / TIMED_STEPS * AdpsSettings().steps / 3600
    print(f"A-DPS as published, 1 sample: {TIMED_STEPS} steps {took:.0f} s, {AdpsSettings().steps} steps {hours:.1f} h")


def classical(out: Path) -> None:
    scan = simulated(320)
    volume = prepare(scan, PrepareSettings(accel=ACCEL))
    truth = reference_image(complete(scan, volume))[0].abs().numpy()
    measurement, cg, wavelet = (
        measurement_of(volume),
        CgSettings(),
        replace(L1WaveletSettings(), spin=False, wavelet="db2"),
    )
    solvers: dict[str, Callable[[], Tensor]] = {
        "CG-SENSE, ours": lambda: cg_sense(measurement, cg),
        "CG-SENSE, sigpy": lambda: by_sigpy(measurement, "SenseRecon", cg.regularisation, cg.iterations),
        "L1-wavelet, ours (sigpy's solver), cycle spinning": lambda: l1_wavelet(
            measurement, replace(wavelet, spin=True)
        ),
        "L1-wavelet, ours, one grid": lambda: l1_wavelet(measurement, wavelet),
        "L1-wavelet, sigpy's app": lambda: by_sigpy(
            measurement, "L1WaveletRecon", wavelet.regularisation, wavelet.iterations
        ),
    }
    if installed():
        bart_wavelet = BartL1WaveletSettings(wavelet.regularisation, wavelet.iterations)
        ridge = f"-l2 -r {cg.regularisation:g} -i {cg.iterations}"
        solvers["CG-SENSE, BART"] = lambda: seen(
            measurement, [call(ridge, *arrays) for arrays in by_slice(measurement)]
        )
        solvers["L1-wavelet, BART"] = lambda: bart_l1_wavelet(measurement, bart_wavelet)
    print("| solver | s | NRMSE |\n|---|---|---|")
    for name, solve in solvers.items():
        image = solve() * volume.scale[:, None, None]
        took = min(seconds(solve) for _ in range(3))
        print(f"| {name} | {took:.2f} | {nrmse(truth, image[0].abs().numpy()):.4f} |", flush=True)


def by_sigpy(measurement: Measurement, app: str, regularisation: float, iterations: int) -> Tensor:
    """An app of ``sigpy.mri`` as it comes."""
    import sigpy.mri.app

    kspace, maps = measurement.sense.apply_mask(measurement.kspace)[0].numpy(), measurement.sense.maps[0].numpy()
    weights = measurement.sense.mask[0].expand(*measurement.matrix).float().numpy()
    make: Any = getattr(sigpy.mri.app, app)
    solver = make(kspace, maps, lamda=regularisation, weights=weights, max_iter=iterations, show_pbar=False)
    return torch.from_numpy(solver.run())[None]


def simulated(matrix: int) -> Scan:
    with tempfile.TemporaryDirectory() as folder:
        (path,) = simulate_folder(Path(folder), 1, SimulateSettings(matrix=matrix, slices=1, seed=SEED))
        return read_scan(path)


def narrowed(scan: Scan) -> Scan:
    """Cut to COLUMNS in image space, as if the field of view were that much smaller."""
    width = scan.kspace.shape[-1]
    edge = (width - COLUMNS) // 2
    kspace = fft2c(ifft2c(scan.kspace)[..., edge : edge + COLUMNS].contiguous())
    assert scan.field_of_view is not None
    field = (scan.field_of_view[0], scan.field_of_view[1] * COLUMNS / width)
    columns = slice(0, COLUMNS)
    return replace(
        scan, kspace=kspace, mask=scan.mask[..., columns], acquired=scan.acquired[columns], field_of_view=field
    )


def seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


PARTS: dict[str, Callable[[Path], None]] = {"samplers": samplers, "published": published, "classical": classical}

if __name__ == "__main__":
    main()
