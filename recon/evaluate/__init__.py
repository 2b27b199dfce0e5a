"""How good a reconstruction is: errors, calibration, held-out lines, comparisons, tuning."""
