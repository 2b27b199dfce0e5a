"""`compare` and `tune`: raw scans prepared, reconstructed by many methods, and judged."""

from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal

from mri_ambient.console import stderr
from mri_ambient.data_prep.prepare import PrepareSettings, measured_hash, prepare
from mri_ambient.data_prep.readers import read_scan, scan_files
from mri_ambient.devices import device_of
from mri_ambient.errors import UserError
from mri_ambient.files import refuse_existing
from mri_ambient.priors.runs import passed_over, place, tuning_target
from mri_ambient.processes import Spread
from mri_ambient.recon.evaluate.compare import Comparison, Scans, first_usable
from mri_ambient.recon.evaluate.compare import compare as compare_all
from mri_ambient.recon.evaluate.lesions.insert import Lesioned, lesion_kspace, place_lesions
from mri_ambient.recon.evaluate.plan import Case, Plan, Source
from mri_ambient.recon.evaluate.planning import claim, misfits, named_methods, planned_runs, priors_for, untuned
from mri_ambient.recon.evaluate.tuned import Tuned, find_tuned, write_tuned
from mri_ambient.recon.evaluate.tuning import tune as tune_all
from mri_ambient.recon.show.comparison import write_comparison
from mri_ambient.training.run_data import training_scans
from mri_ambient.workflows.opening import truth_of


@dataclass(frozen=True, kw_only=True)
class _Settings:
    methods: tuple[str, ...] = ()
    samples: int = 8
    slices: int | None = None
    mask: str = "random"
    seed: int = 0
    device: str = "auto"
    spread: Spread = field(default_factory=lambda: Spread(0))
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class CompareSettings(_Settings):
    """What `compare` does with its scans.

    Attributes:
        accels: R, one or several.
        methods: names; none for all that this machine can run.
        priors: folders, of a prior or a run; none for the newest finished run's, else the bundled one.
        samples: K.
        slices: only so many of each scan, the middle ones; None for all.
        mask: the kind of mask.
        lesions: also insert some: does their contrast return?
        tuned: settings found by :func:`tune`; None for those beside the prior.
        magnitude: of the coil-combined image, or the root sum of squares over the receive coils.
        seed: of every random number.
        device: auto (the accelerator, if there is one), cpu, cuda or mps.
        spread: over which processes; this one.
        force: replace a comparison of other methods or settings.
    """

    accels: tuple[float, ...] = (2.0, 4.0, 6.0, 8.0)
    priors: tuple[Path, ...] = ()
    lesions: bool = False
    tuned: Path | None = None
    magnitude: Literal["mvue", "rss"] = "mvue"


@dataclass(frozen=True, kw_only=True)
class TuneSettings(_Settings):
    """What `tune` does with its scans; what isn't named here is as in :class:`CompareSettings`.

    Attributes:
        accels: R, one or several, for fully sampled scans; undersampled ones are taken as they are.
        prior: a folder, of a prior or a run; None for the newest finished run's, else the bundled one.
        samples: K.
        force: replace an existing file.
    """

    accels: tuple[float, ...] = (4.0, 8.0)
    prior: Path | None = None
    samples: int = 4


@dataclass(frozen=True)
class Tuning:
    """What `tune` found.

    Attributes:
        tuned: what was chosen.
        path: its file.
        failed: a sentence for each scan, or method on a scan, that failed.
    """

    tuned: Tuned
    path: Path
    failed: list[str]


def compare_scans(
    path: Path | str, out: Path | str = Path("comparison"), settings: CompareSettings | None = None
) -> Comparison:
    """All methods at all R on fully sampled scans: rows, CSV, figures and a page in ``out``.

    A rerun repeats nothing that is finished. A scan that can't be used, or a method that fails on one, is reported and the rest
    go on.

    Args:
        path: a folder of fully sampled raw scans, or one scan.
        out: the folder to write.
        settings: all else; defaults if None.

    Raises:
        UserError: no scan can be used, a method or a prior is not there, or ``out`` holds another comparison.
    """
    path, out, chosen = Path(path), Path(out), settings or CompareSettings()
    device_of(chosen.device)
    named = named_methods(chosen.methods)
    opened = partial(
        open_source,
        mask=chosen.mask,
        slices=chosen.slices,
        lesions=chosen.lesions,
        seed=chosen.seed,
        magnitude=chosen.magnitude,
    )
    scans = Scans(raw_scans(path), opened, out, chosen.spread)
    priors = priors_for(named, chosen.priors)
    used = list({p.card.weights_sha256: p for _, p in priors if p}.values())
    studies = find_tuned(chosen.tuned, used)
    runs = planned_runs(priors, chosen.accels, studies.values())
    plan = Plan(
        runs,
        chosen.samples,
        chosen.seed,
        chosen.mask,
        chosen.slices,
        chosen.lesions,
        tuning_scans=tuple((s.sha256, s.scan, s.subject) for study in studies.values() for s in study.scans),
        training_scans=tuple(training_scans(*used)),
        magnitude=chosen.magnitude,
        device=chosen.device,
    )
    plan = replace(plan, pictured=first_usable(path, scans, plan))
    notes = [f"settings: {place(found)}" for found in studies]
    notes = notes or ["settings: each method's defaults, not tuned; see `mri-ambient tune`"]
    notes += untuned(runs) + misfits(runs, used) + (passed_over() if used and not chosen.priors else [])
    for note in notes:
        stderr.print(note)
    claim(out, plan, chosen.force)
    outcome = compare_all(scans, plan)
    comparison = Comparison(outcome.rows, outcome.failed, plan, tuple(notes))
    write_comparison(comparison, out)
    return comparison


