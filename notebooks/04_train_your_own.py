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
# a usable prior of 128x128. With your own scans, put them into a folder and set `raw` to it.

# %%
from functools import partial
from pathlib import Path

from mri_ambient.commands.learning import train
from mri_ambient.commands.reconstruction import recon
from mri_ambient.commands.scans import prep, simulate
from mri_ambient.recon.result import read_result
from mri_ambient.recon.show.notebook import explore, how_sure, methods_beside_each_other

folder = Path("example") / "training"
raw, prepared, run = folder / "fastmri", folder / "prepared", folder / "run"
simulate(raw, subjects=4, matrix=96, slices=2, seed=1)

# %% [markdown]
# **Prepare**: whiten the noise, estimate coil maps from the centre of k-space, keep a quarter of the lines and *nothing
# else*. For scans that are undersampled already leave out `accel`.

# %%
prep(raw, out=prepared, accel=4)

# %% [markdown]
# **Train**: first a denoiser that sees some of the measured lines and is judged by the others; then one lap, which makes of
# it a prior of whole images. `images` is how many slices each sees; leave it out for twenty passes over your data, or ask for
# more.

# %%
train(data=prepared, accel="4", images=80, laps=1, out=run, resume=run.exists())

# %% [markdown]
# **Reconstruct** somebody who was not in the training.

# %%
simulate(folder / "new", subjects=1, matrix=96, slices=1, seed=3)
recon(folder / "new" / "subject_0000.h5", accel=4, prior=run, samples=4, out=folder / "new_recon.h5", force=True)
result = read_result(folder / "new_recon.h5")
explore(partial(methods_beside_each_other, result), slice=range(len(result)), brightness=(0.5, 1, 2))

# %%
explore(partial(how_sure, result), slice=range(len(result)), least=(0.4, 0.5, 0.6, 0.8, 0.9))

# %% [markdown]
# Next: `mri-ambient tune` chooses settings on scans set aside, `mri-ambient compare` says on others what the prior is worth,
# and `mri-ambient audit` whether it copies its training images.
