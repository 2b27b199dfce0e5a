"""The physics of undersampled multi-coil MRI: no learning here, and no import of our other packages."""
