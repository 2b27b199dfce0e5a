"""Heads wider than the field of view: every method with one set of maps and with two, as a table and as pictures.

    python benchmarks/wrap.py --wrap 0.15,0.3 --accel 2,4,8 --subjects 3 --out wrap.png

NRMSE of both sets' images together against the root sum of squares over coils of the complete scan, which no map has a say in,
over its tissue. Samplers draw --samples, whose mean counts, with the settings that `recon` takes; adps and aald in few
steps. The picture: the first wrap at the second R.
"""

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from rich.table import Table

from mri_ambient.bart import installed
from mri_ambient.console import stdout
from mri_ambient.data_prep.prepare import PrepareSettings, complete, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.scan import Scan
from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_scan
from mri_ambient.measurement import magnitude
from mri_ambient.physics.fourier import ifft2c
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.runs import BUNDLED
from mri_ambient.recon.evaluate.tuned import NAME, nearest, read_tuned
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.reconstruct import Reconstruction, reconstruct
from mri_ambient.store import PreparedVolume

FEW = {"adps": 100, "aald": 30}  # steps
TUNED = read_tuned(BUNDLED / NAME)  # what `recon` takes
SHOWN = ("zero-filled", "cg-sense", "l1-wavelet", "tv", "aos", "mmps")
TISSUE = 0.1  # of the brightest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wrap", default="0.15,0.3")
    parser.add_argument("--accel", default="2,4,8")
    parser.add_argument("--subjects", type=int, default=3)
    parser.add_argument("--matrix", type=int, default=128)
    parser.add_argument("--acs", type=int)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--methods", default=",".join(name for name in METHODS if installed() or "bart" not in name))
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--out", type=Path, default=Path("wrap.png"))
    chosen = parser.parse_args()
    wraps, accels = ([float(part) for part in text.split(",")] for text in (chosen.wrap, chosen.accel))
    methods = chosen.methods.split(",")
    for wrap, accel in product(wraps, accels):
        errors: dict[tuple[str, str], list[float]] = {}
        sets = []
        for subject in range(chosen.subjects):
            scan = simulated(subject, SimulateSettings(matrix=chosen.matrix, slices=3, wrap=wrap, seed=chosen.seed))
            volumes = {n: prepare(scan, PrepareSettings(accel, acs=chosen.acs, map_sets=n)) for n in ("1", "2", "auto")}
            sets.append(volumes.pop("auto").sets)
            truth = root_sum_of_squares(complete(scan, volumes["1"]))
            results = {n: {m: by(m, volume, chosen.samples) for m in methods} for n, volume in volumes.items()}
            for n, found in results.items():
                for method in methods:
                    errors.setdefault((method, n), []).append(nrmse(truth, found[method]))
            if subject == 0 and wrap == wraps[0] and accel == accels[min(1, len(accels) - 1)]:
                draw(chosen.out, truth, results)
        stdout.print(table_of(f"wrap {wrap:g}, R={accel:g}; auto chose {sets} sets", errors, methods))


def simulated(subject: int, settings: SimulateSettings) -> Scan:
    """The middle slice."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"wrapped_{subject}.h5"
        simulate_scan(path, subject, settings)
        scan = read_scan(path)
    return scan[1:2]


def by(method: str, volume: PreparedVolume, samples: int) -> Reconstruction:
    kinds = METHODS[method].kinds
    prior = find_prior(kinds, BUNDLED) if kinds else None
    choice = nearest(TUNED, method, volume.accel, prior.card.weights_sha256 if prior else "")
    settings = choice.settings if choice else METHODS[method].settings
    if method in FEW:
        settings = replace(settings, steps=FEW[method])
    return reconstruct(volume, method, prior, samples, 0, settings)


def root_sum_of_squares(volume: PreparedVolume) -> np.ndarray:
    return (ifft2c(volume.kspace).norm(dim=1) * volume.scale[:, None, None])[0].numpy()


def image_of(found: Reconstruction) -> np.ndarray:
    return magnitude(found.mean_of_sets, found.samples.shape[-2])[0].numpy()


def nrmse(truth: np.ndarray, found: Reconstruction) -> float:
    tissue = truth > TISSUE * truth.max()
    return float(np.linalg.norm((image_of(found) - truth)[tissue]) / np.linalg.norm(truth[tissue]))


def table_of(title: str, errors: dict[tuple[str, str], list[float]], methods: list[str]) -> Table:
    """NRMSE, mean over subjects; in brackets on how many of them a method is worse than zero-filled with one set."""
    table = Table("method", "one set", "two sets", title=title)
    for method in methods:
        cells = []
        for n in ("1", "2"):
            worse = sum(e > z for e, z in zip(errors[method, n], errors["zero-filled", "1"], strict=True))
            cells.append(f"{np.mean(errors[method, n]):.3f}" + f" ({worse})" * (worse > 0 and method != "zero-filled"))
        table.add_row(method, *cells)
    return table


def draw(path: Path, truth: np.ndarray, results: dict[str, dict[str, Reconstruction]]) -> None:
    """Rows: one set, its errors x5, two sets, theirs, the first and the second set's images."""
    shown = [name for name in SHOWN if name in results["1"]]
    figure, axes = plt.subplots(6, len(shown) + 1, figsize=(1.7 * (len(shown) + 1), 14), layout="constrained")
    white = np.quantile(truth, 0.995)
    for column, name in enumerate(shown, 1):
        one, two = (results[n][name] for n in ("1", "2"))
        assert two.second is not None
        parts = [image_of(two), two.samples[0, 0].abs().numpy(), two.second[0, 0].abs().numpy()]
        images = [image_of(one), image_of(one) - truth, parts[0], parts[0] - truth, parts[1], parts[2]]
        titles = [f"{name}, 1 set", "error x5", "2 sets", "error x5", "first set", "second set"]
        for axis, image, title in zip(axes[:, column], images, titles, strict=True):
            axis.imshow(np.abs(image), cmap="gray", vmin=0, vmax=white / 5 if "error" in title else white)
            axis.set_title(title, fontsize=7)
    axes[0, 0].imshow(truth, cmap="gray", vmin=0, vmax=white)
    axes[0, 0].set_title("folded truth (RSS)", fontsize=7)
    for axis in axes.flat:
        axis.axis("off")
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
