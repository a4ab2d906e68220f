"""Predictions of a path's steps compared: what the exact Hessian and 2JᵀJ each gain, and why."""

from dataclasses import dataclass

import numpy as np
import torch

from .derivatives import gradient, mixed_derivative
from .model import second_order_model

MATRICES = ("exact", "2JTJ", "JTJ", "printed sign")
"""What a step may be predicted with; the last is the exact Hessian and a step backwards."""


@dataclass(frozen=True)
class Comparison:
    """One step of a path, predicted with several matrices.

    Attributes
    ----------
    theta_before, theta : float
        The scale of the old minimiser, and the next one.
    w, w_corrected : torch.Tensor
        Minimisers at the two scales.
    steps : dict
        Predicted change of w for each name in `MATRICES`.
    losses, gradient_norms : dict
        At ``w + steps[name]`` and the new theta; also under ``"start"`` (at `w` and the new
        theta), ``"before"`` (at `w` and the old theta) and ``"corrected"``.
    relative_spectrum : numpy.ndarray
        Eigenvalues of (2JᵀJ)⁻¹∇²J at `w` and the old theta, ascending: the exact Hessian in
        parameters in which 2JᵀJ is the identity. They do not depend on units.
    """

    theta_before: float
    theta: float
    w: torch.Tensor
    w_corrected: torch.Tensor
    steps: dict
    losses: dict
    gradient_norms: dict
    relative_spectrum: np.ndarray

    def loss_gain(self, name, reference="start"):
        """Return (J_ref − J_pred) / J_ref: positive if the prediction helps.

        `reference` is "start", the loss at the new theta without prediction, or "before", the
        loss of the old minimiser at its own theta, as in the published figure.
        """
        return 1 - self.losses[name] / self.losses[reference]

    def gradient_gain(self, name, reference="start"):
        """Return the same for the norm of the gradient."""
        return 1 - self.gradient_norms[name] / self.gradient_norms[reference]

    def excess(self, loss):
        """Return how far `loss` is above the corrected one: 1 without prediction, 0 at best."""
        lowest = self.losses["corrected"]
        return (loss - lowest) / (self.losses["start"] - lowest)


def compare_predictions(problem, path):
    """Predict every step of a path with the exact Hessian, 2JᵀJ, JᵀJ and the printed sign.

    All predictions start at the same minimiser and use the same mixed derivative.

    Parameters
    ----------
    problem : RegistrationProblem
        What was registered, without a regulariser.
    path : PathResult
        From `predictor_corrector`, at least two scales.

    Returns
    -------
    list of Comparison
        One for each step from a scale to the next.

    Raises
    ------
    ValueError
        If the path has one scale only, or the problem a regulariser: JᵀJ is then not half of
        the Gauss–Newton matrix.

    References
    ----------
    Paper, section 3.3.2 and figure 3.
    """
    if len(path.steps) < 2:
        raise ValueError(f"path must have at least 2 scales; got {len(path.steps)}")
    if problem.lam:
        raise ValueError(f"problem must have no regulariser; got lam = {problem.lam}")
    pairs = zip(path.steps[:-1], path.steps[1:], strict=True)
    return [_compare(problem, before, after) for before, after in pairs]


def _compare(problem, before, after):
    w, theta = before.w, after.theta
    model = second_order_model(problem, w, before.theta)
    move = (theta - before.theta) * mixed_derivative(problem, w, before.theta)
    exact, half = model.hessian, model.gauss_newton / 2
    steps = {
        "exact": -torch.linalg.solve(exact, move),
        "2JTJ": -torch.linalg.solve(2 * half, move),
        "JTJ": -torch.linalg.solve(half, move),
        "printed sign": torch.linalg.solve(exact, move),
    }
    places = {name: (w + step, theta) for name, step in steps.items()}
    places |= {"start": (w, theta), "before": (w, before.theta), "corrected": (after.w, theta)}
    return Comparison(
        theta_before=before.theta,
        theta=theta,
        w=w.clone(),
        w_corrected=after.w.clone(),
        steps=steps,
        losses={name: float(problem.loss(*place)) for name, place in places.items()},
        gradient_norms={
            name: float(gradient(problem, *place).norm()) for name, place in places.items()
        },
        relative_spectrum=relative_spectrum(model),
    )


def relative_spectrum(model):
    """Return the eigenvalues of (2JᵀJ)⁻¹∇²J of a `SecondOrderModel`, ascending.

    Parameters
    ----------
    model : SecondOrderModel
        With the exact Hessian; 2JᵀJ must be positive definite.

    Returns
    -------
    numpy.ndarray
        Shape ``(p,)``. Without unit, and the same for all choices of parameter units.
    """
    # Divide by the square roots of the diagonal first: units would cost digits.
    unit = model.gauss_newton.diagonal().sqrt()
    gauss_newton = model.gauss_newton / unit / unit[:, None]
    left = torch.linalg.cholesky(gauss_newton)
    half = torch.linalg.solve_triangular(left, model.hessian / unit / unit[:, None], upper=False)
    both = torch.linalg.solve_triangular(left, half.T, upper=False)
    return torch.linalg.eigvalsh((both + both.T) / 2).numpy(force=True)
