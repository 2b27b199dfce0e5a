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
# # For reviewers
#
# You learn to judge methods blindly: pictures of one slice by several methods, under letters whose order a stated seed
# shuffles, a ranking for each, a CSV of your answers, and only then who was who. The truth hides among them. **Research use,
# not for diagnosis.**
#
# Two slices are simulated. With reconstructions of your own: `results = [ma.read_result("my_scan_recon.h5"), ...]`.

# %%
from functools import partial
from pathlib import Path

import mri_ambient as ma
from mri_ambient.console import stdout
from mri_ambient.recon.show.notebook import explore
from mri_ambient.recon.show.reader_study import blinded, picture_figure, ranking_table, unblind, write_ranking

reader, seed = "reader 1", 2026
scan = ma.simulate(slices=2, seed=7)
results = [ma.reconstruct(scan, accel=4, samples=4, beside=("zero-filled", "cg-sense", "l1-wavelet", "aos"))]

# %% [markdown]
# **Look.** One window in all panes.

# %%
pictures = blinded(results, seed)
explore(partial(picture_figure, pictures), picture=range(len(pictures)), brightness=(0.5, 0.7, 1, 1.5, 2))

# %% [markdown]
# **Rank**: picture -> its letters, the best first. These are made up: type yours.

# %%
rankings = {0: "ABCDEF", 1: "BADCFE"}
answers = Path("example") / "ranking_reader_1.csv"
write_ranking(answers, pictures, rankings, reader, seed, force=True)
print(answers.read_text())

# %% [markdown]
# **Unblind**, when all readers are done: their files, one after the other, in the list.

# %%
stdout.print(ranking_table(unblind([answers], results)))
