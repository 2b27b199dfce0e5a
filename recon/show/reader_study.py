"""A blinded reading: methods side by side under letters, a ranking for each picture, and which letter was whom.

The order is drawn from a seed that is written down, so that it is known afterwards and by nobody before.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

import torch
from matplotlib.figure import Figure
from rich.box import SIMPLE
from rich.table import Table
from torch import Generator

from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write, refuse_existing
from mri_ambient.physics.seeds import seed_of
from mri_ambient.recon.result_data import ResultData
from mri_ambient.recon.show.panel import Image, Pane, draw_rows
from mri_ambient.recon.show.series import window_of

REFERENCE = "reference"  # hidden among the methods, if there is one: can readers tell?
COLUMNS = ("reader", "seed", "picture", "scan", "slice", "letter", "rank")


@dataclass(frozen=True)
class Picture:
    """A slice as readers see it. methods: in the order of the letters A, B, C, ..."""

    result: ResultData
    slice: int
    methods: tuple[str, ...]

    @property
    def letters(self) -> str:
        return ascii_uppercase[: len(self.methods)]


def blinded(results: Sequence[ResultData], seed: int) -> list[Picture]:
    """All slices of all results, and the methods of each, in an order that depends on nothing but ``seed`` and their names.

    Raises UserError if a result has a single method, or if two have one name.
    """
    names = [result.about.name for result in results]
    pictures = []
    for result in results:
        methods = [*result.magnitudes, *([REFERENCE] if result.reference is not None else [])]
        if names.count(result.about.name) > 1 or len(methods) < 2:
            problem = "shares its scan's name with another" if len(methods) > 1 else "holds a single method"
            raise UserError(f"{result.label}: {problem}, so that it can't be ranked; leave it out")
        for index in range(len(result)):
            order = shuffled(len(methods), f"{result.about.name}/{index}", seed)
            pictures.append(Picture(result, index, tuple(methods[i] for i in order)))
    return [pictures[i] for i in shuffled(len(pictures), "pictures", seed)]


def shuffled(count: int, name: str, seed: int) -> list[int]:
    generator = Generator().manual_seed(seed_of(name, 0, seed, "blinded"))
    return torch.randperm(count, generator=generator).tolist()


def picture_figure(pictures: Sequence[Picture], picture: int, brightness: float = 1.0) -> Figure:
    """The methods under letters, in one window."""
    shown = pictures[picture]
    white = window_of(shown.result) / brightness
    panes: list[Pane | None] = [
        Pane(letter, image_of(shown, method), "gray", white)
        for letter, method in zip(shown.letters, shown.methods, strict=True)
    ]
    half = (len(panes) + 1) // 2
    rows = [panes] if len(panes) < 4 else [panes[:half], [*panes[half:], *[None] * (2 * half - len(panes))]]
    return draw_rows(rows, f"picture {picture} of 0 to {len(pictures) - 1}", 2.6)


def image_of(picture: Picture, method: str) -> Image:
    result = picture.result
    volumes = result.magnitudes if result.reference is None else {**result.magnitudes, REFERENCE: result.reference}
    return volumes[method][picture.slice]


def write_ranking(
    path: Path, pictures: Sequence[Picture], rankings: Mapping[int, str], reader: str, seed: int, force: bool = False
) -> None:
    """Write the answers, still blinded, as CSV. rankings: picture -> its letters, the best first; not all need be ranked.

    Raises UserError if an answer does not name each letter once, or if the file exists and not ``force``.
    """
    refuse_existing(path, force)
    lines = []
    for number, answer in rankings.items():
        if not 0 <= number < len(pictures):
            raise UserError(f"picture {number}: doesn't exist; they are 0 to {len(pictures) - 1}")
        shown, given = pictures[number], answer.upper().replace(" ", "")
        if sorted(given) != list(shown.letters):
            raise UserError(
                f"picture {number}: {answer!r} doesn't name each of {shown.letters} once; rank all, best first"
            )
        place = {
            "reader": reader,
            "seed": seed,
            "picture": number,
            "scan": shown.result.about.name,
            "slice": shown.slice,
        }
        lines += [place | {"letter": letter, "rank": rank} for rank, letter in enumerate(given, 1)]
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(lines)


Rank = tuple[int, int]
"""(which, of how many)."""


def unblind(paths: Sequence[Path], results: Sequence[ResultData]) -> dict[str, list[Rank]]:
    """Method -> the ranks that all readers gave it, the best mean first. paths: of :func:`write_ranking`, a file a reader.

    Raises UserError if a file is not one of these results' rankings.
    """
    ranks: dict[str, list[Rank]] = {}
    for path in paths:
        try:
            with path.open(newline="", encoding="utf-8") as file:
                for line in csv.DictReader(file):
                    picture = blinded(results, int(line["seed"]))[int(line["picture"])]
                    if (picture.result.about.name, picture.slice) != (line["scan"], int(line["slice"])):
                        raise ValueError(f"picture {line['picture']} is another scan")
                    method = picture.methods[picture.letters.index(line["letter"])]
                    ranks.setdefault(method, []).append((int(line["rank"]), len(picture.letters)))
        except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
            raise UserError(
                f"{path}: is no ranking of these reconstructions ({error}); give those that were ranked"
            ) from error
    return dict(sorted(ranks.items(), key=lambda item: mean_rank(item[1])))


def mean_rank(given: Sequence[Rank]) -> float:
    return sum(rank for rank, _ in given) / len(given)


def ranking_table(ranks: Mapping[str, Sequence[Rank]]) -> Table:
    table = Table(title="Who was who; 1 is best", title_justify="left", box=SIMPLE)
    for name in ("method", "mean rank", "times first", "times last", "pictures"):
        table.add_column(name, justify="left" if name == "method" else "right")
    for method, given in ranks.items():
        counts = (sum(rank == 1 for rank, _ in given), sum(rank == last for rank, last in given), len(given))
        table.add_row(method, f"{mean_rank(given):.2f}", *map(str, counts))
    return table
