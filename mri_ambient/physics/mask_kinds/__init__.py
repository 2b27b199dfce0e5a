"""The kinds of masks, one file each; a kind is an object, and ``registry`` names all."""
