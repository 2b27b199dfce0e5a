"""Diffusion priors from undersampled MRI scans, and reconstructions that say how sure they are."""

__version__ = "0.1.0"
