"""``data.json``: the volumes that a run began with, so that it goes on with no others and nobody tests on them; and
``earlier.json``: the scans of the runs whose weights it started from, which nobody tests on either."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from mri_ambient.errors import UserError
from mri_ambient.files import atomic_write
from mri_ambient.priors.card import Prior
from mri_ambient.priors.find import beside
from mri_ambient.training.data import Volumes

DATA, EARLIER = "data.json", "earlier.json"


def claim_data(folder: Path, source: Path, volumes: Volumes, starts: Sequence[Prior]) -> None:
    """Keep with the run how each of its volumes was made, or check that they are still those: half a run on other data is a
    run on neither, and another set of subjects may hold out others. Raises UserError if they are not.

    Also kept, once, are the scans of the priors that the run ``starts`` from, which may be gone or others when it is tested.
    ``source`` is the folder of the ``volumes``.
    """
    path = folder / DATA
    if path.exists():
        other = changed_volumes(folder, volumes)
        if other:
            raise UserError(
                f"{source}: {other} came, went or changed since {folder} began; "
                "resume with the volumes of then, or train a new run (--init this one goes on from its weights)"
            )
    else:
        earlier = training_scans(*starts)
        if earlier:
            with atomic_write(folder / EARLIER) as temporary:
                temporary.write_text(json.dumps(earlier, indent=2) + "\n")
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(made_of(volumes), indent=2) + "\n")


def made_of(volumes: Volumes) -> dict[str, dict[str, str]]:
    """Of each volume, by name: a hash of what it was made of and how, that of its k-space, and whose it is."""
    found = {}
    for path, sampling in volumes.items():
        made = hashlib.sha256(json.dumps(sampling.provenance, sort_keys=True).encode()).hexdigest()[:16]
        whose = {"sha256": sampling.provenance["measured_sha256"], "subject": sampling.subject}
        found[path.name] = {"made": made} | whose
    return found


def training_scans(*priors: Prior) -> list[tuple[str, str, str]]:
    """(sha256 of the k-space, name, subject), each once, of the scans of the priors' runs, and of those whose weights they
    started from, as far as they kept them."""
    scans = []
    for prior in priors:
        data, earlier = beside(prior, DATA), beside(prior, EARLIER)
        own = json.loads(data.read_text()) if data else {}
        before = json.loads(earlier.read_text()) if earlier else []
        scans += [(volume["sha256"], Path(name).stem, volume["subject"]) for name, volume in own.items()]
        scans += [(sha256, name, subject) for sha256, name, subject in before]
    return list(dict.fromkeys(scans))


def changed_volumes(folder: Path, volumes: Volumes) -> str:
    """The names, of some, of volumes that are not as when the run in ``folder`` began; empty if all are, or nobody knows."""
    path = folder / DATA
    if not path.exists():
        return ""
    before, made = json.loads(path.read_text()), made_of(volumes)
    other = sorted(name for name in made.keys() | before.keys() if made.get(name) != before.get(name))
    return ", ".join(other[:3]) + " and others" * (len(other) > 3)
