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
# # Train your own
#
# You learn the way from raw undersampled scans to a prior of your own and a reconstruction with it: `prep`, `train`, `recon`.
# The prior never sees what was not measured. **Research use, not for diagnosis.**
#
# Four small heads are simulated and the training lasts seconds, so that the result is poor: on two cores an hour or two makes
# a usable prior of 128x128. With your own scans: `raw = [ma.read_scan(path) for path in Path("fastmri").glob("*.h5")]`; of many
# scans `mri-ambient prep fastmri/ --workers 4` is faster.

# %%
from functools import partial
from pathlib import Path

import mri_ambient as ma
from mri_ambient.recon.show.notebook import explore, how_sure, methods_beside_each_other

folder = Path("example") / "training"
prepared, run = folder / "prepared", folder / "run"
raw = [ma.simulate(subject, matrix=96, slices=2, seed=1) for subject in range(4)]

# %% [markdown]
# **Prepare**: whiten the noise, estimate coil maps from the centre of k-space, keep a quarter of the lines and *nothing
# else*. For scans that are undersampled already leave out `accel`.

# %%
for scan in raw:
    ma.prepare(scan, accel=4).save(prepared / f"{scan.name}.h5", force=True)

# %% [markdown]
# **Train**: first a denoiser that sees some of the measured lines and is judged by the others; then one lap, which makes of
# it a prior of whole images. `images` is how many slices each sees; leave it out for twenty passes over your data, or ask for
# more.

# %%
prior = ma.train(prepared, run, accel=4, images=80, laps=1, resume=run.exists())

# %% [markdown]
# **Reconstruct** somebody who was not in the training.

# %%
new = ma.simulate(matrix=96, slices=1, seed=3)
result = ma.reconstruct(new, accel=4, prior=prior, samples=4)
explore(partial(methods_beside_each_other, result), slice=range(len(result)), brightness=(0.5, 1, 2))

# %%
explore(partial(how_sure, result), slice=range(len(result)), least=(0.4, 0.5, 0.6, 0.8, 0.9))

# %% [markdown]
# Next: `mri-ambient tune` chooses settings on scans set aside, `mri-ambient compare` says on others what the prior is worth,
# and `mri-ambient audit` whether it copies its training images.
