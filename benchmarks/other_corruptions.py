"""Do the rules learn from corrupted images what they should? Ambient Diffusion, Ambient Tweedie, Creative Diffusion, controls.

    python benchmarks/other_corruptions.py [mr_slices_256.npz] --out corruptions [--images 128000 --only digits/clean ...]

On scikit-learn's digits, scaled up to 16x16 (every fourth is held out), and on MR slices of the npz, scaled down to 32x32
(patients, or blocks of neighbouring slices where the patient is unknown, are held out). The last cases fine-tune a prior of
clean contrast-enhanced slices on 60 other slices with boxes missing. --images: seen where 90 % of the pixels are missing,
and by `clean`; the other cases see half, fine-tuning a quarter. Resumable; every case has its seed. Writes
SET/CASE/grid*.png (64 of 512 samples; of `ambient` with A~ fixed and redrawn, of `tweedie` full and truncated),
SET_samples.png (the better of each case), SET.png and results.csv: the distance between the samples and held-out clean
images, beside that of clean training images (the floor) and of the corrupted images themselves; before and after
fine-tuning, how near samples come to one of the 60 slices, beside held-out images.
"""

import argparse
import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread
from torch import Generator, Tensor

from benchmarks.two_sample import mmd, sliced_wasserstein
from mri_ambient.audit.memorisation import audit
from mri_ambient.images.card import load_pixel_prior
from mri_ambient.images.config import ImageConfig
from mri_ambient.images.data import read_images
from mri_ambient.images.denoiser import PixelArchitecture
from mri_ambient.images.run import described, run_images
from mri_ambient.images.sampling import draw_pixels, sample_pixels
from mri_ambient.images.task import draw_batch

SAMPLES, STEPS, SEED = 512, 18, 0
SIGMA_DATA = 0.4
SIGMA_TN = {"digits": 0.3, "mr": 0.2}
FEW = 60  # slices to fine-tune on


@dataclass(frozen=True)
class Case:
    """settings: of an ImageConfig. data: the npz trained on; against: that of the held-out images. init: another case."""

    data: str
    against: str
    settings: dict[str, Any]
    init: str = ""
    share: float = 1.0  # of the images seen
    audited: str = ""  # npz of images that samples should not be copies of


def pixels(rule: str, kind: str, missing: float, **more: Any) -> dict[str, Any]:
    return {"rule": rule, "corruption": kind, "missing": missing} | more


def cases(name: str) -> dict[str, Case]:
    settings = {
        "clean": {"rule": "clean"},
        "ambient-pixels-0.9": pixels("ambient", "random-pixels", 0.9),
        "naive-pixels-0.9": pixels("naive", "random-pixels", 0.9),
        "ambient-pixels-0.6": pixels("ambient", "random-pixels", 0.6),
        "naive-pixels-0.6": pixels("naive", "random-pixels", 0.6),
        "ambient-random-box": pixels("ambient", "random-box", 0.25),
        "naive-random-box": pixels("naive", "random-box", 0.25),
        "ambient-fixed-box": pixels("ambient", "fixed-box", 0.25),
        "ambient-keep-patch": pixels("ambient", "keep-patch", 0.25),
        "ambient-gaussian": pixels("ambient", "gaussian", 0.5),
        "naive-gaussian": pixels("naive", "gaussian", 0.5),
    }
    noise = {"corruption": "noise", "noise_std": SIGMA_TN[name]}
    settings |= {
        f"{rule}-noise": noise | {"rule": rule} for rule in ("naive", "tweedie", "tweedie-consistent", "creative")
    }
    found = {
        f"{name}/{case}": Case(name, name, chosen, share=1 if case == "clean" or case.endswith("0.9") else 0.5)
        for case, chosen in settings.items()
    }
    if name == "mr":
        box = pixels("ambient", "random-box", 0.25)
        found |= {
            "mr/other-clean": Case("mr_other", "mr_target", {"rule": "clean"}, share=0.5, audited="mr_few"),
            "mr/other-then-boxes": Case(
                "mr_few", "mr_target", box | {"learning_rate": 3e-4}, "mr/other-clean", share=0.25, audited="mr_few"
            ),
            "mr/boxes-from-scratch": Case("mr_few", "mr_target", box, share=0.25, audited="mr_few"),
        }
    return found


