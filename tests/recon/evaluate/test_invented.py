import torch

from mri_ambient.measurement import measurement_of
from mri_ambient.recon.evaluate.determined import determined_share
from mri_ambient.recon.evaluate.lesions.invented import invent, least_and_most_determined
from mri_ambient.recon.evaluate.lesions.lesion import Lesion
from mri_ambient.recon.reconstruct import reference_image, residual
from tests.recon.test_reconstruct import first_slices


def test_the_data_leave_of_a_pixel_what_they_do_not_determine(undersampled):
    """In closed form: l (A^H A + l)^-1 on a single pixel is 1 - share."""
    volume = first_slices(undersampled, 2)
    share = determined_share(measurement_of(volume), volume.name, 0)
    images = (
        reference_image(volume) + volume.scale[:, None, None]
    )  # bright everywhere: magnitudes change as the image does
    for place in ((24, 24), (20, 12), (30, 33)):
        found = invent(volume, images, Lesion(1, place, 0.3, 0.01))
        torch.testing.assert_close(found.left, float(1 - share[1][place]), rtol=0.03, atol=0.01)
        assert 0.05 < found.left < 0.95


def test_what_is_left_is_not_noticed(undersampled):
    """Less misfit than as drawn, and the misfits are those of the images that are returned."""
    volume = first_slices(undersampled, 1)
    images = reference_image(volume)
    found = invent(volume, images, Lesion(0, (24, 24), 2.0, 2.0))
    without, drawn, corrected = found.misfits
    assert drawn > without + 0.02
    assert abs(corrected - without) < 0.1 * (drawn - without)
    measurement = measurement_of(volume)
    for image, misfit in ((found.drawn, drawn), (found.corrected, corrected)):
        torch.testing.assert_close(
            residual(measurement, image[None] / volume.scale[0]).item(), misfit, rtol=1e-4, atol=0
        )


def test_extreme_places():
    share = torch.full((40, 60), 0.5)
    share[18:23, 28:33], share[8:13, 38:43], share[:5, :5] = 0.1, 0.9, 0.0
    tissue = torch.zeros(40, 60, dtype=torch.bool)
    tissue[3:37, 3:57] = True  # the darkest corner is not well inside
    lowest, highest = least_and_most_determined(share, tissue)
    assert (abs(lowest[0] - 20), abs(lowest[1] - 30)) <= (1, 1)
    assert (abs(highest[0] - 10), abs(highest[1] - 40)) <= (1, 1)
