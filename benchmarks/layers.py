"""The layers of the package, with the number of imports between them, drawn from import-linter's graph.

python benchmarks/layers.py --out docs/layers.png
"""

import argparse
import tomllib
from collections import Counter
from pathlib import Path

import grimp
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
BLUE = (0.12, 0.3, 0.55)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("layers.png"))
    chosen = parser.parse_args()
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    layers = [[name.strip() for name in line.replace("|", ":").split(":")] for line in contract["layers"]]
    draw(chosen.out, layers, counted())


def counted() -> Counter[tuple[str, str]]:
    """(importer, imported) -> imports, both the parts of mri_ambient that the layers name."""
    graph = grimp.build_graph("mri_ambient", exclude_type_checking_imports=True)
    found: Counter[tuple[str, str]] = Counter()
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            pair = tuple(([*module.split("."), ""])[1] for module in (importer, imported))
            if all(pair) and pair[0] != pair[1]:
                found[pair] += 1
    return found


def draw(path: Path, layers: list[list[str]], imports: Counter[tuple[str, str]]) -> None:
    """Boxes down the diagonal, the highest layer first; right of a box what it imports, above a box who imports it.

    An import that goes up would have its number below the diagonal.
    """
    names = [name for layer in layers for name in layer]
    place = {name: row for row, name in enumerate(names)}
    figure = Figure(figsize=(14.5, 9), dpi=110, layout="constrained")
    axes = figure.subplots()
    shade_layers(axes, layers)
    for (importer, imported), count in imports.items():
        row, column = place[importer], place[imported]
        axes.plot([row, column, column], [row, row, column], color=BLUE, alpha=0.13, lw=1, zorder=1)
        axes.annotate(
            "", (column, column - 0.34), (column, column - 0.6), arrowprops={"arrowstyle": "-|>", "color": BLUE}
        )
        strength = 0.12 + 0.7 * min(1, count / 25)
        dot = {
            "boxstyle": "circle,pad=0.25",
            "facecolor": [1 - strength * (1 - part) for part in BLUE],
            "edgecolor": "none",
        }
        text = {"fontsize": 9, "color": "white" if count > 14 else "black", "bbox": dot, "zorder": 2}
        axes.text(column, row, str(count), ha="center", va="center", **text)
    for name, at in place.items():
        box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": "0.2"}
        axes.text(at, at, name, ha="center", va="center", fontsize=9, bbox=box, zorder=3)
    axes.set_xlim(-1, len(names) - 0.2)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_axis_off()
    figure.savefig(path)


def shade_layers(axes: Axes, layers: list[list[str]]) -> None:
    """Every second layer's rows in grey."""
    top = -0.5
    for number, layer in enumerate(layers):
        if number % 2:
            axes.axhspan(top, top + len(layer), color="0.95", lw=0, zorder=0)
        top += len(layer)


if __name__ == "__main__":
    main()