def make_data(out: Path, anatomy: Path | None) -> None:
    """NAME.npz to train on and NAME_held_out.npz."""
    if not (out / "digits.npz").exists():
        from sklearn.datasets import load_digits

        small = torch.from_numpy(load_digits().images).float()[:, None] / 16
        images = torch.nn.functional.interpolate(small, (16, 16), mode="bilinear")[:, 0].numpy()
        held_out = np.arange(len(images)) % 4 == 0
        save(out, "digits", images[~held_out], images[held_out])
    if anatomy is None or (out / "mr_few.npz").exists():
        return
    with np.load(anatomy) as file:
        images, labels = file["images"], file["labels"].astype(str)
    images = images.reshape(-1, 32, 8, 32, 8).mean((2, 4), dtype=np.float32) / 255
    target = np.array([not label.startswith("cheng") for label in labels])
    held_out = np.array([is_held_out(label) for label in labels])
    save(out, "mr", images[~held_out], images[held_out])
    save(out, "mr_other", images[~target & ~held_out], images[~target & held_out])
    save(out, "mr_target", images[target & ~held_out], images[target & held_out])
    few = np.flatnonzero(target & ~held_out)
    save(out, "mr_few", images[few[:: len(few) // FEW][:FEW]], images[target & held_out])


def is_held_out(label: str) -> bool:
    """Two of the seven patients; one in five blocks of 20 slices of those who are not known."""
    parts = label.split("/")
    number = int(re.findall(r"\d+", parts[1])[-1])
    return number // 20 % 5 == 0 if len(parts) == 2 else number % 4 == 0


def save(out: Path, name: str, images: np.ndarray, held_out: np.ndarray) -> None:
    np.savez(out / f"{name}_held_out.npz", images=held_out)
    np.savez(out / f"{name}.npz", images=images)


def run_case(name: str, case: Case, out: Path, images: int) -> Iterator[dict[str, Any]]:
    """Train, then one row for each way to sample."""
    data = read_images(out / f"{case.data}.npz")
    architecture = PixelArchitecture(sigma_data=SIGMA_DATA)
    chosen = {
        "images": round(case.share * images),
        "batch": 64,
        "save_every": 250,
        "seed": SEED,
        "architecture": architecture,
    }
    config = ImageConfig.model_validate(chosen | case.settings)
    folder = out / name
    init = load_pixel_prior(out / case.init) if case.init else None
    prior = run_images(described(out / f"{case.data}.npz", data, config, init), folder, True, init)
    if not (folder / "rows.json").exists():
        rows = []
        ways: dict[str, dict[str, Any]] = {"": {}}
        if config.rule.startswith("tweedie"):
            ways = {" (full)": {}, " (truncated)": {"lowest": config.noise_std}}
        if config.rule == "ambient":
            ways = {" (fixed)": {}, " (redrawn)": {"redrawn": True}}
        for how, options in ways.items():
            samples = sample_pixels(prior, SAMPLES, STEPS, SEED, **options)
            draw_pixels(
                folder / f"grid_{how.strip(' ()')}.png" if how else folder / "grid.png", samples[:64], f"{name}{how}"
            )
            row = {"case": name + how} | distances(samples, out / f"{case.against}_held_out.npz")
            rows.append(row | (likeness(samples, out, case) if case.audited else {}))
        if config.rule in ("ambient", "naive"):
            indices = list(range(min(SAMPLES, len(data.pixels))))
            shown = draw_batch(data, indices, config, Generator().manual_seed(SEED)).images
            draw_pixels(folder / "corrupted.png", shown[:64], f"{name}: what is learned from")
            rows.append({"case": f"  {name}: its images"} | distances(shown, out / f"{case.against}_held_out.npz"))
        (folder / "rows.json").write_text(json.dumps(rows))
    yield from json.loads((folder / "rows.json").read_text())


def distances(images: Tensor, held_out: Path) -> dict[str, float]:
    ours, theirs = images.flatten(1), read_images(held_out).pixels.flatten(1)
    if len(theirs) > SAMPLES:
        theirs = theirs[torch.randperm(len(theirs), generator=Generator().manual_seed(SEED))[:SAMPLES]]
    return {
        "sliced Wasserstein": sliced_wasserstein(ours, theirs, Generator().manual_seed(SEED)),
        "MMD^2": mmd(ours, theirs),
    }


def likeness(samples: Tensor, out: Path, case: Case) -> dict[str, float]:
    """How near samples, and held-out images, come to an image of the small set: the measures of `mri-ambient audit`."""
    few, others = (read_images(out / f"{name}.npz").pixels for name in (case.audited, f"{case.against}_held_out"))
    found = audit(samples, few, others).measures
    return {m.name: m.samples for m in found} | {f"{m.name}, held-out": m.held_out for m in found}


def floor(out: Path, name: str) -> dict[str, Any]:
    """Of clean training images, and a picture of them."""
    images = read_images(out / f"{name}.npz").pixels
    some = images[torch.randperm(len(images), generator=Generator().manual_seed(SEED + 1))[:SAMPLES]]
    draw_pixels(out / f"{name}.png", some[:64], f"{name}: clean training images")
    return {"case": f"{name}: clean training images"} | distances(some, out / f"{name}_held_out.npz")


def draw_overview(out: Path, name: str, columns: int = 5) -> None:
    """SET_samples.png: the grids of all its cases, those of `ambient` with A~ fixed, of `tweedie` truncated."""
    grids = [path for path in sorted((out / name).glob("*/grid*.png")) if not path.stem.endswith(("redrawn", "full"))]
    if not grids:
        return
    columns = min(columns, len(grids))
    rows = -(-len(grids) // columns)
    figure = Figure(figsize=(4 * columns, 4.2 * rows), dpi=80, layout="constrained", facecolor="black")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for axis in axes:
        axis.set_axis_off()
    for axis, path in zip(axes, grids, strict=False):
        axis.imshow(imread(path))
    figure.savefig(out / f"{name}_samples.png", pil_kwargs={"optimize": True})


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)), restval="")
        writer.writeheader()
        writer.writerows({k: v if isinstance(v, str) else f"{v:.4f}" for k, v in row.items()} for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("anatomy", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, default=Path("corruptions"))
    parser.add_argument("--images", type=int, default=128_000)
    parser.add_argument("--only", nargs="*", help="names such as digits/clean")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    make_data(chosen.out, chosen.anatomy)
    sets = ["digits"] + ["mr", "mr_target"] * (chosen.anatomy is not None)
    rows = [floor(chosen.out, name) for name in sets]
    every = cases("digits") | (cases("mr") if chosen.anatomy else {})
    for name in chosen.only or every:
        rows += run_case(name, every[name], chosen.out, chosen.images)
        write(chosen.out / "results.csv", rows)
    for name in sets:
        draw_overview(chosen.out, name)
    print((chosen.out / "results.csv").read_text())


if __name__ == "__main__":
    main()
