"""One scan, one R, one method: a row of numbers, made once and kept in a JSON file of its own."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter

from mri_ambient import __version__
from mri_ambient.files import atomic_write
from mri_ambient.recon.evaluate.lesions.recover import Recovered
from mri_ambient.store import Json

T = TypeVar("T")
adapter = lru_cache(TypeAdapter)


@dataclass(frozen=True)
class Row:
    """All that a row's numbers depend on; in every row, names are the keys of its file.

    Attributes:
        scan: its name.
        scan_sha256: of its k-space.
        subject: a pseudonym, or the scan's name.
        kind: where it is from.
        method: which reconstructed it.
        label: how the method is called beside others, with its prior if it has several.
        accel: R as asked for.
        settings: the method's, None if it has none.
        prior_sha256: of the prior's weights, empty without one.
        samples: K as asked for.
        seed: of every random number.
        mask: the kind of mask.
        slices: how many of the middle, None for all.
        reference: MVUE or RSS.
    """

    scan: str
    scan_sha256: str
    subject: str
    kind: Literal["raw", "simulated"]
    method: str
    label: str
    accel: float
    settings: Json | None
    prior_sha256: str
    samples: int
    seed: int
    mask: str
    slices: int | None
    reference: str

    @classmethod
    def from_json(cls: type[T], stored: Mapping[str, object]) -> T:
        """Raises ValueError if it is no such row."""
        return adapter(cls).validate_python(dict(stored))

    def to_json(self) -> Json:
        return asdict(self)


@dataclass(frozen=True)
class ComparedScan(Row):
    """A reconstruction and how good it is.

    Attributes:
        temperature: the std scale, by which the std is multiplied before its coverage is judged.
        tuned_at: at which R the settings were chosen, None if they are defaults.
        lesions_put_in: whether lesions were.
        picture: the file of its middle slice, None if there is none.
        version: of this package.
        realised_accel: acquired over measured lines.
        acs: rows and columns.
        maps: how the coil maps were estimated.
        noiseless: whether the reference is a simulation's truth; else it is the complete scan, with its noise.
        data_range: the reference's maximum, in the units of the file.
        matrix: the scan's.
        working_matrix: at which the prior worked.
        slices_done: how many.
        images: how many samples the method gave.
        spreads: whether the std means something.
        residual: misfit on the measured samples over the noise level, mean over slices.
        seconds_per_slice: with all samples.
        network_calls: a slice and sample.
        errors: every metric, METRIC_one of the first sample and METRIC_mean of the mean; keys of their own in the file.
        NRMSE_noisy: of the mean against the complete scan with its noise; None where that is the reference.
        crps: see :class:`mri_ambient.recon.evaluate.proper_scores.ProperScores`, and so the next four.
        crps_complex: of real and imaginary parts.
        energy_score: of whole slices.
        complex_error: of the mean.
        debiased_error: of the mean of as many samples as one likes.
        std_ratio: std over error, 1 if calibrated, whatever K; None without a spread; so are the next three.
        coverage_50: the share of pixels that 50 % intervals hold.
        coverage_90: of 90 % intervals.
        error_quantiles: a sketch of the standardised errors.
        lesions: what came back of each, None if none were put in.
        lesion_recovery: their mean recovery.
    """

    temperature: float
    tuned_at: float | None
    lesions_put_in: bool
    picture: str | None
    version: str
    realised_accel: float
    acs: list[int]
    maps: str
    noiseless: bool
    data_range: float
    matrix: list[int]
    working_matrix: list[int]
    slices_done: int
    images: int
    spreads: bool
    residual: float
    seconds_per_slice: float
    network_calls: float
    errors: dict[str, float] = field(repr=False)
    NRMSE_noisy: float | None
    crps: float
    crps_complex: float
    energy_score: float
    complex_error: float
    debiased_error: float
    std_ratio: float | None
    coverage_50: float | None
    coverage_90: float | None
    error_quantiles: list[float] | None = field(repr=False)
    lesions: list[Recovered] | None = None
    lesion_recovery: float | None = None

    @classmethod
    def from_json(cls: type[T], stored: Mapping[str, object]) -> T:
        own = {field.name for field in fields(ComparedScan)}
        return adapter(cls).validate_python({**stored, "errors": {k: v for k, v in stored.items() if k not in own}})

    def to_json(self) -> Json:
        flat: Json = {}
        for key, value in asdict(self).items():
            flat |= value if key == "errors" else {key: value}
        if self.lesions is None:
            del flat["lesions"], flat["lesion_recovery"]
        return flat

    def measure(self, name: str) -> float | None:
        """A metric (``NRMSE_mean``) or another number by its name; None where there is none."""
        return self.errors[name] if name in self.errors else getattr(self, name, None)


@dataclass(frozen=True)
class HeldOutScan(Row):
    """How well a reconstruction predicts measured lines that were hidden from it.

    Attributes:
        criterion: what was measured.
        version: of this package.
        held_out: the error on hidden lines, a slice each.
        crps: of the samples' predictions of them, a slice each.
        realised_accel: acquired over measured lines.
    """

    criterion: str
    version: str
    held_out: list[float]
    crps: list[float]
    realised_accel: float


R = TypeVar("R", bound=Row)
RowsAndFailures = tuple[list[R], list[str]]
"""Of one scan at one R; a failure is a sentence."""


def kept(
    folder: Path,
    name: str,
    identity: Json,
    kind: type[R],
    compute: Callable[[Path | None], Json],
    pictured: bool = False,
    own: Mapping[str, str] | None = None,
) -> R:
    """The row of ``identity``, computed if it is not there yet.

    Args:
        folder: of all rows.
        name: a readable start of the file's name.
        identity: what the row depends on, besides this package's version.
        kind: of row.
        compute: all else of the row; it is given where to write a picture, if one is wanted.
        pictured: whether one is, without which the row is not finished; its file has the same name.
        own: hashes of a program's own code that the row depends on.
    """
    identity = identity | {"version": __version__}
    named = json.dumps(identity | ({"own": dict(own)} if own else {}), sort_keys=True)
    key = hashlib.sha256(named.encode()).hexdigest()
    path = folder / f"{quote(name, safe='')}_{key[:12]}.json"
    picture = path.with_suffix(".npz") if pictured else None
    if picture is None or picture.exists():
        try:
            return kind.from_json(json.loads(path.read_text()))
        except (OSError, ValueError):
            pass
    row = identity | compute(picture) | ({"picture": picture.name} if picture else {})
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(row))
    return kind.from_json(row)
