"""Odd files, each made by a `make.py FOLDER` of its own: what `info` and `recon` make of them, and how far from the truth.

    python benchmarks/odd_scans.py CASES --out odd_scans.csv

CASES holds a folder a case, with its `make.py`, which writes scans and, where the images are known, `truth.npy` [slice, y, x].
Every scan is told by `info` and reconstructed by `--method` (complete ones at `--accel`). NRMSE is that of the magnitude, best
scale, the middle rows and columns where a matrix is larger, the transposed truth where k-space was turned. A refusal is quoted.
"""

import argparse
import csv
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np

from mri_ambient.data_prep.readers import read_scan, scan_files
from mri_ambient.errors import UserError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("--method", default="cg-sense")
    parser.add_argument("--accel", type=float, default=2)
    parser.add_argument("--out", type=Path, default=Path("odd_scans.csv"))
    chosen = parser.parse_args()
    rows = []
    for case in sorted(path.parent for path in chosen.cases.glob("*/make.py")):
        with TemporaryDirectory() as folder:
            made = Path(folder)
            subprocess.run([sys.executable, "make.py", str(made)], cwd=case, check=True, capture_output=True)
            truth = np.load(made / "truth.npy") if (made / "truth.npy").exists() else None
            for path in [p for p in scan_files(made)[0] if p.name != "truth.npy"][:6]:
                rows.append((case.name, path.name, *outcome(path, truth, chosen.method, chosen.accel)))
                print(*rows[-1], sep=" | ", flush=True)
    with chosen.out.open("w", newline="") as file:
        csv.writer(file).writerows([("case", "file", "R", "NRMSE", "said"), *rows])


def outcome(path: Path, truth: np.ndarray | None, method: str, accel: float) -> tuple[str, str, str]:
    """(R, NRMSE, what was said): a refusal, or the notes."""
    try:
        scan = read_scan(path)
    except UserError as error:
        return "", "refused", str(error).replace(str(path), path.name)
    target = path.with_name(f"{path.stem}_recon.h5")
    command = [sys.executable, "-m", "mri_ambient", "recon", str(path), "--method", method, "--out", str(target)]
    if scan.fully_sampled:
        command += ["--accel", f"{accel:g}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return "", f"exit code {done.returncode}", done.stderr.strip().splitlines()[-1].replace(str(path), path.name)
    with h5py.File(target) as file:
        image, realised = np.asarray(file["reconstruction"]), float(file.attrs["accel"])
    error = "" if truth is None else f"{nrmse(image, truth):.3f}"
    return f"{realised:.2f}", error, "; ".join(scan.notes)


def nrmse(image: np.ndarray, truth: np.ndarray) -> float:
    """Of the best scale, and of the better of truth and transposed truth where both fit."""
    truths = [truth, truth.swapaxes(-1, -2)] if truth.ndim == 3 else [truth[None], truth.T[None]]
    errors = [np.inf]
    for wanted in truths:
        size = [min(a, b) for a, b in zip(image.shape[-2:], wanted.shape[-2:], strict=True)]
        found, right = middle(image, size), np.abs(middle(wanted, size))
        if len(found) == len(right):
            found = found * (found * right).sum() / np.square(found).sum()
            errors.append(float(np.linalg.norm(found - right) / np.linalg.norm(right)))
    return min(errors)


def middle(images: np.ndarray, size: list[int]) -> np.ndarray:
    top, left = (n // 2 - wanted // 2 for n, wanted in zip(images.shape[-2:], size, strict=True))
    return images[..., top : top + size[0], left : left + size[1]]


if __name__ == "__main__":
    main()
