import torch

from mri_ambient.processes import Spread, run_jobs


def threads_of(job: str) -> int:
    return torch.get_num_threads()


def test_workers_share_the_threads_that_this_process_may_use():
    """As OMP_NUM_THREADS or a scheduler's share of the cores bound them: more would wait for each other."""
    before, found = torch.get_num_threads(), {}
    torch.set_num_threads(4)
    try:
        for workers in (1, 2, 8):
            run_jobs(
                threads_of,
                [("job",)],
                Spread(workers),
                "counting",
                lambda _, result, w=workers: found.update({w: result()}),
            )
    finally:
        torch.set_num_threads(before)
    assert found == {1: 4, 2: 2, 8: 1}
