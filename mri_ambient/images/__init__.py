"""The image domain: ambient learning of images behind other corruptions; no coils, no k-space."""
