"""A device that isn't there: its tensors claim it, carry the CPU's numbers and refuse to meet the CPU's.

``with pretended():`` makes ``DEVICE`` work as an accelerator would: tensors get there by ``.to`` or ``device=`` alone, an
operation on both kinds raises RuntimeError (numbers and tensors of no dimension may mix, as on CUDA), and NumPy can't see them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")  # of PyTorch's own names the one that needs no driver
COPY = torch.ops.aten._to_copy.default


class Elsewhere(torch.Tensor):
    """A tensor on DEVICE."""

    carried: torch.Tensor

    @staticmethod
    def __new__(cls, carried: torch.Tensor) -> "Elsewhere":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            carried.shape,
            strides=carried.stride(),
            storage_offset=carried.storage_offset(),
            dtype=carried.dtype,
            device=DEVICE,
        )
        made.carried = carried
        return made

    def __repr__(self) -> str:
        return f"Elsewhere({self.carried!r})"

    def tolist(self) -> Any:  # which PyTorch has for every device, and for no subclass
        return self.carried.tolist()

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        return dispatch(function, arguments, keywords or {})


class _Pretending(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        return dispatch(function, arguments, keywords or {})


def dispatch(function: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Run on the numbers that are carried; what comes out is where the operands are, or where it is sent."""
    given, _ = tree_flatten((arguments, keywords))
    there = any(isinstance(one, Elsewhere) for one in given)
    target = keywords.get("device")
    sent = target is not None and torch.device(target).type == DEVICE.type
    if not there and not sent:
        return function(*arguments, **keywords)
    here = [one for one in given if isinstance(one, torch.Tensor) and not isinstance(one, Elsewhere) and one.ndim > 0]
    if any(
        one.device.type == DEVICE.type for one in given if isinstance(one, torch.Tensor) and type(one) is torch.Tensor
    ):
        raise RuntimeError(
            f"{function}: a tensor made on {DEVICE} past PyTorch's dispatcher; make it on the CPU, then .to"
        )
    if there and here:
        raise RuntimeError(f"{function}: tensors on {DEVICE} and on cpu, of shape {tuple(here[0].shape)}")
    if sent:
        keywords = keywords | {"device": torch.device("cpu")}
    found = function(*tree_map(_unwrapped, arguments), **tree_map(_unwrapped, keywords))
    if function is COPY and target is not None and not sent:
        return found
    if function.__name__.split(".")[0].endswith("_") and arguments and found is _unwrapped(arguments[0]):
        return arguments[0]
    return tree_map(_wrapped, found)


def _wrapped(one: Any) -> Any:
    return Elsewhere(one.resolve_conj().resolve_neg()) if isinstance(one, torch.Tensor) else one


def _unwrapped(one: Any) -> Any:
    return one.carried if isinstance(one, Elsewhere) else one


@contextmanager
def pretended() -> Iterator[torch.device]:
    """Yields DEVICE."""
    with _Pretending():
        yield DEVICE
