"""The supervised ceiling: fastMRI's end-to-end VarNet (Sriram et al., MICCAI 2020), which is shown complete scans.

    python benchmarks/varnet.py mr_slices_256.npz --out grid [--images 32000 --seeds 0 1 2 --accel 4 8 --cascades 4 --chans 8]

The scans, the test slices and their references are those of ``ambient_grid``: its folder may be given; what is missing is made.
The network is fastMRI's, one for all R as theirs are, the training our loop: a fresh random mask at every step, and as its loss
the very number in the table, the NRMSE of magnitude. It estimates its own coil maps from the ACS of our prepared k-space. Its
answer is k-space, which is combined as the reference is, S^H F^H k with the scan's maps: VarNet's own root sum of squares has
the noise of all coils in it and another shading, and would be charged for both. Resumable. Writes grid/varnet.csv.
"""

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from ambient_grid import ACS, TEST_SLICES, Slices, make_data, mean_nrmse, middle_slices
from fastmri.models import VarNet
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from mri_ambient.data_prep.folder import prepare_folder
from mri_ambient.data_prep.prepare import PrepareSettings
from mri_ambient.physics.fourier import ifft2c
from mri_ambient.processes import Spread
from mri_ambient.training.config import TrainConfig
from mri_ambient.training.data import MeasuredSlices, read_volumes
from mri_ambient.training.kspace_task import DrawnSlices, KspaceTask
from mri_ambient.training.loop import train

BATCH = 4  # smaller than ours, for it sees fewer images in the same time

Coils = Complex[Tensor, "batch coil y x"]
Images = Complex[Tensor, "batch y x"]


@dataclass(frozen=True)
class VarNetTask(KspaceTask):
    """Complete scans behind fresh masks, and the NRMSE of the answer."""

    cascades: int
    chans: int

    def build(self) -> VarNet:
        return VarNet(self.cascades, sens_chans=4, sens_pools=3, chans=self.chans, pools=3)

    def losses(self, denoiser: VarNet, drawn: DrawnSlices) -> Float[Tensor, " batch"]:
        batch = drawn.measurement
        references = (batch.sense.maps.conj() * ifft2c(batch.kspace)).sum(-3)
        return nrmse(self.answer(denoiser, drawn), references)

    def answer(self, denoiser: VarNet, drawn: DrawnSlices) -> Images:
        shown = torch.where(drawn.shown.mask.unsqueeze(1), drawn.measurement.kspace, 0)
        return reconstruct(denoiser, shown, drawn.measurement.sense.maps, drawn.shown.mask)

    @torch.no_grad()
    def picture(self, denoiser: VarNet, drawn: DrawnSlices, count: int = 4) -> Float[Tensor, "1 y x"]:
        return torch.cat(list(self.answer(denoiser, drawn)[:count].abs()), -1)[None].clamp(0, 1)


def reconstruct(network: VarNet, kspace: Coils, maps: Coils, mask: Bool[Tensor, "batch 1 x"]) -> Images:
    """S^H F^H of the network's k-space; ``kspace`` is 0 where ``mask`` is False."""
    measured, lines = torch.view_as_real(kspace), mask[:, None, :, :, None]
    own_maps = network.sens_net(measured, lines, ACS)
    predicted = measured
    for cascade in network.cascades:
        predicted = cascade(predicted, measured, lines, own_maps)
    return (maps.conj() * ifft2c(torch.view_as_complex(predicted.contiguous()))).sum(-3)


def nrmse(images: Images, references: Images) -> Float[Tensor, " batch"]:
    """Of magnitudes, image by image; the number of :func:`mri_ambient.recon.evaluate.metrics.nrmse.nrmse`, with a gradient."""
    error = (images.abs() - references.abs()).square().sum((-2, -1)).sqrt()
    return error / references.abs().square().sum((-2, -1)).sqrt()


@torch.no_grad()
def evaluate(network: VarNet, test: Slices) -> float:
    """Mean NRMSE of the test slices."""
    measurement = test.measurement
    return mean_nrmse(reconstruct(network, measurement.kspace, measurement.sense.maps, measurement.sense.mask), test)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("anatomy", type=Path)
    parser.add_argument("--out", type=Path, default=Path("grid"))
    parser.add_argument("--images", type=int, default=32_000)
    parser.add_argument("--matrix", type=int, default=64)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--accel", type=float, nargs="+", default=[4.0, 8.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--cascades", type=int, default=4)
    parser.add_argument("--chans", type=int, default=8)
    chosen = parser.parse_args()
    make_data(chosen.anatomy, chosen.out, chosen.matrix, chosen.draws)
    complete = chosen.out / "train_complete"
    prepare_folder(chosen.out / "train", complete, PrepareSettings(acs=ACS), Spread(2))
    data = MeasuredSlices(read_volumes(complete), (1.0,), "random")
    tests = {
        accel: middle_slices(chosen.out / "test", chosen.out / "truth", accel, TEST_SLICES) for accel in chosen.accel
    }
    rows = []
    for seed in chosen.seeds:
        config = TrainConfig(
            accel=tuple(chosen.accel),
            loss="supervised",
            images=chosen.images,
            batch=BATCH,
            strip=0,
            learning_rate=1e-3,
            seed=seed,
        )
        task = VarNetTask(data, config, chosen.cascades, chosen.chans)
        accels = "-".join(f"{accel:g}" for accel in chosen.accel)
        name = f"r{accels}-seed{seed}-{chosen.cascades}x{chosen.chans}-{chosen.images}"
        folder = chosen.out / "varnet" / name
        folder.mkdir(parents=True, exist_ok=True)
        trained = train(task, config, folder, lambda *_: None)
        size = sum(parameter.numel() for parameter in trained.parameters())
        for accel, test in tests.items():
            row = {"R": accel, "seed": seed, "images": chosen.images, "parameters": size}
            rows.append(row | {"NRMSE": f"{evaluate(trained, test):.4f}"})
            print(rows[-1], flush=True)
        with (chosen.out / "varnet.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