def tune_methods(path: Path | str, out: Path | str | None = None, settings: TuneSettings | None = None) -> Tuning:
    """Every method's settings chosen on validation scans, the same number of tries each, for `compare` and `reconstruct`.

    By the CRPS of the samples' magnitudes if the scans are fully sampled, else by that on measured lines that are held out.

    Args:
        path: a folder of raw scans, none of them to be tested on, or one scan.
        out: the file to write; ``tuned.json`` beside the prior if None, in the working folder beside the bundled one.
        settings: all else; defaults if None.

    Raises:
        UserError: no scan can be used, a method or a prior is not there, or the file exists.
    """
    path, chosen = Path(path), settings or TuneSettings()
    device_of(chosen.device)
    target = tuning_target(None if out is None else Path(out), chosen.prior)
    if target.suffix != ".json":
        raise UserError(f"{target}: settings are kept as JSON; let the name end in .json")
    refuse_existing(target, chosen.force)
    named = named_methods(chosen.methods)
    paths = raw_scans(path)
    opened = partial(open_source, mask=chosen.mask, slices=chosen.slices, lesions=False, seed=chosen.seed)
    truth = any(fully_sampled(p) for p in paths)
    accels = chosen.accels if truth else (round(opened(paths[0]).own().accel, 1),)
    priors = priors_for(named, [chosen.prior] if chosen.prior else [])
    for note in passed_over() if chosen.prior is None and any(prior for _, prior in priors) else []:
        stderr.print(note)
    plan = Plan((), chosen.samples, chosen.seed, chosen.mask, chosen.slices, False, device=chosen.device)
    scans = Scans(paths, opened, target.with_name(f"{target.stem}_rows"), chosen.spread)
    tuned, failed = tune_all(scans, priors, accels, truth, plan)
    write_tuned(target, tuned)
    return Tuning(tuned, target, failed)


def raw_scans(path: Path) -> list[Path]:
    """The raw scans of a folder, or the one scan. Raises UserError if there is none, or two of one name, which names rows."""
    if not path.exists() and not path.with_name(f"{path.name}.hdr").exists():  # BART's scans go by neither suffix
        raise UserError(f"{path}: no such file or folder; give a folder of raw scans, or one scan")
    if not path.is_dir():
        return [path]
    paths, _ = scan_files(path)
    if not paths:
        raise UserError(f"{path}: holds no scan; give a folder of raw scans (.h5, .mrd, .cfl, .ra, .npy)")
    for one, other in pairwise(sorted(paths, key=lambda p: p.stem)):
        if one.stem == other.stem:
            raise UserError(f"{other}: has the name of {one.name}, and a scan is known by it here; rename one of them")
    return paths


def fully_sampled(path: Path) -> bool:
    """False too if the file is no scan, which is reported when its turn comes."""
    try:
        return read_scan(path).fully_sampled
    except UserError:
        return False


def open_source(
    path: Path,
    *,
    mask: str = "random",
    slices: int | None = None,
    lesions: bool = False,
    seed: int = 0,
    magnitude: Literal["mvue", "rss"] = "mvue",
) -> Source:
    """A raw scan as a comparison takes it: undersampled at any R, beside the image that errors are measured against.

    Args:
        path: of the scan.
        mask: the kind of mask.
        slices: only so many, the middle ones; None for all.
        lesions: also the same scan with lesions.
        seed: of the lesions' places.
        magnitude: of the reference, see :mod:`mri_ambient.recon.reference`.

    Raises:
        UserError: it is no scan.
    """
    scan = read_scan(path)
    digest = measured_hash(scan.kspace, scan.mask.expand(len(scan.kspace), *scan.mask.shape))
    if slices is not None:
        first = max(0, (len(scan.kspace) - slices) // 2)
        scan = scan[first : first + slices]

    def case(accel: float) -> Case:
        # with lesions the maps are the ACS's alone: those of all lines would take a little of a lesion for a coil's
        settings = PrepareSettings(accel, mask, maps="espirit" if lesions and scan.sens_maps is None else None)
        volume = prepare(scan, settings)
        reference, noisy = truth_of(scan, volume, magnitude)
        if not lesions:
            return Case(volume, reference, noisy)
        whole = prepare(scan, PrepareSettings(coils=scan.kspace.shape[1]))
        placed = place_lesions(whole, seed)
        added = scan.mask * lesion_kspace(whole, placed, scan.kspace.shape[-2])
        clean = None if scan.noiseless is None else scan.noiseless + added
        ill = replace(scan, kspace=scan.kspace + added, noiseless=clean)
        volume_ill = prepare(ill, settings)
        reference_ill, _ = truth_of(ill, volume_ill, magnitude)
        return Case(volume, reference, noisy, Lesioned(volume_ill, reference_ill, placed))

    return Source(
        name=path.stem,
        subject=scan.subject or path.stem,
        simulated=scan.simulated,
        fully_sampled=scan.fully_sampled,
        sha256=digest,
        case=case,
        own=lambda: prepare(scan, PrepareSettings()),
    )
