import pytest
import torch

from mri_ambient.errors import UserError
from mri_ambient.training.memory import out_of_memory_is_a_user_error


def test_real_allocations_that_fail():
    told = "^lap 1: there was not enough memory; buy some$"
    with pytest.raises(UserError, match=told), out_of_memory_is_a_user_error("lap 1", "buy some"):
        torch.empty(10**15)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="size"), out_of_memory_is_a_user_error("lap 1", "buy some"):
        torch.zeros(2) + torch.zeros(3)
