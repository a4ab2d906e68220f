"""The explorer of chapter 8, and what it shows of a run with inexact projections."""

from dataclasses import dataclass

import torch

from ._shared import picture_size, relative_error
from .explorer import Control, Explorer, Panel
from .plotting import plot_image, plot_residual

LIMIT = 80.0  # grey values at which the colours of the error end


@dataclass(frozen=True)
class Iterate:
    """One iterate of a run, looked at with an exact solve.

    Attributes
    ----------
    count : int
        CG iterations of each projection of the run.
    step : int
        Accepted steps so far; the last one where the run has ended before.
    image : torch.Tensor
        Shape ``domain.m``: the image that fits the maps best, from an accurate solve.
    error : float
        Norm of `image` minus the true image, relative to the true image.
    inexact_error : float
        The same for the image after `count` CG iterations, which the run itself has seen.
    loss : float
        Reduced objective, that is, with the exact image.
    """

    count: int
    step: int
    image: torch.Tensor
    error: float
    inexact_error: float
    loss: float


def exact_iterates(problem, run, truth, count):
    """Solve exactly at every iterate of a run whose projections were not exact.

    Parameters
    ----------
    problem : SuperResolutionProblem
        What was minimised.
    run : VarProResult
        From `varpro`, with ``n_iter_cg=count``.
    truth : torch.Tensor
        The image that the frames come from, shape `domain.m`.
    count : int
        CG iterations of each projection of the run.

    Returns
    -------
    list of Iterate
        The start and every accepted iterate.

    References
    ----------
    Paper, section 4.3.2: final errors are measured after an exact solve.
    """
    iterates = []
    for state in run.history:
        image = problem.reconstruct(state.w)
        inexact = problem.reconstruct(state.w, count)
        iterates.append(
            Iterate(
                count,
                state.iteration,
                image,
                relative_error(image, truth),
                relative_error(inexact, truth),
                float(problem.loss(state.w, image)),
            )
        )
    return iterates


def inexact_explorer(problem, iterates, truth):
    """Show the reconstructions of runs that differ in the CG iterations of each projection.

    Parameters
    ----------
    problem : SuperResolutionProblem
        In two dimensions.
    iterates : dict
        Lists from `exact_iterates` by number of CG iterations; at least two.
    truth : torch.Tensor
        The image that the frames come from, shape `domain.m`.

    Returns
    -------
    Explorer
        Sliders over the CG iterations and over the Gauss–Newton steps.

    Raises
    ------
    ValueError, TypeError
        If `iterates` are fewer than two lists or hold an empty one, or `truth` does not fit.
    """
    if len(iterates) < 2 or not all(iterates.values()):
        raise ValueError(f"iterates must be at least 2 lists; got counts {list(iterates)}")
    problem.check_image(truth, "truth")
    along = dict(sorted(iterates.items()))
    last = max(len(found) for found in along.values()) - 1
    domain = problem.domain
    size = picture_size(domain, 2.3, 2.4)
    highest = 100 * max(one.error for found in along.values() for one in found)
    lowest = 100 * min(one.error for found in along.values() for one in found)

    def compute(count, step):
        found = along[count]
        return found[min(step, len(found) - 1)]

    def draw_image(one, ax):
        plot_image(one.image, domain, ax)

    def draw_error(one, ax):
        plot_residual(one.image - truth, domain, ax, largest=LIMIT)

    def draw_curves(one, ax):
        for count, found in along.items():
            errors = [100 * other.error for other in found]
            shown = count == one.count
            style = {"color": "C0", "lw": 1.8, "zorder": 3} if shown else {"color": "0.75", "lw": 1}
            ax.plot(range(len(errors)), errors, **style)
        ax.plot(one.step, 100 * one.error, "o", color="C0", ms=6, zorder=4, clip_on=False)
        ticks = [t for t in (5, 10, 15, 20, 30, 50, 100) if 0.9 * lowest <= t <= 1.1 * highest]
        ax.set(yscale="log", ylim=(0.9 * lowest, 1.1 * highest), xlim=(0, max(last, 1)))
        ax.set_yticks(ticks, [str(tick) for tick in ticks])
        ax.minorticks_off()
        ax.set(xlabel="Gauss–Newton step", ylabel="error [%]")

    def describe(one):
        plural = "s" if one.count > 1 else ""
        return (
            f"After {one.step} Gauss–Newton steps with {one.count} CG iteration{plural} a "
            f"projection, the exact image for these maps has an error of {100 * one.error:.0f} % "
            f"(the inexact one {100 * one.inexact_error:.0f} %)."
        )

    return Explorer(
        compute,
        [
            Panel(
                draw_image,
                lambda one: f"The exact image after {one.step} steps.",
                size=size,
                lossless=False,
            ),
            Panel(
                draw_error,
                "That image minus the true one, red where it is too bright, blue where too dark.",
                size=size,
                lossless=False,
            ),
            Panel(
                draw_curves,
                "Error of the exact image over the Gauss–Newton steps, one curve for each number "
                "of CG iterations, with this one in blue.",
                size=(2.9, 2.4),
            ),
        ],
        [
            Control("count", "CG iterations", list(along), initial=25, format="{}"),
            Control("step", "Gauss–Newton step", list(range(last + 1)), initial=last, every=5),
        ],
        name="inexact",
        describe=describe,
        title="Projections with few CG iterations",
    )
