"""Every method on scans: the table of `mri-ambient demo`, for raw scans or for unseen simulated ones.

python benchmarks/all_methods.py FILE ... [--accel 4]      complete scans are undersampled at --accel, others taken as they are
"""

import argparse
from dataclasses import replace
from pathlib import Path

from mri_ambient.console import stdout
from mri_ambient.data_prep.prepare import PrepareSettings, complete, prepare
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.priors.runs import BUNDLED
from mri_ambient.recon.choices import Choices
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.reconstruct import reference_image
from mri_ambient.recon.run_methods import run_methods, tools_for
from mri_ambient.recon.show.summary import table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--accel", type=float, default=4.0)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--prior", type=Path, default=BUNDLED)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    choices = Choices(tuple(METHODS), "mmps", arguments.prior, arguments.samples, seed=arguments.seed, force_model=True)
    tools = replace(tools_for(choices), studies={})  # every method with its own settings
    for path in arguments.files:
        scan = read_scan(path)
        full = scan.fully_sampled
        volume = prepare(scan, PrepareSettings(accel=arguments.accel if full else None))
        result = run_methods(volume, reference_image(complete(scan, volume)) if full else None, choices, tools)
        stdout.print(table(result))
        for note in result.notes:
            stdout.print(note)


if __name__ == "__main__":
    main()
