"""The reconstruction's file, ``*_recon.h5`` (contract)."""

import json
from pathlib import Path
from typing import Any

import h5py
from jaxtyping import Float
from torch import Tensor

from mri_ambient import __version__
from mri_ambient.files import atomic_write
from recon.reconstruct import Reconstruction

FORMAT = "mri-ambient reconstruction 1"


def write_reconstruction(
    path: Path, found: Reconstruction, share: Float[Tensor, "slice y x"], provenance: dict[str, Any]
) -> None:
    """``reconstruction`` (|mean|, float32, fastMRI's key and shape), ``mean``, ``std``, ``samples`` [slice, k, y, x],
    ``measured_residual`` [slice], ``determined_share`` (:func:`recon.determined.determined_share`); attributes: method,
    prior_sha256, seed, seconds, matrix, provenance (JSON).
    """
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["version"] = __version__
        file.attrs["method"] = found.method
        file.attrs["prior_sha256"] = found.prior.weights_sha256 if found.prior else ""
        file.attrs["seed"] = found.seed
        file.attrs["seconds"] = found.seconds
        file.attrs["working_matrix"] = found.matrix
        file.attrs["provenance"] = json.dumps(provenance)
        file["reconstruction"] = found.mean.abs().numpy()
        file["mean"] = found.mean.numpy()
        file["std"] = found.std.numpy()
        file["measured_residual"] = found.measured_residual.numpy()
        file["determined_share"] = share.numpy()
        file["samples"] = found.samples.numpy()
