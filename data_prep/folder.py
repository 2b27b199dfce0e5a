"""A folder of raw scans -> a folder of prepared volumes and its manifest: spread over processes, resumable, never half done."""

import hashlib
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from mri_ambient import __version__
from mri_ambient.console import stderr
from mri_ambient.data_prep.manifest import Entry, append_to_manifest, files_hash, read_manifest
from mri_ambient.data_prep.prepare import PrepareSettings, maps_device, prepare
from mri_ambient.data_prep.readers import files_of, read_scan, scan_files, suffixes
from mri_ambient.errors import UserError
from mri_ambient.files import remove_leftovers, writable_folder
from mri_ambient.processes import Result, Spread, others_go_on, run_jobs
from mri_ambient.store import Json, write_volume


@dataclass
class Summary:
    """done and skipped: manifest entries of the volumes made now and found finished. failed: a sentence each.
    ignored: how many files of the folder were no scans."""

    done: list[Entry] = field(default_factory=list)
    skipped: list[Entry] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    ignored: int = 0


def prepare_folder(
    folder: Path,
    out: Path,
    settings: PrepareSettings,
    spread: Spread | None = None,
    force: bool = False,
    device: str = "auto",
) -> Summary:
    """Prepare every scan of ``folder`` into ``out``; a file is a scan by its content, or claims to be one by its name.

    A finished volume of the same source and settings, unchanged since, is skipped. A bad file, and a dying worker, are
    reported and the rest go on; so is a scan whose volume would replace that of a scan of the same name in another folder,
    unless ``force``. Raises UserError if there is nothing to do or nowhere to write, or if ``out`` holds volumes of
    other settings and ``force`` was not asked for.
    """
    if folder.is_file():
        raise UserError(f"{folder}: is a file; give the folder that holds it")
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the folder that holds the raw scans")
    if out.resolve() == folder.resolve():
        raise UserError(f"{out}: is the folder of the raw scans; choose another one with --out")
    paths, ignored = scan_files(folder)
    if not paths:
        raise UserError(f"{folder}: holds no scan; give the folder that holds the raw scans ({', '.join(suffixes())})")
    others = [entry for entry in read_manifest(out).values() if _settings_of(entry) != asdict(settings)]
    if any((out / entry["prepared"]).exists() for entry in others) and not force:
        raise UserError(
            f"{out}: holds volumes that were prepared with other settings; pass --force to replace them, or another --out"
        )
    remove_leftovers(writable_folder(out))
    summary = Summary(ignored=ignored)

    def fail(sentence: str) -> None:
        stderr.print(f"[red]failed[/] {escape(sentence)}", highlight=False)
        summary.failed.append(sentence)

    def collect(job: tuple[object, ...], result: Result[tuple[Entry, bool]]) -> None:
        with others_go_on(job, fail):
            entry, made = result()
            (summary.done if made else summary.skipped).append(entry)

    targets: dict[Path, Path] = {}
    for path in paths:
        target = out / f"{path.stem}.h5"
        if target in targets:
            fail(f"{path}: would become {target.name}, as {targets[target].name} does; rename one of the two")
        else:
            targets[target] = path
    spread = spread or Spread()
    jobs = [(source, target, settings, force, device) for target, source in targets.items()]
    if spread.dask is None:
        maps_device(device)  # what would fail for each fails at once
    else:  # its workers have working directories of their own
        jobs = [(source.absolute(), target.absolute(), settings, force, device) for source, target, *_ in jobs]
    run_jobs(prepare_file, jobs, spread, "preparing", collect)
    return summary


def prepare_file(
    source: Path, target: Path, settings: PrepareSettings, force: bool = False, device: str = "auto"
) -> tuple[Entry, bool]:
    """Prepare one scan into ``target``; the manifest's entry, and False if the volume was finished before.

    Raises UserError if ``target`` is of another folder's scan of that name, unless ``force``.
    """
    try:
        source_hash = files_hash(files_of(source))
    except OSError as error:
        raise UserError(f"{source}: can't be read ({error.strerror}); check its permissions") from error
    entry = read_manifest(target.parent).get(target.name)
    if (
        entry is not None
        and entry.get("version") == __version__
        and _settings_of(entry) == asdict(settings)
        and entry.get("source_sha256") == source_hash
        and target.is_file()
        and entry.get("prepared_sha256") == files_hash([target])
    ):
        return entry, False
    # a hash of the folder's name, which may tell of a patient
    folder = hashlib.sha256(bytes(source.parent.resolve())).hexdigest()[:12]
    if entry is not None and entry.get("folder", folder) != folder and target.is_file() and not force:
        raise UserError(
            f"{source}: {target} was prepared from a scan of that name in another folder; rename one of the two, choose "
            "another --out, or pass --force to replace it"
        )
    volume = prepare(read_scan(source), settings, device)
    write_volume(target, volume)
    entry: Entry | None = {
        "prepared": target.name,
        "prepared_sha256": files_hash([target]),
        "source": source.name,
        "source_sha256": source_hash,
        "folder": folder,
        "settings": asdict(settings),
        "version": __version__,
        "format": volume.provenance["format"],
        "shape": list(volume.kspace.shape),
        "coils": volume.provenance["coils"],
        "accel": round(volume.accel, 4),
        "acs": list(volume.acs),
        "maps": volume.provenance["maps"],
        "simulated": volume.provenance["simulated"],
        "notes": volume.provenance["notes"],
    }
    append_to_manifest(target.parent, entry)
    return entry, True


def _settings_of(entry: Entry) -> Json:
    """Those of a volume; a setting that an older manifest doesn't know was at its default."""
    return asdict(PrepareSettings()) | entry.get("settings", {})


def summary_tables(summary: Summary) -> list[Table]:
    """What is in the folder now, alike volumes in one row; what was odd about them; then what failed, and why."""
    volumes = Table()
    for column in ("volumes", "format", "matrix", "coils", "R", "ACS", "maps"):
        volumes.add_column(column, justify="right" if column == "volumes" else "left")
    kinds: Counter[tuple[str, ...]] = Counter()
    for entry in summary.done + summary.skipped:
        before, after = entry["coils"]
        coils = f"{before}" if before == after else f"{before} -> {after}"
        matrix = "{}x{}".format(*entry["shape"][2:])
        accel, acs = entry["accel"], "{}x{}".format(*entry["acs"])
        sampling = f"{accel:.3g}" if entry["settings"]["accel"] is None else f"{accel:.3g} {entry['settings']['mask']}"
        kinds[entry["format"], matrix, coils, sampling, acs, entry["maps"]] += 1
    for kind, count in sorted(kinds.items()):
        volumes.add_row(str(count), *kind)
    remarks = Table("scans", "what was odd, and what was made of it")
    said = Counter(note for entry in summary.done + summary.skipped for note in entry.get("notes", ()))
    for note, count in said.items():
        remarks.add_row(str(count), escape(note))
    failures = Table("failed, and why")
    for sentence in summary.failed:
        failures.add_row(escape(sentence))
    return [table for table in (volumes, remarks, failures) if table.row_count]
