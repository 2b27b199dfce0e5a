"""The training rules, one file each; a loss is an object, and ``registry`` names all."""
