"""Preparation against what people use now, side by side in one run: sensitivity maps, then the whole of ``prep``.

    python benchmarks/prep.py [--rows 640 --columns 368 --coils 15 --slices 16 --repeats 3 --volumes 500]

Simulated scans (seed 0). Maps: our ESPIRiT, sigpy's and ``bart ecalib`` on the same slice, the same 24x24 calibration box and
crop, on all cores, with the angle between their subspaces. Each is timed in a process of its own, whose memory above that
of the imported libraries and the input is reported. Then ``mri-ambient prep`` of a whole volume, and of a folder of many
small ones (64x64, 4 coils, 4 slices), with the workers' memory as it goes.
"""

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import torch

from mri_ambient.bart import installed
from mri_ambient.data_prep.coils.calibration import calibrate
from mri_ambient.data_prep.coils.maps import ESTIMATORS
from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_scan
from mri_ambient.memory import keep_freed_memory

ACS = (24, 24)


def peak_mb() -> float:
    """The largest memory so far of this process or of a finished child."""
    own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return max(own, children) / 1024


def current_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def time_maps(name: str, kspace: np.ndarray, repeats: int, answer) -> None:
    keep_freed_memory()  # as the command does
    torch.set_num_threads(os.cpu_count() or 1)
    slices = torch.from_numpy(kspace)
    ESTIMATORS[name](calibrate(slices[:, :64, :64], ACS))  # imports and just-in-time compilation
    before = current_mb()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        maps = ESTIMATORS[name](calibrate(slices, ACS))
        seconds.append(time.perf_counter() - start)
    answer.put((seconds, peak_mb() - (0 if name == "bart" else before), maps.numpy()))


def in_a_process(name: str, kspace: np.ndarray, repeats: int) -> tuple[list[float], float, np.ndarray]:
    context = multiprocessing.get_context("spawn")
    answer = context.Queue()
    process = context.Process(target=time_maps, args=(name, kspace, repeats, answer))
    process.start()
    found = answer.get()
    process.join()
    return found


def compare_maps(kspace: np.ndarray, repeats: int) -> None:
    names = [name for name in ("espirit", "sigpy", "bart") if name != "bart" or installed()]
    found = {name: in_a_process(name, kspace, repeats) for name in names}
    ours = found["espirit"][2]
    print(f"maps, one slice {kspace.shape[1]}x{kspace.shape[2]}, {len(kspace)} coils, {os.cpu_count()} cores")
    print(
        f"{'':8} {'s (min)':>8} {'s (max)':>8} {'slower':>7} {'MB':>6}   degrees to ours: median, 95 %   pixels inside"
    )
    for name, (seconds, memory, maps) in found.items():
        inside = (np.linalg.norm(ours, axis=0) > 0) & (np.linalg.norm(maps, axis=0) > 0)
        cosine = np.abs((ours.conj() * maps).sum(0)[inside]).clip(max=1)
        middle, most = np.degrees(np.arccos(np.quantile(cosine, [0.5, 0.05])))
        ratio = min(seconds) / min(found["espirit"][0])
        pixels = int((np.linalg.norm(maps, axis=0) > 0).sum())
        print(
            f"{name:8} {min(seconds):8.2f} {max(seconds):8.2f} {ratio:6.1f}x {memory:6.0f}   "
            f"{middle:.2f}, {most:.2f}   {pixels}"
        )


PREP = """
import resource, sys
from mri_ambient.cli import app
app(sys.argv[1:], standalone_mode=False)
print("peak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def whole_prep(folder: Path, slices: int) -> None:
    """The command as users run it, in one worker process, whose peak memory is that of the whole volume in flight."""
    command = [sys.executable, "-c", PREP, "prep", str(folder / "raw"), "--out", str(folder / "prepared")]
    start = time.perf_counter()
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds = time.perf_counter() - start
    memory = float(said.split("peak")[-1])
    print(
        f"prep, one volume of {slices} slices: {seconds:.1f} s, {slices / seconds:.2f} slices/s, "
        f"the worker's peak {memory:.0f} MB"
    )


def many_volumes(folder: Path, volumes: int) -> None:
    raw, out = folder / "many", folder / "many_prepared"
    simulate_scan(raw / "v0000.h5", 0, SimulateSettings(matrix=64, slices=4, coils=4, seed=0))
    for index in range(1, volumes):
        os.link(raw / "v0000.h5", raw / f"v{index:04}.h5")
    command = [
        sys.executable,
        "-m",
        "mri_ambient",
        "prep",
        str(raw),
        "--out",
        str(out),
        "--accel",
        "4",
        "--workers",
        "2",
    ]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen: list[tuple[int, float]] = []
    while process.poll() is None:
        time.sleep(0.2)
        seen.append((len(list(out.glob("*.h5"))), family_mb(process.pid)))
    print(f"{volumes} volumes of 4 slices 64x64, 4 coils, two workers: {time.perf_counter() - start:.1f} s")
    for share in (0.1, 0.25, 0.5, 0.75, 0.95):
        done, memory = next(entry for entry in seen if entry[0] >= share * volumes)
        print(f"  after {done} volumes: {memory:.0f} MB in all processes together")


def family_mb(pid: int) -> float:
    """Resident memory of a process and its children, unshared part."""
    total = 0.0
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) if entry.name.isdigit() else -1
            if pid in (parent, int(entry.name) if entry.name.isdigit() else -1):
                resident, shared = map(int, (entry / "statm").read_text().split()[1:3])
                total += (resident - shared) * os.sysconf("SC_PAGE_SIZE") / 2**20
        except (OSError, ValueError):
            continue
    return total


def simulate_full_size(path: Path, rows: int, columns: int, coils: int, slices: int) -> None:
    """A fastMRI-like scan: the simulated square field of view, its columns cropped to ``columns``."""
    simulate_scan(path, 0, SimulateSettings(matrix=rows, slices=slices, coils=coils, seed=0))
    left = rows // 2 - columns // 2
    with h5py.File(path, "r+") as file:
        kspace = file["kspace"][..., left : left + columns]
        for key in ("kspace", "ismrmrd_header", "reconstruction_rss"):
            del file[key]
        file["kspace"] = kspace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (
        ("rows", 640),
        ("columns", 368),
        ("coils", 15),
        ("slices", 16),
        ("repeats", 3),
        ("volumes", 500),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "raw").mkdir()
        path = folder / "raw" / "scan.h5"
        context = multiprocessing.get_context("spawn")  # what simulating takes must not count
        shape = (chosen.rows, chosen.columns, chosen.coils, chosen.slices)
        process = context.Process(target=simulate_full_size, args=(path, *shape))
        process.start()
        process.join()
        with h5py.File(path) as file:
            kspace = file["kspace"][chosen.slices // 2]
        compare_maps(kspace / np.abs(kspace).max(), chosen.repeats)
        whole_prep(folder, chosen.slices)
        path.unlink()
        many_volumes(folder, chosen.volumes)


if __name__ == "__main__":
    main()
