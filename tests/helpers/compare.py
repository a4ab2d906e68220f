"""Comparison of tensors."""

import torch


def close(ours, expected, tol=1e-12):
    """Both agree to `tol`, relative to the size of the whole."""
    torch.testing.assert_close(ours, expected, rtol=0, atol=tol * float(expected.abs().max()))
