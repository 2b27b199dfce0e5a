"""Does Creative Diffusion copy less of a few images than ordinary diffusion, at equal quality? (Shah et al., ICML 2025)

    python benchmarks/memorisation.py mr_slices_256.npz --out memorisation [--count 300 --images 600000 --sigma-tn 0.2 0.4 0.1]

MR slices of the npz (``images`` uint8, ``labels``) scaled down to 16x16, so that two thousand passes over them take minutes:
--count to train on, 300 of other patients. A label ``a/b/c/5`` says that the patient is a/b. Of ``a/57`` the patient is
unknown, and the slices of one are scattered: slices that a chain of S > 0.85 connects count as one patient's. So the held-out
images' S is below 0.85 in the space of `bandpass` by construction; in that of `pixel` it is not.

One network, seed, schedule and number of images seen for all: `clean` (EDM), and `creative` with each sigma_tn. Resumable.
Writes CASE/audit_SPACE.png, CASE/samples.png and results.csv: the shares of S in both spaces, and the distance of the samples
to the held-out images, beside that of the training images themselves (what a perfect copy would have).
"""

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse.csgraph import connected_components
from torch import Generator, Tensor

from benchmarks.two_sample import mmd, sliced_wasserstein
from mri_ambient.audit.memorisation import FEATURES, audit, bandpass, directions_of
from mri_ambient.audit.report import draw_audit
from mri_ambient.images.config import ImageConfig
from mri_ambient.images.data import Images, read_images
from mri_ambient.images.run import architecture_for, described, run_images
from mri_ambient.images.sampling import sample_pixels

SIZE, OTHERS, STEPS, SEED = 16, 300, 32, 0
LINKED = 0.85
SETTINGS = {"batch": 64, "learning_rate": 2e-3, "log_sigma": (-0.6, 1.2), "save_every": 500, "seed": SEED}
WIDTHS = (32, 64, 96)


def make_data(anatomy: Path, out: Path, count: int) -> None:
    """out/training.npz, ``count`` images, and out/held_out.npz, OTHERS, no patient in both."""
    if (out / "held_out.npz").exists():
        return
    with np.load(anatomy) as file:
        images, labels = file["images"], file["labels"].astype(str)
    step = images.shape[-1] // SIZE
    images = images.reshape(-1, SIZE, step, SIZE, step).mean((2, 4), dtype=np.float32) / 255
    patients = patients_of(torch.from_numpy(images), labels)
    generator = np.random.default_rng(SEED)
    names = generator.permutation(np.unique(patients))
    sizes = np.array([(patients == name).sum() for name in names])
    held_out = np.isin(patients, names[: int(np.searchsorted(sizes.cumsum(), len(images) // 3))])
    out.mkdir(parents=True, exist_ok=True)
    for name, which, size in (("training", ~held_out, count), ("held_out", held_out, OTHERS)):
        chosen = generator.choice(np.flatnonzero(which), size, replace=False)
        np.savez(out / f"{name}.npz", images=images[chosen], patients=patients[chosen])


def patients_of(images: Tensor, labels: np.ndarray) -> np.ndarray:
    """A number an image; images that are linked, by a patient's name or by their likeness, have one."""
    directions = directions_of(images, bandpass)
    near = (directions @ directions.T).numpy() > LINKED
    known = np.array([label.rsplit("/", 2)[0] if label.count("/") > 1 else f"unknown {label}" for label in labels])
    return connected_components(near | (known[:, None] == known))[1]


def run_case(name: str, settings: dict[str, Any], out: Path, images: int) -> dict[str, Any]:
    training, held_out = (read_images(out / f"{part}.npz") for part in ("training", "held_out"))
    with np.load(out / "held_out.npz") as file:
        patients = file["patients"].tolist()
    base = SETTINGS | {"images": images} | settings
    architecture = architecture_for(Images("training", training.pixels), ImageConfig.model_validate(base), WIDTHS)
    config = ImageConfig.model_validate(base | {"architecture": architecture})
    prior = run_images(described(out / "training.npz", training, config), out / name, True)
    samples = sample_pixels(prior, OTHERS, STEPS, SEED)
    row = {"case": name}
    for space, features in FEATURES.items():
        found = audit(samples, training.pixels, held_out.pixels, features, patients, SEED)
        row |= {f"{space}: {m.name}": f"{m.samples:.3f}" for m in found.measures}
        row[f"{space}: excess"] = "{:+.3f} ({:+.3f} to {:+.3f})".format(
            found.measures[0].excess, *found.measures[0].interval
        )
        title = f"{name}: {images} images seen of {len(training.pixels)}, {space} features"
        pictures = (samples[:, 0], training.pixels[:, 0], held_out.pixels[:, 0])
        draw_audit(out / name / f"audit_{space}.png", found, *pictures, title)
    return row | distances(samples, held_out.pixels)


def baseline(out: Path) -> list[dict[str, Any]]:
    """The held-out images' own S, and how far the training images are from them."""
    training, held_out = (read_images(out / f"{part}.npz").pixels for part in ("training", "held_out"))
    row = {"case": "held-out images"}
    for space, features in FEATURES.items():
        found = audit(held_out, training, held_out, features)
        row |= {f"{space}: {m.name}": f"{m.held_out:.3f}" for m in found.measures}
    return [row, {"case": "training images"} | distances(training, held_out)]


def distances(images: Tensor, held_out: Tensor) -> dict[str, str]:
    ours, theirs = images.flatten(1), held_out.flatten(1)
    wasserstein = sliced_wasserstein(ours, theirs, Generator().manual_seed(SEED))
    return {"sliced Wasserstein": f"{wasserstein:.4f}", "MMD^2": f"{mmd(ours, theirs):.4f}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("anatomy", type=Path)
    parser.add_argument("--out", type=Path, default=Path("memorisation"))
    parser.add_argument("--count", type=int, default=300, help="images to train on")
    parser.add_argument("--images", type=int, default=600_000)
    parser.add_argument("--sigma-tn", type=float, nargs="*", default=[0.2, 0.4, 0.1])
    chosen = parser.parse_args()
    make_data(chosen.anatomy, chosen.out, chosen.count)
    noise = {"corruption": "noise"}
    cases = {"clean": noise | {"rule": "clean"}}
    cases |= {f"creative-{s:g}": noise | {"rule": "creative", "noise_std": s} for s in chosen.sigma_tn}
    rows = baseline(chosen.out)
    for name, settings in cases.items():
        rows.append(run_case(name, settings, chosen.out, chosen.images))
        fields = list(dict.fromkeys(key for row in rows for key in row))
        with (chosen.out / "results.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, fields)
            writer.writeheader()
            writer.writerows(rows)
        print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
