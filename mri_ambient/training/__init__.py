"""Learning a denoiser from what was measured: data, losses, one loop, and laps around it."""
