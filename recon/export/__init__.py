"""A reconstruction in the formats of other programs."""
