"""Every method by its name: the one place where a new one is written down."""

from typing import TYPE_CHECKING

from mri_ambient.registry import Registry

if TYPE_CHECKING:
    from mri_ambient.recon.methods.method import Method

_HERE = "mri_ambient.recon.methods"

METHODS: "Registry[Method]" = Registry(
    "method",
    {
        "zero-filled": f"{_HERE}.classical:ZERO_FILLED",
        "cg-sense": f"{_HERE}.classical:CG_SENSE",
        "l1-wavelet": f"{_HERE}.classical:L1_WAVELET",
        "tv": f"{_HERE}.classical:TV",
        "bart-l1-wavelet": f"{_HERE}.classical_bart:BART_L1_WAVELET",
        "bart-tv": f"{_HERE}.classical_bart:BART_TV",
        "bart-llr": f"{_HERE}.classical_bart:BART_LLR",
        "aos": f"{_HERE}.samplers.aos:AOS",
        "dds": f"{_HERE}.samplers.dds:DDS",
        "daps": f"{_HERE}.samplers.daps:DAPS",
        "quick": f"{_HERE}.samplers.daps:QUICK",
        "mmps": f"{_HERE}.samplers.mmps:MMPS",
        "aald": f"{_HERE}.samplers.aald:AALD",
        "adps": f"{_HERE}.samplers.adps:ADPS",
        "adps-scaled": f"{_HERE}.samplers.adps:SCALED_ADPS",
    },
    reserved=("mean", "std", "samples", "determined", "reference"),  # series of a result
)
