# %% [markdown]
# # Read a reconstruction
#
# Opens the first `*_recon.h5` found in this folder or below (`mri-ambient demo` makes one) and shows the posterior mean beside
# how sure it is. Research use, not for diagnosis.
#
# This file is a notebook in the percent format: open it in VS Code or, with jupytext, in Jupyter.

# %%
from pathlib import Path

import h5py
import matplotlib.pyplot as plt

path = sorted(Path().rglob("*_recon.h5"))[0]
with h5py.File(path) as file:
    mean = abs(file["mean"][:])
    std = file["std"][:]
    samples = abs(file["samples"][:])
    print(f"{path}: {file.attrs['method']}, {samples.shape[1]} samples a slice, {len(mean)} slices")

# %% [markdown]
# The mean of the samples, one sample, and their standard deviation. Where the std is as bright as the anatomy beside it, the
# data do not determine what is there.

# %%
middle = len(mean) // 2
brightest = mean.max()
figure, axes = plt.subplots(1, 3, figsize=(12, 4.5), layout="constrained")
for axis, image, title, limit in (
    (axes[0], mean[middle], "posterior mean", brightest),
    (axes[1], samples[middle, 0], "one sample", brightest),
    (axes[2], std[middle], "std, five times brighter", brightest / 5),
):
    axis.imshow(image, cmap="gray", vmin=0, vmax=limit)
    axis.set_title(title)
    axis.set_axis_off()
plt.show()
