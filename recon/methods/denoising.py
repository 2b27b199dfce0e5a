"""A prior as the samplers see it: ``denoise(images, sigma) -> E[x | what the prior is shown of the noisy images]``."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from mri_ambient.errors import UserError
from mri_ambient.measurement import Images, Measurement
from mri_ambient.physics.masks import line_mask
from mri_ambient.physics.seeds import streams
from mri_ambient.physics.sense import Sense, apart, whole_image
from mri_ambient.priors.card import Prior

Sigma = Float[Tensor, "slice 1 1"]
Denoise = Callable[[Images, Sigma], Images]
Masks = Literal["scan", "once", "redrawn"]


def denoiser_for(
    prior: Prior,
    measurement: Measurement,
    masks: Masks,
    samples: int,
    generators: Sequence[Generator],
) -> Denoise:
    """An `image` prior sees the whole noisy image, of each set of maps alone; a `masked` one sees it through the scan's coils
    and ``masks``:

    `scan`: the lines that the scan measured. `once`: lines like those of its training, M~ of R + 1, drawn for each image before
    it is sampled, whatever the scan measured (as published: Aali et al., 2403.08728). `redrawn`: such lines, new at every call.
    generators: one a slice. Called with fewer than ``samples`` images a slice, it takes them for the first. Raises UserError if
    M~ would have fewer lines than the ACS.
    """

    def draw(count: int) -> Bool[Tensor, "n 1 x"]:
        of_slices = [streams(generator, count) for generator in generators]
        drawn = [own_mask(prior, measurement, i, s[k]) for k in range(count) for i, s in enumerate(of_slices)]
        return torch.stack(drawn).to(measurement.device)

    fixed = draw(samples) if prior.card.kind == "masked" and masks == "once" else None

    def denoise(images: Images, sigma: Sigma) -> Images:
        flat, sets = images.flatten(0, 1), 1
        if prior.card.kind == "image":
            sets = measurement.sense.sets
            flat = apart(flat, sets).flatten(0, 1)
            sense = whole_image(flat)
        else:
            sense = repeated(measurement.sense, len(images))
            if masks != "scan":
                sense = sense.with_mask(draw(len(images)) if fixed is None else fixed[: len(flat)])
        levels = sigma.flatten().repeat(len(images)).repeat_interleave(sets)
        return prior.denoiser(sense(flat), sense, levels).reshape(images.shape)

    return denoise


def own_mask(prior: Prior, measurement: Measurement, index: int, generator: Generator) -> Bool[Tensor, "1 x"]:
    """A mask M~ of one slice as in the prior's training: R + 1, the scan's ACS kept."""
    training, columns = prior.card.training, measurement.matrix[1]
    accel = max(training.accel) + 1
    everything = torch.ones(columns, dtype=torch.bool)
    try:
        return line_mask(training.mask, accel, min(measurement.acs[index], columns), everything, generator)[None]
    except ValueError as error:
        raise UserError(f"{prior.path}: {error}; a prior of lower R, or masks `scan`, can be used here") from error


def repeated(sense: Sense, count: int) -> Sense:
    """The operators of all slices one after another, ``count`` times: those of images [k, slice, y, x], flattened."""
    return Sense(sense.maps.repeat(count, 1, 1, 1), sense.mask.repeat(count, 1, 1), sense.sets)
