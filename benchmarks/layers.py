"""The layers of the package, with the number of imports between them, drawn from import-linter's graph.

python benchmarks/layers.py --out docs/layers.png
"""

import argparse
import tomllib
from collections import Counter
from pathlib import Path

import grimp
from matplotlib.figure import Figure

ROOT = Path(__file__).parents[1]
WIDTH, HEIGHT = 1.5, 0.62


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
    """A row a layer, the highest on top; the darker an arrow, the more imports. Those of `errors`, of all, are left out."""
    figure = Figure(figsize=(11, 0.85 * len(layers)), dpi=110, layout="constrained")
    axes = figure.subplots()
    places = {}
    for row, names in enumerate(layers):
        for column, name in enumerate(names):
            places[name] = (1.9 * (column - (len(names) - 1) / 2) + 0.35 * (-1) ** row, -1.25 * row)
    for (importer, imported), count in imports.items():
        if imported == "errors" or importer not in places or imported not in places:
            continue
        (x0, y0), (x1, y1) = places[importer], places[imported]
        shade = min(0.75, 0.12 + count / 60)
        arrow = {
            "arrowstyle": "-|>",
            "color": (0.1, 0.25, 0.5, shade),
            "lw": 0.6 + count / 25,
            "shrinkA": 2,
            "shrinkB": 2,
        }
        axes.annotate("", (x1, y1 + HEIGHT / 2), (x0, y0 - HEIGHT / 2), arrowprops=arrow, zorder=1)
        if count >= 12:
            axes.text((x0 + x1) / 2, (y0 + y1) / 2, str(count), fontsize=7, color="0.25", zorder=2)
    for name, (x, y) in places.items():
        box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": "0.3"}
        axes.text(x, y, name, ha="center", va="center", fontsize=10, bbox=box, zorder=3)
    axes.set_xlim(-6.2, 6.2)
    axes.set_ylim(-1.25 * len(layers) + 0.4, 0.8)
    axes.set_axis_off()
    figure.savefig(path)


if __name__ == "__main__":
    main()
