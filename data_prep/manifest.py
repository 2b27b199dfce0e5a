"""``manifest.jsonl`` of a folder of prepared volumes: one line a finished volume, with the hashes of what went in and came out.

Lines are only ever appended, each in one write under a lock, so that several runs can share the folder and a kill loses at
most the last line, whose volume is then prepared again. The last line of a volume counts.
"""

import fcntl
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

from mri_ambient.files import full_disk_is_a_user_error
from mri_ambient.store import Json

NAME = "manifest.jsonl"


class Entry(TypedDict):
    """Of a volume: its file and its scan's, with their hashes, and what of its provenance the summary tells.

    folder: a hash of that of the scan.
    """

    prepared: str
    prepared_sha256: str
    source: str
    source_sha256: str
    folder: NotRequired[str]
    settings: Json
    version: str
    format: str
    shape: list[int]
    coils: list[int]
    accel: float
    acs: list[int]
    maps: str
    simulated: bool
    notes: NotRequired[list[str]]


def read_manifest(folder: Path) -> dict[str, Entry]:
    """Entries by the prepared file's name; lines that a kill left half written are passed over."""
    entries = {}
    try:
        text = (folder / NAME).read_text(errors="replace")
    except OSError:
        return entries
    for line in text.splitlines():
        try:
            entry = json.loads(line)
            entries[entry["prepared"]] = entry
        except (ValueError, KeyError, TypeError):
            continue
    return entries


def append_to_manifest(folder: Path, entry: Entry) -> None:
    with full_disk_is_a_user_error(folder), (folder / NAME).open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0, 2)
        if file.tell():
            file.seek(-1, 2)
        torn = file.read(1) not in (b"", b"\n")
        file.write(b"\n" * torn + json.dumps(entry).encode() + b"\n")


def files_hash(paths: Sequence[Path]) -> str:
    """SHA-256 of the files' contents, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()
