"""What keeps the parameters of a map near those that are wanted."""

from __future__ import annotations

import torch

from ..images import Copied, checks


class Tikhonov:
    """The regulariser S(w) = ‖w − w_ref‖², pulling the parameters towards `reference`.

    Parameters
    ----------
    reference : torch.Tensor
        Shape ``(n_params,)``, usually ``transform.identity()``; a copy is kept.

    Raises
    ------
    TypeError, ValueError
        If `reference` is not a finite float32 or float64 tensor with one axis; when called, if `w`
        has another shape or dtype.

    References
    ----------
    Chapter 3.
    """

    reference = Copied()
    _reference: torch.Tensor

    def __init__(self, reference: torch.Tensor) -> None:
        checks.check_floating("reference", reference)
        if reference.ndim != 1:
            raise ValueError(f"reference must have shape (n_params,); got {tuple(reference.shape)}")
        checks.check_finite("reference", reference, "value")
        self.reference = reference

    def __call__(self, w: torch.Tensor) -> torch.Tensor:
        """Return S(w)."""
        checks.check_vector("w", w, len(self._reference), self._reference)
        return (w - self._reference).square().sum()
