"""Every metric by its name; the first is what methods are tuned by and judged by before the others."""

from typing import TYPE_CHECKING

from mri_ambient.registry import Registry

if TYPE_CHECKING:
    from mri_ambient.recon.evaluate.metrics.metric import Metric

_HERE = "mri_ambient.recon.evaluate.metrics"

METRICS: "Registry[Metric]" = Registry(
    "metric",
    {
        "NRMSE": f"{_HERE}.nrmse:NRMSE",
        "PSNR": f"{_HERE}.psnr:PSNR",
        "SSIM": f"{_HERE}.ssim:SSIM",
        "HFEN": f"{_HERE}.hfen:HFEN",
    },
)
LEADING = next(iter(METRICS))
