"""One inverse problem, and the methods that solve it: classical, posterior sampling, one call of a denoiser."""
