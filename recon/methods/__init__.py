"""Methods that reconstruct: each a function, all named in `registry`."""
