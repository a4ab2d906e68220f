"""The explorer of chapter 4, and the comparison of predictions behind it."""

from dataclasses import dataclass

import numpy as np
import torch

from ..registration import gradient, mixed_derivative, predictor_corrector, second_order_model
from .explorer import Control, Explorer, Panel
from .plotting import plain

MATRICES = ("exact", "2JTJ", "JTJ", "printed sign")
"""What a step may be predicted with; the last is the exact Hessian and a step backwards."""

LABELS = {
    "exact": "exact",
    "2JTJ": r"$2\mathsf{J}^\top\mathsf{J}$",
    "JTJ": r"$\mathsf{J}^\top\mathsf{J}$",
}
STYLES = {
    "exact": {"color": "C0", "ls": "-", "marker": "o"},
    "2JTJ": {"color": "C2", "ls": "--", "marker": "s"},
    "JTJ": {"color": "C1", "ls": ":", "marker": "^"},
}
NAMES = {"exact": "the exact Hessian", "2JTJ": "2JᵀJ", "JTJ": "JᵀJ"}


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
        w=w,
        w_corrected=after.w,
        steps=steps,
        losses={name: float(problem.loss(*place)) for name, place in places.items()},
        gradient_norms={
            name: float(gradient(problem, *place).norm()) for name, place in places.items()
        },
        relative_spectrum=relative_spectrum(model),
    )


def relative_spectrum(model):
    """Return the eigenvalues of (2JᵀJ)⁻¹∇²J of a `LocalModel`, ascending.

    Parameters
    ----------
    model : LocalModel
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


def hessian_explorer(problem, thetas, w0):
    """Compare the steps predicted by the exact Hessian, 2JᵀJ and JᵀJ along a path.

    Parameters
    ----------
    problem : RegistrationProblem
        Without a regulariser.
    thetas : sequence of float
        Scales of the path, decreasing, in pixels⁴; at least three.
    w0 : torch.Tensor
        Start of the path, shape ``(n_params,)``.

    Returns
    -------
    Explorer
        One slider over theta, the scale that is predicted.
    """
    comparisons = compare_predictions(problem, predictor_corrector(problem, thetas, w0))
    along = {one.theta: one for one in comparisons}
    lengths = np.linspace(-0.25, 1.5, 15)
    shown = tuple(LABELS)

    def compute(theta):
        one = along[theta]
        curves = {
            name: np.array(
                [
                    one.excess(float(problem.loss(one.w + s * one.steps[name], theta)))
                    for s in lengths
                ]
            )
            for name in shown
        }
        return one, curves

    def draw_losses(result, ax):
        one, curves = result
        for name in shown:
            style = STYLES[name]
            ax.plot(lengths, curves[name], label=LABELS[name], **style | {"marker": ""})
            at_one = one.excess(one.losses[name])
            ax.plot(1, at_one, style["marker"], color=style["color"], ms=5, clip_on=False)
        ax.axhline(0, color="k", lw=0.8, zorder=0)
        ax.axhline(1, color="0.7", lw=0.8, ls=":", zorder=0)
        ax.text(-0.22, 0.03, "corrected", color="0.3", fontsize="small")
        ax.text(0.15, 1.03, "no prediction", color="0.3", fontsize="small")
        ax.set(xlim=(-0.25, 1.5), ylim=(-0.1, 2), xlabel="part $s$ of the predicted step")
        ax.set(ylabel="excess loss")
        ax.legend(loc="upper center")

    def draw_spectra(result, ax):
        spectrum = result[0].relative_spectrum
        index = np.arange(1, len(spectrum) + 1)
        for name, values in [
            ("exact", spectrum),
            ("2JTJ", np.ones_like(spectrum)),
            ("JTJ", np.full_like(spectrum, 0.5)),
        ]:
            ax.plot(index, values, label=LABELS[name], ms=4, **STYLES[name])
        ax.set(yscale="log", ylim=(0.1, 2), xlim=(0.7, len(spectrum) + 0.3), xticks=index)
        ax.set_yticks([0.1, 0.2, 0.5, 1, 2], ["0.1", "0.2", "0.5", "1", "2"])
        ax.minorticks_off()
        ax.set(xlabel="number", ylabel="eigenvalue (scaled)")

    def draw_gains(result, ax):
        one = result[0]
        scales = [other.theta for other in comparisons]
        for name in shown:
            gains = [other.gradient_gain(name) for other in comparisons]
            ax.plot(scales, gains, **STYLES[name] | {"marker": ""})
            style = STYLES[name]
            ax.plot(one.theta, one.gradient_gain(name), style["marker"], color=style["color"], ms=5)
        ax.axvline(one.theta, color="0.7", lw=0.8, zorder=0)
        ax.axhline(0, color="k", lw=0.8, zorder=0)
        ax.set(xscale="log", xlim=(1.2 * scales[0], scales[-1] / 1.2), ylim=(-1, 1.05))
        ax.set(xlabel="θ [pixels⁴], the path runs →", ylabel="part of gradient removed")

    def percent(value):
        return f"{100 * value:.0f} %"

    def describe(result):
        one = result[0]
        gains = [percent(one.gradient_gain(name)) for name in shown]
        return (
            f"From θ = {plain(one.theta_before)} to {plain(one.theta)}: of the gradient norm, the "
            f"exact Hessian removes {gains[0]}, 2JᵀJ {gains[1]}, JᵀJ {gains[2]}."
        )

    def describe_losses(result):
        one = result[0]
        parts = [f"{one.excess(one.losses[name]):.2f} with {NAMES[name]}" for name in shown]
        return (
            "Loss along the predicted steps, 1 without prediction and 0 at the corrected point; "
            f"at the end of the step {', '.join(parts)}."
        )

    def describe_spectra(result):
        low, high = result[0].relative_spectrum[[0, -1]]
        return (
            "Eigenvalues in parameters in which 2JᵀJ is the identity: all 1 for 2JᵀJ, all 0.5 for "
            f"JᵀJ, {low:.2f} to {high:.2f} for the exact Hessian."
        )

    values = [one.theta for one in comparisons]
    return Explorer(
        compute,
        [
            Panel(draw_losses, describe_losses),
            Panel(draw_spectra, describe_spectra),
            Panel(draw_gains, "Part of the gradient norm removed over θ, one curve a matrix."),
        ],
        [Control("theta", "Next θ", values, "px⁴", initial=1.0, every=3, format=plain)],
        name="hessian",
        describe=describe,
        title="One step, predicted with three matrices",
    )
