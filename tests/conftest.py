"""Shapes and types of the packages are checked while the tests run."""

import tests.typecheck  # noqa: F401  (named in pyproject.toml: the checker must be there before the packages are imported)
