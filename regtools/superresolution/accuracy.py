"""What may be wrong with an image that CG has found."""

import torch


def doubt(problem, result) -> str:
    """Say what may be wrong with the image of a `CGResult`; empty if nothing is."""
    if _is_free(problem, result):
        return (
            f"lam = {problem.lam:g} is lost in rounding beside the data, so patterns that no "
            "frame sees are free. Take float64, or raise lam"
        )
    return result.inaccuracy


def certain(problem, result) -> bool:
    """Say whether the image of a `CGResult` may be part of a success."""
    return result.success and not result.error_bound > 1 and not _is_free(problem, result)


def _is_free(problem, result):
    """Whether λ is too small to determine what no frame sees."""
    stiffness = 4 * sum(weight**2 for weight in problem.difference_weights)
    data = problem.data_weight**2 / problem.factor**problem.domain.dim
    return stiffness < 8 * torch.finfo(result.x.dtype).eps * data
