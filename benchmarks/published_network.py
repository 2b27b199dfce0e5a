"""The published prior's network, untrained: a gated DDPM++ of 36.8 M parameters, for timing what the papers ran.

Written from the papers: DDPM++ (Song et al., 2011.13456) as Karras et al. (2206.00364) parametrise it, and gated convolutions
(Yu et al., 1806.03589) as Ambient Diffusion uses them. 128 channels at all four levels, four blocks each.
"""

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, scaled_dot_product_attention, silu

CHANNELS, EMBEDDING, LEVELS, BLOCKS = 128, 512, 4, 4
PARAMETERS = 36_768_644
SIGMA_DATA = 0.5


class GatedConv(nn.Module):
    """conv(x, w) sigmoid(sigmoid(conv(x, g))) + b."""

    def __init__(self, before: int, after: int, kernel: int):
        super().__init__()
        self.weights = nn.Conv2d(before, 2 * after, kernel, padding=kernel // 2, bias=False)
        self.bias = nn.Parameter(torch.zeros(after))

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.weights(x).chunk(2, 1)
        return value * gate.sigmoid().sigmoid() + self.bias[:, None, None]


class Block(nn.Module):
    """A residual block. scale: 0.5 or 2 changes the resolution; then, and when channels change, the skip path has a kernel."""

    def __init__(self, before: int, scale: float = 1.0, attention: bool = False):
        super().__init__()
        self.scale = scale
        self.norm_in, self.norm_out = nn.GroupNorm(32, before, 1e-6), nn.GroupNorm(32, CHANNELS, 1e-6)
        self.conv_in, self.conv_out = GatedConv(before, CHANNELS, 3), GatedConv(CHANNELS, CHANNELS, 3)
        self.affine = nn.Linear(EMBEDDING, CHANNELS)
        self.skip = GatedConv(before, CHANNELS, 1) if before != CHANNELS or scale != 1 else nn.Identity()
        self.attention = Attention() if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        inner = self.conv_in(self.resample(silu(self.norm_in(x))))
        inner = silu(self.norm_out(inner + self.affine(embedding)[..., None, None]))
        return self.attention((self.conv_out(inner) + self.skip(self.resample(x))) * math.sqrt(0.5))

    def resample(self, x: Tensor) -> Tensor:
        if self.scale == 1:
            return x
        return avg_pool2d(x, 2) if self.scale < 1 else interpolate(x, scale_factor=2.0, mode="nearest")


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.GroupNorm(32, CHANNELS, 1e-6)
        self.qkv, self.project = GatedConv(CHANNELS, 3 * CHANNELS, 1), GatedConv(CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.flatten(2).mT for part in self.qkv(self.norm(x)).chunk(3, 1))
        seen = scaled_dot_product_attention(q, k, v).mT.reshape(x.shape)
        return (x + self.project(seen)) * math.sqrt(0.5)


class GatedDdpmpp(nn.Module):
    """Image and M~ as channels, [image, 4, y, x] -> [image, 4, y, x]; y and x divisible by 8."""

    def __init__(self, channels: int = 4):
        super().__init__()
        self.embed = nn.Sequential(
            nn.Linear(CHANNELS, EMBEDDING), nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING), nn.SiLU()
        )
        self.enter = GatedConv(channels, CHANNELS, 3)
        self.down = nn.ModuleList()
        self.up = nn.ModuleList([Block(CHANNELS, attention=True), Block(CHANNELS)])
        for level in range(LEVELS):
            self.down.extend([Block(CHANNELS, 0.5)] * (level > 0))
            self.down.extend(Block(CHANNELS) for _ in range(BLOCKS))
            self.up.extend([Block(CHANNELS, 2.0)] * (level > 0))
            self.up.extend(Block(2 * CHANNELS) for _ in range(BLOCKS + 1))
        self.norm, self.leave = nn.GroupNorm(32, CHANNELS, 1e-6), GatedConv(CHANNELS, channels, 3)

    def forward(self, x: Tensor, noise: Float[Tensor, " image"]) -> Tensor:
        frequencies = 1e-4 ** (torch.arange(CHANNELS // 2) / (CHANNELS // 2))
        angles = noise[:, None] * frequencies
        embedding = self.embed(torch.cat([angles.cos(), angles.sin()], 1))
        x = self.enter(x)
        skips = [x]
        for block in self.down:
            x = block(x, embedding)
            skips.append(x)
        for block in self.up:
            wide = block.norm_in.num_channels == 2 * CHANNELS
            x = block(torch.cat([x, skips.pop()], 1) if wide else x, embedding)
        return self.leave(silu(self.norm(x)))


def published_denoiser(
    network: GatedDdpmpp, shown: Complex[Tensor, "image y x"], mask: Tensor, sigma: Tensor
) -> Tensor:
    """D(A~^H A~ x_i, M~, sigma) with EDM's preconditioning over all four channels, as published; complex images."""
    rows, columns = shown.shape[-2:]
    masks = mask.expand(len(shown), rows, columns).float()
    stacked = torch.stack([shown.real, shown.imag, masks, torch.ones_like(masks)], 1)
    total = sigma**2 + SIGMA_DATA**2
    found = SIGMA_DATA**2 / total * stacked + sigma * SIGMA_DATA / total.sqrt() * network(
        stacked / total.sqrt(), sigma.log().flatten().expand(len(shown)) / 4
    )
    return torch.complex(found[:, 0], found[:, 1])
