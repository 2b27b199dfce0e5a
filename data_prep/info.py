"""What a file holds, what was made of its oddities, and what is missing: the answer of ``mri-ambient info``."""

from pathlib import Path

import torch
from jaxtyping import Bool
from rich.table import Table
from torch import Tensor

from mri_ambient.data_prep.acs import find_acs
from mri_ambient.data_prep.coils.whitening import covariance, noise_samples, noise_std
from mri_ambient.data_prep.readers import read_scan
from mri_ambient.data_prep.readers.sampling import is_padding
from mri_ambient.data_prep.readout import kept_field_of_view, measured_rows, target_rows
from mri_ambient.data_prep.scan import Scan
from mri_ambient.errors import UserError
from mri_ambient.physics.masks import measured_band
from mri_ambient.store import PreparedVolume, is_prepared, read_volume

Facts = list[tuple[str, str]]


def describe(path: Path) -> Table:
    """A raw scan of any format, or a prepared volume. Raises UserError if the file is neither."""
    facts = prepared_facts(read_volume(path)) if is_prepared(path) else scan_facts(read_scan(path))
    table = Table("", "", title=path.name, show_header=False)
    for name, value in facts:
        table.add_row(name, value)
    return table


def scan_facts(scan: Scan) -> Facts:
    slices, coils, rows, columns = scan.kspace.shape
    kept = target_rows(scan)
    readout = f"{rows} samples" + (f", oversampled: {kept} rows are kept" if kept != rows else "")
    acquired, measured = int(scan.acquired.sum()), int(scan.mask.expand(rows, columns).sum())
    band = measured_rows(scan)
    counted = rows if band is None else int(band.sum())
    if band is not None and counted < rows:
        readout += f", {counted} of them measured, {_rest(band)}"
    noise = scan.noise if scan.noise is not None else _edge(scan)
    facts = [
        ("format", scan.format + (", simulated" if scan.simulated else "")),
        ("slices", str(slices)),
        ("coils", str(coils)),
        ("readout (y)", readout),
        (
            "phase encodes (x)",
            f"{columns} columns, {acquired} acquired" + ("" if acquired == columns else f", {_rest(scan.acquired)}"),
        ),
        ("field of view", _millimetres(kept_field_of_view(scan))),
        (
            "sampling",
            f"{measured} samples, scattered along both axes" if band is None else f"{measured // counted} lines",
        ),
        ("acceleration R", "1 (fully sampled)" if scan.fully_sampled else f"{acquired * counted / measured:.2f}"),
        ("ACS", _acs(scan, kept)),
        ("noise", _noise(noise, "noise scan" if scan.noise is not None else "from where signal is weak: upper bounds")),
        ("sensitivity maps", "in the file" if scan.sens_maps is not None else "none in the file; prep estimates them"),
    ]
    missing = [
        ("field of view", scan.field_of_view is None),
        ("noise scan", scan.noise is None),
        ("readout oversampling (no header)", scan.recon_rows is None and scan.field_of_view is None),
    ]
    facts.append(("missing", ", ".join(name for name, absent in missing if absent) or "nothing"))
    return facts + [("note", note) for note in scan.notes]


def prepared_facts(volume: PreparedVolume) -> Facts:
    slices, coils, rows, columns = volume.kspace.shape
    about = volume.provenance
    own = about["settings"]["accel"] is None
    return [
        ("format", f"prepared volume of {about['source']} ({about['format']})" + ", simulated" * about["simulated"]),
        ("slices", str(slices)),
        ("coils", f"{about['coils'][0]}, compressed to {coils}" if about["coils"][0] != coils else str(coils)),
        ("matrix (y, x)", f"{rows}x{columns}" + _padding(volume)),
        ("field of view", _millimetres(about["field_of_view_mm"])),
        ("sampling", _sampling(volume)),
        ("acceleration R", f"{volume.accel:.2f}" + ("" if own else f", {about['settings']['mask']}, retrospective")),
        ("ACS", f"{volume.acs[0]}x{volume.acs[1]} (y, x)"),
        (
            "noise",
            f"std {float(volume.noise_std.median()):.3g} of the image's brightness, from {about['noise_from']}",
        ),
        ("sensitivity maps", about["maps"]),
        ("missing", "nothing" if about["noise_from"] == "noise scan" else "noise scan"),
        *(("note", note) for note in about.get("notes", ())),
    ]


def _padding(volume: PreparedVolume) -> str:
    padding = int((~volume.acquired).sum())
    return f", {padding} columns are padding" if padding else ""


def _sampling(volume: PreparedVolume) -> str:
    """Per slice, of the first one."""
    acquired, mask = int(volume.acquired.sum()), volume.mask[0]
    band = measured_band(mask)
    if band is None:
        return f"{int(mask.sum())} of {acquired * len(mask)} samples a slice, scattered along both axes"
    some = "" if bool(band.all()) else f", {int(band.sum())} of {len(band)} rows of each"
    return f"{int(mask.any(0).sum())} of {acquired} lines a slice{some}"


def _rest(counted: Bool[Tensor, " n"]) -> str:
    """What the entries are that do not count."""
    return "rest is padding" if is_padding(counted) else "rest is a side of k-space that was not acquired"


def _edge(scan: Scan) -> torch.Tensor:
    mask = scan.mask.expand(len(scan.kspace), *scan.mask.shape)
    return noise_samples(torch.where(scan.mask, scan.kspace, 0), mask)


def _noise(samples: torch.Tensor, source: str) -> str:
    psi = covariance(samples)
    std, rms = noise_std(samples), psi.diagonal().real.sqrt()
    correlation = psi.abs() / (rms[:, None] * rms[None]).clamp_min(torch.finfo(torch.float32).tiny)
    correlation.fill_diagonal_(0)
    largest = f", correlation between coils up to {float(correlation.max()):.2f}" if len(std) > 1 else ""
    return f"std {float(std.min()):.3g} to {float(std.max()):.3g}{largest} ({source})"


def _acs(scan: Scan, rows: int) -> str:
    if scan.fully_sampled:
        return "all of k-space"
    try:
        height, width = find_acs(scan, None, rows)
    except UserError:
        return "none usable: prep needs 4 fully sampled central lines"
    return f"{height}x{width} (y, x)"


def _millimetres(field_of_view: tuple[float, float] | list[float] | None) -> str:
    return "unknown" if field_of_view is None else "{:.0f}x{:.0f} mm (y, x)".format(*field_of_view)
