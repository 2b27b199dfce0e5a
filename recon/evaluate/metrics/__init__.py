"""Errors of magnitude volumes, as fastMRI reports them: a metric is one file here and one line of the registry."""
