"""Posterior samplers: free functions ``(denoise, problem, samples, settings, generators, callback)`` -> [k, slice, y, x].

All work on K images of several slices at once, normalised, each slice with its own generator, so that its images do not
depend on the others. sigma is the standard deviation of the noise in the real and in the imaginary part.
"""
