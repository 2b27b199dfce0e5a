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
# Two slices are simulated. With reconstructions of your own: `results = [read_result(Path("my_scan_recon.h5")),
# ...]`.

# %%
from functools import partial
from pathlib import Path

from mri_ambient.commands.reconstruction import reconstruct_one
from mri_ambient.commands.scans import simulate
from mri_ambient.console import stdout
from mri_ambient.data_prep.prepare import PrepareSettings
from mri_ambient.recon.choices import Choices
from mri_ambient.recon.outputs import Outputs
from mri_ambient.recon.result import read_result
from mri_ambient.recon.show.notebook import explore
from mri_ambient.recon.show.reader_study import blinded, picture_figure, ranking_table, unblind, write_ranking

reader, seed = "reader 1", 2026
folder = Path("example") / "reading"
simulate(folder, subjects=1, slices=2, seed=7)
choices = Choices(("zero-filled", "cg-sense", "l1-wavelet", "aos", "mmps"), "mmps", samples=4)
file = folder / "scan_recon.h5"
reconstruct_one(folder / "subject_0000.h5", PrepareSettings(accel=4), choices, Outputs(file))
results = [read_result(file)]

# %% [markdown]
# **Look.** One window in all panes. (What the cell above printed names the methods, not the letters.)

# %%
pictures = blinded(results, seed)
explore(partial(picture_figure, pictures), picture=range(len(pictures)), brightness=(0.5, 0.7, 1, 1.5, 2))

# %% [markdown]
# **Rank**: picture -> its letters, the best first. These are made up: type yours.

# %%
rankings = {0: "ABCDEF", 1: "BADCFE"}
answers = folder / "ranking_reader_1.csv"
write_ranking(answers, pictures, rankings, reader, seed, force=True)
print(answers.read_text())

# %% [markdown]
# **Unblind**, when all readers are done: their files, one after the other, in the list.

# %%
stdout.print(ranking_table(unblind([answers], results)))
