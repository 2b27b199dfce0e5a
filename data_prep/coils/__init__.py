"""Receive coils: whitening, compression, sensitivity maps."""
