"""DICOM: derived MR images, a series a volume, a file a slice. Needs pydicom."""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from jaxtyping import UInt16

from mri_ambient import __version__
from mri_ambient.console import track
from mri_ambient.errors import UserError
from mri_ambient.recon.export.exporter import Exporter, Extras
from mri_ambient.recon.export.patient import LONGEST, NOT_TEXT, Patient
from mri_ambient.recon.export.slices import heights_mm, spacing_mm
from mri_ambient.recon.result_data import ResultData
from mri_ambient.recon.show.panel import NOTICE
from mri_ambient.recon.show.series import Series

try:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
except ModuleNotFoundError as error:
    raise UserError("--to dicom: needs pydicom, which is not installed; pip install 'mri-ambient[dicom]'") from error

FULL = 2**16 - 1
PLACEHOLDER_MM = 1.0
UNKNOWN = (  # type 2: there, and empty
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
    "PatientPosition",
    "Laterality",
    "SliceThickness",
    "RepetitionTime",
    "EchoTime",
    "EchoTrainLength",
    "ScanOptions",
)


def write_dicom(folder: Path, result: ResultData, series: Sequence[Series], extras: Extras) -> None:
    """``NAME/0001.dcm`` and so on: MR Image Storage, DERIVED, under fresh UIDs; one study, one frame of reference.

    Pixels are 16 bit: value = slope x stored, in the units of the scan's k-space, the slope in a Real World Value Mapping (MR
    images may have no Rescale Slope); one slope for all magnitudes, so that windows compare. What the scan's file does not
    tell, how the patient lies and how far slices are apart, is a placeholder, and ImageComments says so. Nothing about the
    patient is written but what ``extras`` holds, not even the scan's name, which may be a patient's.
    """
    shared = study_level(result, extras.patient)
    for number, one in track(enumerate(series, 1), "dicom", len(series)):
        slope = max(one.largest, 1e-30) / FULL
        (volume,) = one.images
        stored = np.round(volume / slope).clip(0, FULL).astype(np.uint16)
        (folder / one.name).mkdir()
        series_uid = generate_uid()
        for index, pixels in enumerate(stored):
            image = Dataset()
            image.update(shared)
            describe_series(image, result, one, number)
            image.SeriesInstanceUID = series_uid
            place(image, result, index)
            fill(image, pixels, slope, one)
            image.file_meta = FileMetaDataset()
            image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            image.save_as(folder / one.name / f"{index + 1:04d}.dcm", enforce_file_format=True)


def study_level(result: ResultData, patient: Patient) -> Dataset:
    """What all images of an export share."""
    now = datetime.now()
    shared = Dataset()
    shared.SpecificCharacterSet = "ISO_IR 192"
    shared.SOPClassUID = MRImageStorage
    shared.PatientName, shared.PatientID = patient.name, patient.id
    shared.PatientBirthDate, shared.PatientSex = patient.birth_date, patient.sex
    shared.StudyInstanceUID, shared.FrameOfReferenceUID = generate_uid(), generate_uid()
    for unknown in UNKNOWN:
        setattr(shared, unknown, None)
    shared.StudyDescription = "mri-ambient, research"
    shared.Modality = "MR"
    shared.ScanningSequence, shared.SequenceVariant, shared.MRAcquisitionType = "RM", "NONE", "2D"  # RM: research mode
    shared.Manufacturer, shared.SoftwareVersions = "mri-ambient", __version__
    shared.InstanceCreationDate, shared.InstanceCreationTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    shared.SeriesDate, shared.SeriesTime = shared.InstanceCreationDate, shared.InstanceCreationTime
    shared.BurnedInAnnotation, shared.LossyImageCompression = "NO", "00"
    known = "" if result.pixel_mm else "Pixel size unknown: PixelSpacing is a placeholder. "
    between = f"Slice spacing unknown: slices are placed {PLACEHOLDER_MM:g} mm apart."
    if heights_mm(result) is not None:
        between = "Slices are placed along their normal as the scan's file has them, which is called z here."
    if (spacing := spacing_mm(result)) is not None:
        shared.SpacingBetweenSlices = f"{spacing:.6g}"
    shared.ImageComments = (
        f"{NOTICE}. Orientation unknown: ImageOrientationPatient is a placeholder, left and right can't be told. "
        f"{known}{between}"
    )
    return shared


def describe_series(image: Dataset, result: ResultData, series: Series, number: int) -> None:
    about = result.about
    image.SeriesNumber = number
    image.SeriesDescription = long_string(f"{series.title}, R={about.accel:.2f}, research")
    prior = f"prior sha256 {about.prior['weights_sha256']}" if about.prior else "no learned prior"
    source = "simulated" if about.simulated else "raw"
    image.DerivationDescription = (
        f"{series.title}: from undersampled {source} k-space, realised R={about.accel:.2f}, ACS {about.acs[1]} lines; "
        f"{about.method}, {prior}, seed {about.seed}, mri-ambient {about.version}. {NOTICE}."
    )
    image.ImageType = ["DERIVED", "SECONDARY", "OTHER", re.sub(r"[^A-Z0-9_]", "_", series.name.upper())[:16]]


def long_string(text: str) -> str:
    """What VR LO holds of it: there a backslash would begin another value."""
    return NOT_TEXT.sub("_", text)[:LONGEST]


def place(image: Dataset, result: ResultData, index: int) -> None:
    """Columns along x, rows along y, slices along z: stated placeholders but for pixel and slice, if they are known."""
    heights = heights_mm(result)
    image.SOPInstanceUID = generate_uid()
    image.InstanceNumber = index + 1
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.ImagePositionPatient = [0, 0, f"{heights[index]:.6g}" if heights else index * PLACEHOLDER_MM]
    image.PixelSpacing = [f"{spacing:.6g}" for spacing in result.pixel_mm or (PLACEHOLDER_MM, PLACEHOLDER_MM)]


def fill(image: Dataset, pixels: UInt16[np.ndarray, "y x"], slope: float, series: Series) -> None:
    image.Rows, image.Columns = pixels.shape
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.WindowWidth = min(max(round(series.window / slope), 1), 2**16 - 1)
    image.WindowCenter = f"{image.WindowWidth / 2:g}"
    image.RealWorldValueMappingSequence = [real_world_values(slope, series)]
    image.PixelData = pixels.tobytes()


def real_world_values(slope: float, series: Series) -> Dataset:
    code, meaning = ("[arb'U]", "arbitrary unit") if series.arbitrary_units else ("1", "no units")
    unit = Dataset()
    unit.CodeValue, unit.CodingSchemeDesignator, unit.CodeMeaning = code, "UCUM", meaning
    mapping = Dataset()
    mapping.RealWorldValueFirstValueMapped, mapping.RealWorldValueLastValueMapped = 0, FULL
    mapping.RealWorldValueIntercept, mapping.RealWorldValueSlope = 0.0, slope
    mapping.LUTExplanation, mapping.LUTLabel = long_string(series.title), "VALUE"
    mapping.MeasurementUnitsCodeSequence = [unit]
    return mapping


DICOM = Exporter(write_dicom, (".dcm",), "folder")
