"""Checks that the exercises of the chapters make of a reader's answer."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["check_answer"]


def check_answer(answer, right, *, rtol=1e-6, atol=0.0):
    """Print whether an answer is right, and if not, in which direction it is off.

    The right value is not printed.

    Parameters
    ----------
    answer : number, text, sequence, numpy.ndarray or torch.Tensor
        What the reader found; ``...`` as long as there is nothing.
    right : number, text, sequence, numpy.ndarray or torch.Tensor
        What it is compared with.
    rtol, atol : float
        An answer is right if each entry differs by at most ``atol + rtol * abs(right)``.

    References
    ----------
    The exercises at the end of each chapter.
    """
    print(_verdict(answer, right, rtol, atol))


def _verdict(answer, right, rtol, atol):
    if answer is None or answer is Ellipsis:
        return "No answer yet: replace the three dots above, and run this cell again."
    if isinstance(right, str):
        same = str(answer).strip().casefold() == right.strip().casefold()
        return "Right." if same else f"Not yet: it is not {str(answer).strip()!r}."
    answer, right = _numbers(answer), _numbers(right)
    if answer is None:
        return "Not yet: the answer is not a number, nor an array of numbers."
    if answer.shape != right.shape:
        return f"Not yet: the answer has shape {answer.shape}, the right one {right.shape}."
    if np.all(np.abs(answer - right) <= atol + rtol * np.abs(right)):
        return "Right."
    if not np.all(np.isfinite(answer)):
        return "Not yet: the answer is not finite."
    if np.allclose(answer, -right, rtol, atol):
        return "Not yet: the sign is wrong."
    scale = float(np.real(np.vdot(right, answer)) / max(np.linalg.norm(right) ** 2, 1e-300))
    if scale > 0 and np.allclose(answer, scale * right, rtol, atol):
        small = "small" if scale < 1 else "large"
        return f"Not yet: too {small}, by a factor of {max(scale, 1 / scale):.3g}."
    if right.ndim:
        wrong = int(np.sum(np.abs(answer - right) > atol + rtol * np.abs(right)))
        return f"Not yet: {wrong} of {right.size} entries differ."
    return "Not yet."


def _numbers(value):
    """`value` as an array of numbers, or None."""
    if torch.is_tensor(value):
        value = value.numpy(force=True)
    try:
        array = np.asarray(value, dtype=complex if np.iscomplexobj(value) else float)
    except (TypeError, ValueError):
        return None
    return array
