"""Does a prior copy its training images? The nearest training image of every sample, beside that of every held-out image.

S = max_i cos(f(x), f(x_i)) over the training images x_i in a feature space f. How near a copy is depends on the space, on the
number of training images and on how alike heads are. What held-out images of other subjects reach under the same measure is the
honest baseline: samples that come no nearer than they do are no copies. Shah et al. (ICML 2025) report the share of S > 0.9 in
the space of DINOv2, without such a baseline.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float, Int
from torch import Generator, Tensor

from mri_ambient.errors import UserError

Images = (
    Float[Tensor, "_ ... _ _"] | Complex[Tensor, "_ ... _ _"]
)  # sets of sizes that differ have a message of their own
Features = Callable[[Tensor], Tensor]

FEWEST = 8  # images of a set: shares of fewer say nothing
CHUNK = 256
THRESHOLDS = (0.9, 0.95)
RARE = 0.95  # the quantile of the held-out images' S beyond which a sample is nearer than they usually are
DRAWS = 1000
BAND = (4.0, 16.0)  # cycles per field of view


@dataclass(frozen=True)
class Measure:
    """One number of both sets, what the samples' exceeds the held-out images' by, and the 95 % bootstrap interval of that."""

    name: str
    samples: float
    held_out: float
    excess: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Audit:
    """S of every image, and which training image it is that near to; measures: shares beyond thresholds, and the median."""

    samples: Float[Tensor, " n"]
    sample_neighbours: Int[Tensor, " n"]
    held_out: Float[Tensor, " m"]
    held_out_neighbours: Int[Tensor, " m"]
    measures: tuple[Measure, ...]

    @property
    def nearer(self) -> bool:
        """Whether more samples than chance allows lie nearer to a training image than RARE of the held-out images do."""
        return self.measures[0].interval[0] > 0

    @property
    def further(self) -> bool:
        """Whether the samples' median S is below the held-out images' by more than chance: they are not typical images."""
        return self.measures[-1].interval[1] < 0


def pixel(images: Float[Tensor, "n *channels y x"]) -> Float[Tensor, "n d"]:
    """The image less its mean: S is the correlation of pixels. All heads are alike in it: of real slices, a quarter of other
    patients' reach 0.9, and a copy with noise may have less."""
    flat = images.flatten(1)
    return flat - flat.mean(1, keepdim=True)


def bandpass(images: Float[Tensor, "n *channels y x"]) -> Float[Tensor, "n d"]:
    """A difference of two Gaussians in frequency, exp(-k^2 / 2 hi^2) - exp(-k^2 / 2 lo^2), k in cycles per field of view.

    Below lo = 4 is what all heads share, outline and shading; above hi = 16 the noise. Between them lie the folds and
    ventricles that tell two heads apart. Of real slices at 128x128 (1200 for training) other patients' have a median S of 0.57
    (pixels: 0.81), while a copy keeps 0.94 or more with 10 % noise, moved by half a pixel, blurred, or in another grey scale.
    Whitened principal components tell heads apart as well, but must be fitted, and lose a copy that moved by a pixel.
    """
    rows, columns = images.shape[-2:]
    field = max(rows, columns)
    ky, kx = (torch.fft.fftfreq(size, device=images.device) * field for size in (rows, columns))
    square = ky[:, None] ** 2 + kx**2
    low, high = (torch.exp(-square / (2 * edge**2)) for edge in BAND)
    return torch.fft.ifft2(torch.fft.fft2(images) * (high - low)).real.flatten(1)


FEATURES: dict[str, Features] = {"bandpass": bandpass, "pixel": pixel}


