import platform
import subprocess
import sys

import pytest
import torch

from mri_ambient.errors import UserError
from mri_ambient.memory import out_of_memory_is_a_user_error


def test_real_allocations_that_fail():
    told = "^lap 1: there was not enough memory; buy some$"
    with pytest.raises(UserError, match=told), out_of_memory_is_a_user_error("lap 1", "buy some"):
        torch.empty(10**15)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="size"), out_of_memory_is_a_user_error("lap 1", "buy some"):
        torch.zeros(2) + torch.zeros(3)


RESIDENT = """
import os, sys, torch
from pathlib import Path
from mri_ambient.memory import keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

if sys.argv[1] == "kept":
    keep_freed_memory()
before = resident()
blocks = [torch.ones(16 * 2**20) for _ in range(4)]
del blocks
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_kept_for_the_next_step():
    """Of 256 MB that were freed; without the call they are given back to the system, which clears them page by page."""
    kept, given_back = (
        float(subprocess.run([sys.executable, "-c", RESIDENT, how], capture_output=True, check=True).stdout)
        for how in ("kept", "given back")
    )
    assert kept > 200
    assert given_back < 50
