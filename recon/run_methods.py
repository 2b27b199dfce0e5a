"""A prepared volume -> every method's reconstruction, judged, with all that has to be said of it; and its files."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Complex
from torch import Tensor

from mri_ambient import __version__
from mri_ambient.bart import require
from mri_ambient.devices import device_of
from mri_ambient.errors import UserError
from mri_ambient.measurement import measurement_of
from mri_ambient.priors.card import Prior
from mri_ambient.priors.find import find_prior
from mri_ambient.priors.runs import place
from mri_ambient.recon.choices import Choices
from mri_ambient.recon.evaluate.determined import determined_share
from mri_ambient.recon.evaluate.held_out import judge, verdicts
from mri_ambient.recon.evaluate.model_check import check_model
from mri_ambient.recon.evaluate.tuned import Nearest, Tuned, doubts, find_tuned, nearest, of_std
from mri_ambient.recon.methods.registry import METHODS
from mri_ambient.recon.outputs import Outputs, free
from mri_ambient.recon.reconstruct import Reconstruction, check_prior, reconstruct
from mri_ambient.recon.reference import RSS, explained, scaled, way_back
from mri_ambient.recon.result import Result
from mri_ambient.recon.result_data import about_of, result_data
from mri_ambient.recon.result_file import write_result
from mri_ambient.recon.show.figure import draw_figure
from mri_ambient.recon.show.page import write_report
from mri_ambient.recon.show.summary import draw_panel_of, notes
from mri_ambient.store import Json, PreparedVolume


@dataclass(frozen=True)
class Tools:
    """What the choices name, read.

    Attributes:
        priors: each learned method's.
        studies: the settings of validation, by the file they are from.
        device: where the work is done.
    """

    priors: Mapping[str, Prior]
    studies: Mapping[Path, Tuned]
    device: torch.device


def tools_for(choices: Choices, prior: Prior | None = None) -> Tools:
    """Read what is chosen; ``prior``, if it is given, is that of every learned method.

    Raises UserError if a prior, the settings, the device or BART aren't there, or are not what the methods need.
    """
    device = device_of(choices.device)
    if any(METHODS[name].needs_bart for name in choices.methods):
        require()
    kinds = {name: METHODS[name].kinds for name in choices.methods}
    priors = {name: prior or find_prior(kind, choices.prior) for name, kind in kinds.items() if kind}
    for name in choices.methods:
        check_prior(name, priors.get(name))
    tuned = find_tuned(choices.tuned, [priors[choices.kept]] if choices.kept in priors else [])
    return Tools({name: one.to(device) for name, one in priors.items()}, tuned, device)


def run_methods(
    volume: PreparedVolume, reference: Complex[Tensor, "slice v x"] | None, choices: Choices, tools: Tools
) -> Result:
    """Reconstruct by every method, hide lines from each and see who predicts them.

    reference: of the complete scan, in the units of its k-space, of the magnitude that was chosen. Raises UserError if a
    method can't do this scan, or if its coil maps can't be right (see
    :func:`mri_ambient.recon.evaluate.model_check.check_model`).
    """
    kept, priors = choices.kept, tools.priors
    if choices.magnitude == RSS:
        way_back(volume)  # or it is refused before the work
    doubtful = check_model(volume, choices.force_model)
    chosen, origin, said = tuned_settings(volume, choices, tools)
    results: dict[str, Reconstruction] = {}
    for name in choices.methods:
        settings = chosen[name].settings if name in chosen else None
        brief = name != kept and METHODS[name].cost == "minutes"  # beside others one sample is enough
        samples = 1 if brief else choices.samples
        results[name] = reconstruct(volume, name, priors.get(name), samples, choices.seed, settings, tools.device)
    said = [*volume.provenance.get("notes", ()), *doubtful, *notes(volume, results, priors), *said]
    try:
        held = judge(volume, results, priors, choices.seed, tools.device)
        said += verdicts(held, results)
    except UserError as error:
        held = None
        said.append(f"no held-out error: {error}")
    if kept in chosen:
        said += doubts(results[kept], chosen[kept], held)
    said += of_std(results[kept], chosen.get(kept), origin, bool(volume.provenance.get("simulated")))
    if choices.magnitude == RSS:
        results = {name: scaled(found, volume) for name, found in results.items()}
        said.append(explained(volume))
    scale = chosen[kept].std_scale if kept in chosen else None
    about = about_of(volume, results[kept], scale, origin, tuple(said), choices.magnitude)
    share = determined_share(measurement_of(volume).to(tools.device), volume.name, choices.seed).cpu()
    return Result.of(result_data(about, results, share, reference, held, volume.mask))


def tuned_settings(volume: PreparedVolume, choices: Choices, tools: Tools) -> tuple[dict[str, Nearest], str, list[str]]:
    """What validation chose for each method at the nearest R, on which scans, and sentences that say so."""
    if not tools.studies:
        return {}, "", []
    ((path, study),) = tools.studies.items()
    hashes = {name: prior.card.weights_sha256 for name, prior in tools.priors.items()}
    nearby = {name: nearest(study, name, volume.accel, hashes.get(name, "")) for name in choices.methods}
    chosen = {name: choice for name, choice in nearby.items() if choice}
    kinds = " and ".join(sorted({scan.kind for scan in study.scans}))
    origin = f"on {kinds} scans ({place(path)})"
    return chosen, origin, [f"{name}: settings tuned at R={choice.accel:g} {origin}" for name, choice in chosen.items()]


def write_all(result: Result, outputs: Outputs, force: bool, otherwise: Iterator[Outputs]) -> tuple[Outputs, list[str]]:
    """The reconstruction, its panel, its page, the figure if one is wanted; returns which, and what the page leaves out, in
    sentences. Unless ``force``, where another run has taken the name meanwhile it is the first free one of ``otherwise``."""
    while True:
        try:
            write_result(outputs.file, result, exclusive=not force)
            break
        except FileExistsError:
            outputs = replace(free(otherwise), figure=outputs.figure)
    draw_panel_of(outputs.panel, result)
    left_out = write_report(outputs.page, result)
    if outputs.figure is not None:
        draw_figure(outputs.figure, result)
    return outputs, [f"{outputs.page} leaves out {text}" for text in left_out]


def identity(choices: Choices, tools: Tools) -> Json:
    """All that a reconstruction depends on, besides its scan: as JSON gives it back."""
    made = asdict(choices) | {"methods": list(choices.methods), "version": __version__}
    del made["device"]  # on which numbers depend by rounding alone
    made["prior"] = {name: prior.card.weights_sha256 for name, prior in tools.priors.items()}
    settings = "".join(study.model_dump_json() for study in tools.studies.values())
    made["tuned"] = hashlib.sha256(settings.encode()).hexdigest()
    return made
