"""Whether the default sampler's answer still depends on how long it is run: on levels, both conjugate gradients, and K.

    python benchmarks/convergence.py --out convergence [--slices 6 --accel 4 --samples 8 --seed 5]

Truths are samples of the bundled prior (`sbc.py`), so that a perfect sampler has std/error 1. One setting of `mmps` at a time
is changed from its default. Prints Markdown; writes convergence.png.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.figure import Figure
from sbc import case_from, figures_of

from mri_ambient.memory import keep_freed_memory
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.runs import BUNDLED
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.reconstruct import reconstruct

TRIED = {
    "steps": (4, 6, 10, 20, 40),
    "iterations": (0, 1, 2, 3, 4, 6),
    "draw_iterations": (1, 2, 4, 8, 16, 32),
    "K": (2, 4, 8, 16, 32),
}
SHOWN = ("CRPS", "mean", "one", "std/error", "T", "s/slice")
Found = dict[str, dict[int, dict[str, float]]]


def draw(path: Path, found: Found) -> None:
    """A column for each setting: errors above, spread below; the default's value is marked."""
    figure = Figure(figsize=(3.1 * len(found), 5), dpi=130, layout="constrained")
    axes = figure.subplots(2, len(found), sharey="row")
    for column, (name, values) in enumerate(found.items()):
        for row, shown in enumerate((("CRPS", "mean", "one"), ("std/error", "T"))):
            axis = axes[row][column]
            for measure in shown:
                axis.plot(
                    list(values), [figures[measure] for figures in values.values()], marker="o", ms=4, label=measure
                )
            axis.set(xscale="symlog", xlabel=name, xticks=list(values), xticklabels=list(map(str, values)))
            axis.minorticks_off()
            axis.grid(alpha=0.3)
            axis.axvline(getattr(METHODS["mmps"].settings, name, 8), color="gray", ls=":", lw=1)
            if row:
                axis.axhline(1, color="gray", ls="--", lw=0.8)
            if not column:
                axis.legend(frameon=False, fontsize=8)
    figure.savefig(path)


def lines(found: Found) -> Sequence[str]:
    rows = [f"| setting | value | {' | '.join(SHOWN)} |", "|---|---" + "|---" * len(SHOWN) + "|"]
    for name, values in found.items():
        rows += [
            f"| {name} | {v} | {' | '.join(f'{figures[m]:.3f}' for m in SHOWN)} |" for v, figures in values.items()
        ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("convergence"))
    parser.add_argument("--slices", type=int, default=6)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--accel", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=5)
    chosen = parser.parse_args()
    keep_freed_memory()  # as the command does
    chosen.out.mkdir(parents=True, exist_ok=True)
    prior, default = find_prior(("image",), BUNDLED), METHODS["mmps"].settings
    case = case_from(prior, chosen.slices, chosen.accel, chosen.seed)
    found: Found = {name: {} for name in TRIED}
    for name, values in TRIED.items():
        for value in values:
            settings = default if name == "K" else replace(default, **{name: value})
            samples = value if name == "K" else chosen.samples
            made = reconstruct(case.volume, "mmps", prior, samples, chosen.seed, settings)
            found[name][value] = figures_of(made, case)
    print("\n".join(lines(found)))
    draw(chosen.out / "convergence.png", found)


if __name__ == "__main__":
    main()
