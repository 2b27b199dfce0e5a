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
# # How sure is it?
#
# You learn what posterior samples are, whether their spread can be believed (by a scan whose truth is known), whether lesions
# survive undersampling, and how to catch a lesion that isn't there: by the map of what the data determine. **Research use,
# not for diagnosis.**
#
# A head is simulated; nothing else is needed. A *complete* scan of your own does as well: `scan = Path("my_scan.h5")`.

# %%
from pathlib import Path

import mri_ambient as ma
from mri_ambient.data_prep.simulation.simulate import SimulateSettings, simulate_folder
from mri_ambient.measurement import measurement_of
from mri_ambient.recon.evaluate.determined import determined_share
from mri_ambient.recon.evaluate.lesions.invented import invent, least_and_most_determined
from mri_ambient.recon.evaluate.lesions.lesion import Lesion
from mri_ambient.recon.evaluate.lesions.recover import contrast_recovery
from mri_ambient.recon.evaluate.std_calibration import tissue
from mri_ambient.recon.reconstruct import reconstruct
from mri_ambient.recon.show.certainty import coverage_figure, invented_figure, lesions_figure, samples_figure
from mri_ambient.recon.show.notebook import show
from mri_ambient.workflows.comparing import open_source

(scan,) = simulate_folder(Path("example"), 1, SimulateSettings(slices=3))

# %% [markdown]
# A quarter of the lines of its middle slice is kept, the centre and evenly spaced ones. The same is done to the same slice with
# six lesions in it, of three sizes.

# %%
case = open_source(scan, mask="equispaced", slices=1, lesions=True, seed=0).case(4.0)
prior = ma.load_prior("bundled")  # or the folder of a run of yours


def answer(volume):
    return reconstruct(volume, "mmps", prior, samples=6, seed=0)


healthy = answer(case.volume)
with_lesions = answer(case.lesioned.volume)

# %% [markdown]
# **Samples.** Each is an answer that the data allow. They agree on what is certain. The box shows where they are most wrong.

# %%
show(samples_figure(healthy, case.reference, slice=0))

# %% [markdown]
# **Can the spread be believed?** A 90 % interval should hold the truth in 90 % of pixels. If the blue line runs below the
# dashed one, the samples are too sure of themselves. One factor on the std mends much of it; `mri-ambient tune` finds it on
# scans set aside.

# %%
inside = tissue(case.reference, measurement_of(case.volume).sense.support)
show(coverage_figure(healthy, case.reference, inside))

# %% [markdown]
# **Do lesions survive?** No prior has seen these. How much of their contrast comes back depends on their size: of the
# smallest, two pixels wide, a good part is lost, and the interval says how little is known.

# %%
recovered = contrast_recovery(case.lesioned, with_lesions, healthy, case.reference)
show(lesions_figure(case.lesioned, with_lesions, healthy, recovered))

# %% [markdown]
# **Would a hallucination be noticed?** Draw a lesion into the finished image by hand, once where the data determine least and
# once where they determine most, and let the measured lines correct the image. Where they determine the place, they take it
# away. Where they don't, a part of it stays, and the image with it fits the data as well as the one without: nobody could
# tell from the residual. Such places are tinted. What is bright *and* tinted deserves suspicion.

# %%
share = determined_share(measurement_of(case.volume), case.volume.name, seed=0)
places = least_and_most_determined(share[0], inside[0])
invented = [invent(case.volume, healthy.mean_of_sets, Lesion(0, place, width=2.5, contrast=2.0)) for place in places]
show(invented_figure(share, invented))
