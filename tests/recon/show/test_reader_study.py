import csv
from dataclasses import replace

import numpy as np
import pytest

from mri_ambient.errors import UserError
from mri_ambient.recon.result import read_result
from mri_ambient.recon.show.reader_study import blinded, picture_figure, ranking_table, unblind, write_ranking
from tests.recon.results import write_smooth


@pytest.fixture
def results(undersampled, tmp_path):
    paths = [
        write_smooth(tmp_path / f"{name}_recon.h5", replace(undersampled, name=name), reference=name == "a")
        for name in ("a", "b")
    ]
    return [read_result(path) for path in paths]


def best_first(picture, order=("reference", "dds", "l1-wavelet", "zero-filled")) -> str:
    """The answer of a reader who sees through the letters."""
    return "".join(picture.letters[picture.methods.index(name)] for name in order if name in picture.methods)


def test_the_order_follows_from_the_seed(results):
    pictures, again, other = blinded(results, 1), blinded(results, 1), blinded(results, 2)
    key = [(one.result.about.name, one.slice, one.methods) for one in pictures]
    assert key == [(one.result.about.name, one.slice, one.methods) for one in again]
    assert key != [(one.result.about.name, one.slice, one.methods) for one in other]
    assert sorted(name_and_slice[:2] for name_and_slice in key) == [(name, i) for name in "ab" for i in range(4)]
    assert len({one.methods for one in pictures}) > 3
    assert {one.letters for one in pictures} == {"ABCD", "ABC"}


def test_pictures_show_what_the_letters_say_and_no_names(results):
    pictures = blinded(results, 1)
    figure = picture_figure(pictures, 2)
    panes = [axis for axis in figure.axes if axis.get_images()]
    assert [axis.get_title() for axis in panes] == list(pictures[2].letters)
    where = pictures[2].methods.index("l1-wavelet")
    np.testing.assert_array_equal(
        panes[where].get_images()[0].get_array(), pictures[2].result.others["l1-wavelet"][pictures[2].slice]
    )
    texts = " ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))
    assert not any(name in texts for name in pictures[2].methods)


def test_rank_and_unblind(results, tmp_path):
    pictures = blinded(results, 7)
    perfect = {number: best_first(picture) for number, picture in enumerate(pictures)}
    contrary = {0: perfect[0][::-1].lower()}
    write_ranking(tmp_path / "one.csv", pictures, perfect, 'Ä, "B"', 7)
    write_ranking(tmp_path / "two.csv", pictures, contrary, "second", 7)
    text = (tmp_path / "one.csv").read_text()
    assert not any(name in text for name in ("dds", "l1-wavelet", "zero-filled"))
    with (tmp_path / "one.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 4 * 4 + 4 * 3
    assert {line["reader"] for line in lines} == {'Ä, "B"'}
    ranks = unblind([tmp_path / "one.csv"], results)
    assert list(ranks) == ["reference", "dds", "l1-wavelet", "zero-filled"]
    assert set(ranks["reference"]) == {(1, 4)}
    assert set(ranks["zero-filled"]) == {(4, 4), (3, 3)}  # last of pictures with and without a reference
    both = unblind([tmp_path / "one.csv", tmp_path / "two.csv"], results)
    assert len(both["dds"]) == 9
    assert ranking_table(both).row_count == 4
    assert list(ranking_table(ranks).columns[3].cells) == ["0", "0", "0", "8"]  # times last


def test_bad_answers(results, tmp_path):
    pictures = blinded(results, 7)
    path = tmp_path / "a.csv"
    with pytest.raises(UserError, match="picture 0: 'AAB' doesn't name each of .* once; rank all, best first"):
        write_ranking(path, pictures, {0: "AAB"}, "r", 7)
    with pytest.raises(UserError, match="picture 9: doesn't exist; they are 0 to 7"):
        write_ranking(path, pictures, {9: "ABC"}, "r", 7)
    write_ranking(path, pictures, {0: pictures[0].letters}, "r", 7)
    with pytest.raises(UserError, match="already exists"):
        write_ranking(path, pictures, {0: pictures[0].letters}, "r", 7)
    for text in ("no", "seed,picture\n1,2\n", path.read_text().replace(",7,0,", ",7,1,")):
        (tmp_path / "b.csv").write_text(text if "," in text else "seed\nx\n")
        with pytest.raises(UserError, match="is no ranking of these reconstructions"):
            unblind([tmp_path / "b.csv"], results)
    with pytest.raises(UserError, match="absent.csv: is no ranking"):
        unblind([tmp_path / "absent.csv"], results)
    with pytest.raises(UserError, match="shares its scan's name with another"):
        blinded([results[0], results[0]], 1)
    with pytest.raises(UserError, match="holds a single method"):
        blinded([replace(results[1], others={})], 1)
