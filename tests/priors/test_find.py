from pathlib import Path

from mri_ambient.priors.find import BUNDLED, place


def test_what_is_bundled_is_told_without_where_it_lies():
    assert place(BUNDLED) == "bundled"
    assert place(BUNDLED / "lap1") == "bundled/lap1"
    assert place(Path("mine/bundled")) == "mine/bundled"
