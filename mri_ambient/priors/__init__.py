"""Denoisers, the noise levels they are trained and used at, and the files they live in."""
