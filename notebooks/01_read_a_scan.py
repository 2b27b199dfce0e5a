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
# # Read a scan
#
# You learn to open a reconstruction, to look at it beside what compressed sensing makes of the same data, to change the
# window, and to see how sure it is. **Research use, not for diagnosis.**
#
# This file is a notebook in the percent format: open it in VS Code or, with jupytext, in Jupyter. Run the cells from top to
# bottom. Nothing is needed: a head is simulated, and a quarter of its data kept, the first time in about a minute.

# %%
from functools import partial

import mri_ambient as ma
from mri_ambient.recon.show.notebook import browse, explore, how_sure, methods_beside_each_other

scan = ma.simulate(slices=3)

# %% [markdown]
# With a scan of your own, set `scan = ma.read_scan("my_scan.h5")`; leave out `accel=4` if it is undersampled already.

# %%
result = ma.reconstruct(scan, accel=4, samples=4)
for score in result.scores():
    print(f"{score.title:20} NRMSE {score.nrmse:.3f}, on hidden measured lines {score.held_out:.2f}")

# %% [markdown]
# All methods see the same data and are shown in the same window. `zero-filled` is the scanner's answer without any model;
# `l1-wavelet` is compressed sensing; `mmps` is the mean of posterior samples. The scan is complete, so that the truth is
# known: below each image is its error, five times brighter.

# %%
explore(
    partial(methods_beside_each_other, result), slice=range(len(result)), brightness=(0.5, 0.7, 0.85, 1, 1.2, 1.5, 2)
)

# %% [markdown]
# **How sure is it?** The samples are images that fit the data and look like heads. Where they differ, their standard
# deviation is bright. Tinted is what eight coils and the measured lines alone don't determine: what you see there is partly
# what the prior takes for likely. At R=4 that is the whole head; set `least` to see how much of each pixel is determined.

# %%
explore(partial(how_sure, result), slice=range(len(result)), least=(0.4, 0.5, 0.55, 0.6, 0.7, 0.8, 0.9))

# %% [markdown]
# **Take it with you.** NIfTI for viewers, `"dicom"` for a workstation, `"png"` for slides, `"figure"` for a paper. The
# orientation of the patient is not read from raw data, and the files say so.

# %%
mean, std = result.export("nifti", "example", force=True)
browse(mean)
