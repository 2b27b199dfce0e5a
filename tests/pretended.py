"""A device that isn't there: its tensors say that they are on it, hold data of the CPU, and refuse to mix with the CPU's."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

DEVICE = torch.device("meta")  # the one besides the CPU that every build of PyTorch can name


class Elsewhere(Tensor):
    """A tensor of the pretended device."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "Elsewhere":
        made = Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device=DEVICE, strides=inner.stride())
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Callable, types, args=(), kwargs=None):
        raise AssertionError(f"{func}: outside of `pretended()`")


class pretended(TorchDispatchMode):
    """Inside of it ``.to(DEVICE)`` and ``device=DEVICE`` are obeyed, and operations on tensors of two devices raise.

    operations: how many there were on the pretended device.
    """

    operations = 0

    def __enter__(self):
        self.made = _Made()
        self.made.__enter__()
        return super().__enter__()

    def __exit__(self, *raised):
        super().__exit__(*raised)
        self.made.__exit__(*raised)

    def __torch_dispatch__(self, func: Callable, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        tensors = [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]
        there = [tensor for tensor in tensors if isinstance(tensor, Elsewhere)]
        self.operations += bool(there)
        target = kwargs.get("device")
        moves = func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
        if there and not moves and any(tensor.ndim for tensor in tensors if not isinstance(tensor, Elsewhere)):
            raise RuntimeError(f"{func}: tensors on {DEVICE} and on the CPU")
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        plain = tree_map_only(Elsewhere, lambda tensor: tensor.inner, (args, kwargs))
        result = AT_ONCE.get(func, func)(*plain[0], **plain[1])
        name = func._schema.name
        if name.endswith("_") and not name.endswith("__"):
            return args[0]
        if (bool(there) if target is None else torch.device(target).type == DEVICE.type) and func not in HERE:
            return tree_map_only(Tensor, Elsewhere, result)
        return result


class _Made(TorchFunctionMode):
    """What is made of Python's numbers goes there from the CPU, as PyTorch itself does it, unseen by the other mode."""

    def __torch_function__(self, func: Callable, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and kwargs.get("device") == DEVICE:
            return func(*args, **kwargs | {"device": "cpu"}).to(DEVICE)
        return func(*args, **kwargs)


HERE = (torch.ops.aten._local_scalar_dense.default,)
AT_ONCE = {  # below the mode nobody would resolve what is lazy
    torch.ops.aten._conj.default: torch.ops.aten.conj_physical.default,
    torch.ops.aten._neg_view.default: torch.ops.aten.neg.default,
}
