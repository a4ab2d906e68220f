"""What acts on a tensor: the one place that asks torch for things it has no public way to tell."""

import sys
from contextlib import nullcontext

import torch
from torch._functorch import eager_transforms
from torch.autograd import forward_ad

_functorch = torch._C._functorch


def values(tensor):
    """Strip what `torch.func` wraps around a tensor, to look at the numbers inside."""
    while _functorch.is_functorch_wrapped_tensor(tensor):
        tensor = _functorch.get_unwrapped(tensor)
    return tensor.detach()


def derivative_depth(tensor):
    """Return how many transforms of `torch.func`, or open dual levels, differentiate `tensor`.

    Batching counts nothing. An open dual level counts once, as a dual number cannot be seen
    from inside a transform; `torch.func.jvp` opens one itself, which is no further derivative.
    """
    count = int(_own_dual_level())
    while _functorch.is_functorch_wrapped_tensor(tensor):
        count += _functorch.is_gradtrackingtensor(tensor)
        tensor = _functorch.get_unwrapped(tensor)
    return count


def is_recorded(tensor):
    """Say whether ordinary autograd follows `tensor`, under whatever wrappers."""
    while _functorch.is_functorch_wrapped_tensor(tensor):
        tensor = _functorch.get_unwrapped(tensor)
    return tensor.requires_grad


def is_followed(tensor):
    """Say whether a derivative in `tensor` may be asked for, by autograd or a transform."""
    inner = tensor
    while _functorch.is_functorch_wrapped_tensor(inner):
        if _functorch.is_gradtrackingtensor(inner):
            return True
        inner = _functorch.get_unwrapped(inner)
    if _own_dual_level():
        with outside_transforms(inner):
            if forward_ad.unpack_dual(inner).tangent is not None:
                return True
    return inner.requires_grad and torch.is_grad_enabled()


def is_batched(tensor):
    """Say whether `vmap` holds several values in one tensor."""
    while _functorch.is_functorch_wrapped_tensor(tensor):
        if _functorch.is_batchedtensor(tensor):
            return True
        tensor = _functorch.get_unwrapped(tensor)
    return False


def is_plain(tensor):
    """Say whether no kind of differentiation or batching acts on `tensor`, now or later."""
    return not (
        _functorch.is_functorch_wrapped_tensor(tensor) or tensor.requires_grad or _own_dual_level()
    )


def outside_transforms(*tensors):
    """Return a context in which `torch.func` sees nothing, if it acts on none of the tensors.

    Inside a transform torch wraps every result, constants too: each operation is slower, and
    what is constant can no longer be told. For operations on these tensors alone.
    """
    if any(map(_functorch.is_functorch_wrapped_tensor, tensors)):
        return nullcontext()
    return torch._C._DisableFuncTorch()


def constant(tensor):
    """Return `tensor` detached, and out of every transform unless one batches it."""
    inner = tensor
    while _functorch.is_gradtrackingtensor(inner):
        inner = _functorch.get_unwrapped(inner)
    with outside_transforms(inner):
        batched = _functorch.is_functorch_wrapped_tensor(inner)
        return tensor.detach() if batched else inner.detach()


def inside_transforms():
    """Say whether any transform of `torch.func` is at work."""
    return torch._C._are_functorch_transforms_active()


def records_program():
    """Say whether the program is being recorded, as `torch.func.linearize` does."""
    recorder = sys.modules.get("torch.fx.experimental.proxy_tensor")  # slow to import
    return recorder is not None and recorder.get_proxy_mode() is not None


def _own_dual_level():
    return forward_ad._current_level >= 0 and eager_transforms.JVP_NESTING == 0
