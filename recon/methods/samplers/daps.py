"""Decoupled annealing: the draws of `mmps` without products with the Jacobian, all noise fresh at each level.

Decoupled annealing posterior sampling (Zhang et al., 2407.01521) draws z ~ N(x | D(x_i), r^2) p(y | x) by Langevin dynamics and
adds noise of the next level to it. Here the draw is exact and its covariance the prior's own
(:mod:`mri_ambient.recon.methods.samplers.covariance`), which makes one call of the network a level.
"""

from dataclasses import replace

from mri_ambient.recon.methods.method import sampling
from mri_ambient.recon.methods.samplers.mmps import MmpsSettings, mmps

SETTINGS = MmpsSettings(steps=12, sigma_max=0.5, iterations=0, draw_iterations=8, inflation=1.2)
DAPS = sampling(
    mmps,
    SETTINGS,
    {},
    {"sigma_max": 1.0},
    {"inflation": 1.0},
    {"inflation": 1.7},
    {"steps": 20},
    {"draw_iterations": 16},
)
QUICK = sampling(
    mmps,
    replace(SETTINGS, steps=4, draw_iterations=4),
    {},
    {"sigma_max": 1.0},
    {"sigma_max": 0.3},
    {"inflation": 1.0},
    {"inflation": 1.7},
    {"draw_iterations": 2},
)
