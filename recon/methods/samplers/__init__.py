"""Posterior samplers: free functions ``(denoise, measurement, samples, settings, generators, callback) -> images``.

All work on K images of several slices at once, [k, slice, y, x], normalised. Each slice has its own generator, so that its
images do not depend on the others. sigma is the standard deviation of the noise in the real and in the imaginary part. A
sampler whose images stop being finite raises UserError, which says at which sigma.
"""
