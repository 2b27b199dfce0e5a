# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Acceleration
#
# You learn what becomes of one slice as less and less of it is measured, from R=2 (every other line) to R=8: what each method
# loses, and whether the samples' spread says so. **Research use, not for diagnosis.**
#
# A slice is simulated. With a complete scan of your own: `scan = ma.read_scan("my_scan.h5")`.

# %%
import mri_ambient as ma
from mri_ambient.recon.show.notebook import (
    accelerations,
    errors_against_acceleration,
    explore,
    methods_beside_each_other,
    show,
)

scan = ma.simulate(slices=1, seed=5)

# %%
results = {accel: ma.reconstruct(scan, accel=accel, mask="gaussian", samples=4) for accel in (2, 4, 6, 8)}

# %% [markdown]
# All of it in one window. The std is five times brighter; the last column is how much of each pixel the data determine.

# %%
show(accelerations(results, slice=0))

# %% [markdown]
# One acceleration at a time:

# %%
explore(
    lambda R, brightness: methods_beside_each_other(results[R], 0, brightness), R=list(results), brightness=(0.5, 1, 2)
)

# %% [markdown]
# The error of each method against R, and the error that the samples' spread predicts. If the dashed line runs below that of
# `mmps`, the samples are surer than they should be. One slice says little: `mri-ambient compare` does this on many scans, with
# intervals.

# %%
show(errors_against_acceleration(results))