def audit(
    samples: Images,
    training: Images,
    held_out: Images,
    features: Features = bandpass,
    subjects: Sequence[Hashable] | None = None,
    seed: int = 0,
) -> Audit:
    """S of samples and of held-out images, and by how much the samples' exceeds.

    Images [n, y, x], or [n, channels, y, x]; of complex ones the magnitude, so that a global phase changes nothing, and nor
    does the scale, for features are normalised. features: images -> [n, d]; `bandpass`, `pixel`, or any other, such as a
    network whose weights are at hand: ``lambda images: dinov2(images.expand(-1, 3, -1, -1))``. subjects: whose each held-out
    image is (None: each is another's); the bootstrap draws samples and subjects, for slices of one head are not independent.

    Raises UserError if a set has fewer than FEWEST images, another size than the samples, or values that are not finite.
    """
    sets = {"samples": samples, "training images": training, "held-out images": held_out}
    for name, images in sets.items():
        if len(images) < FEWEST:
            raise UserError(f"{name}: {len(images)} are too few to tell copies by; give at least {FEWEST}")
        if images.shape[1:] != samples.shape[1:]:
            ours, theirs = (" x ".join(map(str, found.shape[1:])) for found in (images, samples))
            raise UserError(f"{name}: are {ours} where the samples are {theirs}; give images of one size")
        if not torch.isfinite(images).all():
            raise UserError(f"{name}: have values that are not finite; leave those images out")
    if subjects is not None and len(subjects) != len(held_out):
        raise UserError(f"subjects: {len(subjects)} for {len(held_out)} held-out images; say whose each image is")
    near, neighbours = nearest(samples, training, features)
    near_held_out, held_out_neighbours = nearest(held_out, training, features)
    owners = range(len(held_out)) if subjects is None else subjects
    measures = measure(near, near_held_out, owners, Generator().manual_seed(seed))
    return Audit(near, neighbours, near_held_out, held_out_neighbours, measures)


@torch.no_grad()
def nearest(
    images: Images, training: Images, features: Features, chunk: int = CHUNK
) -> tuple[Float[Tensor, " n"], Int[Tensor, " n"]]:
    """(S, index) of each image's nearest training image, of which ``chunk`` at a time are in memory as features."""
    directions = directions_of(images, features)
    best = torch.full((len(images),), -torch.inf)
    index = torch.zeros(len(images), dtype=torch.long)
    for first in range(0, len(training), chunk):
        found, where = (directions @ directions_of(training[first : first + chunk], features).T).max(1)
        nearer = found > best
        best = torch.where(nearer, found, best)
        index = torch.where(nearer, where + first, index)
    return best, index


def directions_of(images: Images, features: Features) -> Float[Tensor, "n d"]:
    """Features of unit length; an image without any (a constant one) is like no other."""
    found = features(images.abs() if images.is_complex() else images).flatten(1).float()
    return found / found.norm(dim=1, keepdim=True).clamp_min(1e-12)


def measure(
    samples: Float[Tensor, " n"], held_out: Float[Tensor, " m"], subjects: Sequence[Hashable], generator: Generator
) -> tuple[Measure, ...]:
    """The measures of S, with percentile intervals of their excess from DRAWS bootstrap draws of samples and of subjects."""
    members: dict[Hashable, list[int]] = {}
    for index, subject in enumerate(subjects):
        members.setdefault(subject, []).append(index)
    groups = [torch.tensor(group) for group in members.values()]
    excesses = []
    for _ in range(DRAWS):
        drawn = samples[torch.randint(len(samples), (len(samples),), generator=generator)]
        chosen = torch.randint(len(groups), (len(groups),), generator=generator).tolist()
        ours, theirs = statistics(drawn, held_out[torch.cat([groups[i] for i in chosen])])
        excesses.append(ours - theirs)
    low, high = torch.stack(excesses).quantile(torch.tensor([0.025, 0.975]).double(), dim=0).tolist()
    ours, theirs = (found.tolist() for found in statistics(samples, held_out))
    names = (f"S > {RARE:.0%} of held-out", *(f"S > {threshold}" for threshold in THRESHOLDS), "median S")
    return tuple(
        Measure(name, a, b, a - b, (c, d)) for name, a, b, c, d in zip(names, ours, theirs, low, high, strict=True)
    )


def statistics(
    samples: Float[Tensor, " n"], held_out: Float[Tensor, " m"]
) -> tuple[Float[Tensor, " k"], Float[Tensor, " k"]]:
    """Of both sets: the share above the held-out images' RARE quantile, the shares above THRESHOLDS, the median."""
    levels = torch.tensor([float(held_out.quantile(RARE)), *THRESHOLDS])
    ours, theirs = (
        torch.cat([(found[:, None] > levels).double().mean(0), found.median()[None].double()])
        for found in (samples, held_out)
    )
    return ours, theirs
