"""Simulated scans: anatomy, receive coils, k-space."""
