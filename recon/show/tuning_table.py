"""What `tune` chose, for the terminal."""

from rich.table import Table

from mri_ambient.recon.evaluate.plan import Run
from mri_ambient.recon.evaluate.tuned import Tuned
from mri_ambient.recon.methods.registry import METHODS


def tuning_table(tuned: Tuned) -> Table:
    """The winners."""
    table = Table(
        title=f"Chosen by {tuned.criterion}, on {len(tuned.scans)} scans, K={tuned.samples}", title_justify="left"
    )
    for name in ("method", "R", "tried", "CRPS", "mean", "one", "changed settings", "T", "held-out limit"):
        table.add_column(name)
    for method, by_accel in tuned.methods.items():
        default = Run(method, method, 1, METHODS[method].settings).as_stored() or {}
        for accel, choice in by_accel.items():
            best = min(choice.scores, key=lambda score: score.crps)
            changed = {k: v for k, v in (choice.settings or {}).items() if default.get(k) != v}
            numbers = [best.crps, best.mean, best.one, choice.temperature, choice.held_out_limit]
            score, mean, one, std_scale, limit = ("" if n is None else f"{n:.3f}" for n in numbers)
            text = ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in changed.items())
            tried = str(len(choice.scores))
            table.add_row(method, f"{accel:g}", tried, score, mean, one, text or "defaults", std_scale, limit)
    return table
