"""`l1-edm`: the control of Aali et al., 2024: `supervised`, on what L1-wavelet makes of the scans."""

from dataclasses import replace

from mri_ambient.training.losses.supervised import SUPERVISED

L1_EDM = replace(SUPERVISED, from_reconstructions=True)
