"""The commands, each a function that typer calls; `mri_ambient.cli` names them. Everything heavy is imported inside."""
