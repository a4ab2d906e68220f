"""The explorer of chapter 5."""

from dataclasses import dataclass

import torch
from matplotlib.ticker import LogLocator

from ..superresolution import SuperResolutionProblem
from ._shared import picture_size, relative_error
from .explorer import Control, Explorer, Panel
from .plotting import plain, plot_image, plot_residual

LIMIT = 75.0  # grey values at which the colours of the error end


@dataclass(frozen=True)
class Reconstruction:
    """An image after some CG iterations at one λ, and what it is worth.

    Attributes
    ----------
    lam : float
        Weight of the differences, a length.
    n_iter : int
        CG iterations, from a black image.
    image : torch.Tensor
        Shape ``domain.m``, grey values.
    misfit : float
        Norm of the data rows of the residual, grey value × √volume.
    roughness : float
        Norm of the differences, without λ: grey value / length × √volume.
    error : float
        Distance to the sharp image, relative to its norm.
    """

    lam: float
    n_iter: int
    image: torch.Tensor
    misfit: float
    roughness: float
    error: float


def reconstruct_all(problem, w, image, lams, counts):
    """Reconstruct for every λ and every number of CG iterations.

    Parameters
    ----------
    problem : SuperResolutionProblem
        Gives frames, domain and factor; its own λ is not used.
    w : torch.Tensor
        Maps, shape ``(n_params,)``.
    image : torch.Tensor
        The sharp image, shape ``domain.m``, to measure errors.
    lams : sequence of float
        Weights of the differences.
    counts : sequence of int
        Numbers of CG iterations.

    Returns
    -------
    dict
        A `Reconstruction` for each pair ``(lam, n_iter)``.

    Raises
    ------
    ValueError, TypeError
        If `image` cannot be the image of the problem, or an entry of `lams`, `counts` or `w`
        is not allowed.
    """
    problem.check_image(image)
    found = {}
    for lam in lams:
        here = SuperResolutionProblem(
            problem.frames, problem.domain, problem.factor, lam, problem.fix_first
        )
        operator = here.operator(w)
        for n_iter in counts:
            answer = here.solve(operator, n_iter=n_iter).x
            rows = operator(answer) - here.target
            found[lam, n_iter] = Reconstruction(
                lam,
                n_iter,
                answer,
                float(rows[: here.n_data].norm()),
                float(rows[here.n_data :].norm()) / lam,
                relative_error(answer, image),
            )
    return found


def superresolution_explorer(problem, w, image, lams, counts, lam=None, n_iter=None):
    """Show the image over λ and over the number of CG iterations, at given maps.

    Parameters
    ----------
    problem, w, image, lams, counts
        As for `reconstruct_all`; at least two of `lams` and of `counts`, ascending.
    lam, n_iter : float and int, optional
        Where the sliders start; by default at the smallest error.

    Returns
    -------
    Explorer
        Two sliders; panels for the image, its error, and the L-curve.
    """
    lams, counts = [float(value) for value in lams], [int(count) for count in counts]
    found = reconstruct_all(problem, w, image, lams, counts)
    best = min(found.values(), key=lambda one: one.error)
    domain = problem.domain
    size = picture_size(domain, 1.8, 2.1)

    def draw_image(one, ax):
        plot_image(one.image, domain, ax, "image")

    def draw_error(one, ax):
        plot_residual(one.image - image, domain, ax, f"error {100 * one.error:.1f} %", LIMIT)

    def limits(name):
        values = [getattr(other, name) for other in found.values()]
        return min(values) / 1.3, max(values) * 1.3

    def draw_curve(one, ax):
        for count in counts:
            curve = [found[value, count] for value in lams]
            style = {"color": "0.8", "lw": 1} if count != one.n_iter else {"color": "C0"}
            points = [(other.misfit, other.roughness) for other in curve]
            ax.plot(*zip(*points, strict=True), ".-", ms=4, **style)
        ax.plot(one.misfit, one.roughness, "o", color="C1", ms=8)
        ax.set(xscale="log", yscale="log", xlim=limits("misfit"), ylim=limits("roughness"))
        ax.set(xlabel="data misfit", ylabel=r"roughness $\|\mathsf{L} f\|$")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(lambda value, _: plain(value))
        ax.minorticks_off()

    def describe(one):
        plural = "s" if one.n_iter != 1 else ""
        text = (
            f"λ = {plain(one.lam)}, {one.n_iter} CG iteration{plural}: "
            f"error {100 * one.error:.1f} %, "
        )
        if one is best:
            return text + "the smallest of all settings here."
        if one.error < 0.97 * found[one.lam, counts[-1]].error:
            return text + f"after {counts[-1]} iterations it will be worse."
        return text + f"the smallest here is {100 * best.error:.1f} %."

    return Explorer(
        lambda lam, n_iter: found[lam, n_iter],
        [
            Panel(
                draw_image,
                lambda one: f"The reconstructed image at λ = {plain(one.lam)}.",
                size=size,
                lossless=False,
            ),
            Panel(
                draw_error,
                lambda one: (
                    "Reconstruction minus sharp image, red where it is too bright; relative error "
                    f"{100 * one.error:.1f} %."
                ),
                size=size,
                lossless=False,
            ),
            Panel(
                draw_curve,
                lambda one: (
                    "Roughness over data misfit, one curve for each number of iterations; the "
                    f"point of this setting is at {plain(one.misfit)} and {plain(one.roughness)}."
                ),
                size=(2.6, 2.1),
            ),
        ],
        [
            Control("lam", "λ", lams, initial=best.lam if lam is None else lam, format=plain),
            Control(
                "n_iter",
                "CG iterations",
                counts,
                initial=best.n_iter if n_iter is None else n_iter,
                format="{:d}",
            ),
        ],
        name="superresolution",
        describe=describe,
        title="Two ways to keep noise out: λ, or stopping early",
    )
