"""Every raw format by its name. The last that knows a file reads it: special kinds of HDF5 come after the general one."""

from mri_ambient.data_prep.readers.format import Format
from mri_ambient.registry import Registry

FORMATS: Registry[Format] = Registry(
    "format",
    {
        "fastMRI HDF5 or any with `kspace`": "mri_ambient.data_prep.readers.hdf5:HDF5",
        "ISMRMRD": "mri_ambient.data_prep.readers.mrd:MRD",
        "BART cfl/hdr": "mri_ambient.data_prep.readers.bart_cfl:CFL",
        "BART ra": "mri_ambient.data_prep.readers.bart_ra:RA",
        "npy": "mri_ambient.data_prep.readers.npy:NPY",
    },
)
