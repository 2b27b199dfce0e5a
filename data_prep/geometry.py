"""Where a scan's slices lie, as far as its file says, and in which order they follow each other."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

from mri_ambient.store import Json

SAME_PLACE = 0.01  # mm
PARALLEL = 0.999  # cosine between the normals of slices that make one stack


@dataclass(frozen=True)
class Geometry:
    """positions: the centre of each slice in mm from the isocentre, in the patient's system (left, posterior, head).
    read_dir, phase_dir, slice_dir: unit vectors of y, x and the normal; 0 where the file doesn't say."""

    positions: Float[np.ndarray, "slice 3"]
    read_dir: Float[np.ndarray, "slice 3"]
    phase_dir: Float[np.ndarray, "slice 3"]
    slice_dir: Float[np.ndarray, "slice 3"]

    def as_json(self) -> Json:
        """As a prepared volume's provenance keeps it. heights_mm: the slices along their common normal, None without one."""
        heights = self.heights()
        return {
            "positions_mm": self.positions.round(4).tolist(),
            "read_dir": self.read_dir.round(6).tolist(),
            "phase_dir": self.phase_dir.round(6).tolist(),
            "slice_dir": self.slice_dir.round(6).tolist(),
            "heights_mm": None if heights is None else heights.round(4).tolist(),
        }

    def heights(self) -> Float[np.ndarray, " slice"] | None:
        """Each position along the normal that all slices share; None if there is none or all lie at the same place."""
        normal = self._normal()
        if normal is None:
            return None
        heights = self.positions @ normal
        return heights if np.ptp(heights) > SAME_PLACE else None

    def _normal(self) -> np.ndarray | None:
        normals = self.slice_dir
        if not np.linalg.norm(normals, axis=1).all():
            normals = np.cross(self.read_dir, self.phase_dir)
        lengths = np.linalg.norm(normals, axis=1)
        if not (np.isfinite(normals).all() and np.isfinite(self.positions).all() and (lengths > 0).all()):
            return None
        normals = normals / lengths[:, None]
        return normals[0] if (normals @ normals[0] > PARALLEL).all() else None


def order_in_space(
    geometry: Geometry, counters: Integer[np.ndarray, "slice counter"], notes: list[str]
) -> Integer[np.ndarray, " slice"]:
    """The order in which the images should follow each other. ``counters`` number them, the slice's last.

    Images that share the other counters (a repetition, a contrast) stay together; in each, slices go along their normal, in
    the sense of their numbers if those have one. The notes say what was done, and what can't be told.
    """
    numbers = np.arange(len(counters))
    volumes = [numbers[(counters[:, :-1] == one).all(1)] for one in np.unique(counters[:, :-1], axis=0)]
    if max(len(volume) for volume in volumes) < 3:  # two slices have no order to be mixed up
        return numbers
    heights = geometry.heights()
    known = heights is not None and all(
        (np.diff(np.sort(heights[volume])) > SAME_PLACE).all() for volume in volumes if len(volume) > 1
    )
    if heights is None or not known:
        notes.append(
            "the file does not tell where each slice lies along one normal: slices are in the order of their numbers, "
            "which may be that of their acquisition"
        )
        return numbers
    if all((np.diff(heights[volume]) > 0).all() or (np.diff(heights[volume]) < 0).all() for volume in volumes):
        return numbers
    notes.append("slices are not numbered as they lie: they are sorted by their positions, along the slice normal")
    return np.concatenate([volume[np.argsort(heights[volume])] for volume in volumes])
