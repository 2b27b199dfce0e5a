"""The wrapper around BART: failures are errors, nothing stays behind."""

import tempfile
from pathlib import Path

import numpy as np
import pytest

from mri_ambient.bart import BartError, bart, installed
from mri_ambient.errors import UserError

needs_bart = [
    pytest.mark.bart,
    pytest.mark.skipif(not installed(), reason="needs the BART toolbox: apt-get install bart, pip install mrbart"),
]


@pytest.fixture
def scratch(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def with_bart(test):
    for mark in needs_bart:
        test = mark(test)
    return test


@with_bart
def test_arrays_in_arrays_out_and_silence(scratch, capfd):
    array = np.arange(12, dtype=np.complex64).reshape(3, 4)
    (found,) = bart("transpose 0 1", array, threads=1)
    assert np.array_equal(found, array.T)
    first, second = bart("svd", np.eye(3, dtype=np.complex64), outputs=3)[:2]
    assert first.shape == (3, 3)
    assert second.size == 3
    assert list(scratch.iterdir()) == []
    assert capfd.readouterr() == ("", "")


@with_bart
def test_a_failure_is_an_error_with_barts_last_words(scratch, capfd):
    with pytest.raises(BartError, match=r"bart resize 99 3: failed \(.+\)"):
        bart("resize 99 3", np.ones(3, np.complex64))
    with pytest.raises(BartError, match="bart nonsense"):
        bart("nonsense", outputs=0)
    assert list(scratch.iterdir()) == []
    assert capfd.readouterr().out == ""


def test_a_missing_program_tells_how_to_install_it(monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("BART_TOOLBOX_PATH", raising=False)
    assert not installed()
    with pytest.raises(UserError, match="apt-get install bart"):
        bart("version", outputs=0)
    monkeypatch.setenv("BART_TOOLBOX_PATH", "nowhere")
    with pytest.raises(UserError, match=r"not in BART_TOOLBOX_PATH \(nowhere\)"):
        bart("version", outputs=0)
