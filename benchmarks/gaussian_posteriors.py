"""What each sampler is worth where the posterior is known: a Markdown table for a white and a correlated Gaussian prior.

python -m benchmarks.gaussian_posteriors [--samples 1000 --seed 0]      from the repository's root; a minute or two
"""

import argparse
import math
from collections.abc import Iterator

from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.methods.samplers.aald import AaldSettings, aald
from mri_ambient.recon.methods.samplers.adps import AdpsSettings, adps
from mri_ambient.recon.methods.samplers.dds import DdsSettings, dds
from mri_ambient.recon.methods.samplers.mmps import MmpsSettings, mmps
from tests.recon.gaussian import ACCELS, SPREAD, gaussian_case, generators, quality

WIDE = {"sigma_max": 5.0, "sigma_min": 0.004, "rho": 7.0}
ROWS = {
    "dds, 400 steps": (dds, DdsSettings(steps=400, prior_spread=SPREAD, iterations=8, **WIDE)),
    "dds, 50 steps": (dds, DdsSettings(steps=50, prior_spread=SPREAD, iterations=8, **WIDE)),
    "dds, 30 steps, eta 0, order 2": (
        dds,
        DdsSettings(steps=30, prior_spread=SPREAD, iterations=8, eta=0.0, order=2, **WIDE),
    ),
    "mmps, as shipped": (mmps, METHODS["mmps"].settings),
    "mmps, 30 steps": (mmps, MmpsSettings(steps=30, iterations=8, jacobian_above=0, draw_iterations=30, **WIDE)),
    "daps, as shipped": (mmps, METHODS["daps"].settings),
    "aald, 100 x 3 steps": (aald, AaldSettings()),
    "adps, 500 steps": (adps, AdpsSettings()),
    "adps-scaled, 500 steps": (adps, AdpsSettings(step="scaled", prior_spread=SPREAD)),
}


def table(samples: int, seed: int) -> Iterator[str]:
    """Markdown, line by line; three numbers a cell, for R = 2, 4, 8."""
    yield f"Mean error in posterior stds ({1 / math.sqrt(samples):.2f} is perfect), std over the posterior's, and what the"
    yield f"posterior gives to the samples' 50 % and 90 % intervals; each at R = {', '.join(map(str, ACCELS))}; K = {samples}."
    for correlated in (False, True):
        case = gaussian_case(correlated)
        yield ""
        yield f"| {'correlated' if correlated else 'white'} prior | mean error | std ratio | 50 % | 90 % |"
        yield "|---|---|---|---|---|"
        for name, (sampler, settings) in ROWS.items():
            found = quality(sampler(case.denoise, case.measurement, samples, settings, generators(seed)), case)
            cells = [found.error, found.std, found.coverage[0.5], found.coverage[0.9]]
            yield f"| {name} | " + " | ".join(" ".join(f"{v:.2f}" for v in cell.tolist()) for cell in cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    for line in table(chosen.samples, chosen.seed):
        print(line, flush=True)


if __name__ == "__main__":
    main()
