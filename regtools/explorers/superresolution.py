"""The explorer of chapter 5."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from matplotlib.ticker import LogLocator

from ..superresolution import SuperResolutionProblem
from ..verify import relative_error
from ._shared import image_panel
from .controls import Control
from .explorer import Explorer, Panel
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


@dataclass(frozen=True, eq=False)
class SuperResolutionView:
    """What `superresolution_explorer` computes, draws and says, with the same arguments."""

    problem: SuperResolutionProblem
    w: torch.Tensor
    image: torch.Tensor
    lams: Sequence[float]
    counts: Sequence[int]

    @cached_property
    def found(self):
        """The `Reconstruction` for each pair of λ and number of iterations."""
        return reconstruct_all(self.problem, self.w, self.image, self.lams, self.counts)

    @cached_property
    def best(self):
        """The reconstruction with the smallest error."""
        return min(self.found.values(), key=lambda one: one.error)

    def compute(self, lam, n_iter):
        """Return the `Reconstruction`."""
        return self.found[lam, n_iter]

    def draw_image(self, one, ax):
        """Draw the image."""
        plot_image(one.image, self.problem.domain, ax, "image")

    def draw_error(self, one, ax):
        """Draw the image minus the sharp one."""
        title = f"error {100 * one.error:.1f} %"
        plot_residual(one.image - self.image, self.problem.domain, ax, title, LIMIT)

    def draw_curve(self, one, ax):
        """Draw roughness over misfit for every number of iterations, and mark this setting."""
        for count in self.counts:
            curve = [self.found[lam, count] for lam in self.lams]
            style = {"color": "0.8", "lw": 1} if count != one.n_iter else {"color": "C0"}
            points = [(other.misfit, other.roughness) for other in curve]
            ax.plot(*zip(*points, strict=True), ".-", ms=4, **style)
        ax.plot(one.misfit, one.roughness, "o", color="C1", ms=8)
        limits = {"xlim": self._limits("misfit"), "ylim": self._limits("roughness")}
        ax.set(xscale="log", yscale="log", **limits)
        ax.set(xlabel="data misfit", ylabel=r"roughness $\|\mathsf{L} f\|$")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(lambda value, _: plain(value))
        ax.minorticks_off()

    def _limits(self, name):
        """The range of one number over all settings, and some room."""
        values = [getattr(one, name) for one in self.found.values()]
        return min(values) / 1.3, max(values) * 1.3

    def alt_image(self, one):
        """Return the text alternative of the image."""
        return f"The reconstructed image at λ = {plain(one.lam)}."

    def alt_error(self, one):
        """Return the text alternative of the error."""
        return (
            "Reconstruction minus sharp image, red where it is too bright; relative error "
            f"{100 * one.error:.1f} %."
        )

    def alt_curve(self, one):
        """Return the text alternative of the curves."""
        return (
            "Roughness over data misfit, one curve for each number of iterations; the "
            f"point of this setting is at {plain(one.misfit)} and {plain(one.roughness)}."
        )

    def describe(self, one):
        """Say the error, and what else would do better."""
        plural = "s" if one.n_iter != 1 else ""
        text = (
            f"λ = {plain(one.lam)}, {one.n_iter} CG iteration{plural}: "
            f"error {100 * one.error:.1f} %, "
        )
        if one is self.best:
            return text + "the smallest of all settings here."
        if one.error < 0.97 * self.found[one.lam, self.counts[-1]].error:
            return text + f"after {self.counts[-1]} iterations it will be worse."
        return text + f"the smallest here is {100 * self.best.error:.1f} %."

    def explorer(self, lam=None, n_iter=None):
        """Return the sliders and panels; by default the sliders start at the smallest error."""
        domain = self.problem.domain
        lam = self.best.lam if lam is None else lam
        n_iter = self.best.n_iter if n_iter is None else n_iter
        return Explorer(
            self.compute,
            [
                image_panel(self.draw_image, self.alt_image, domain, 1.8, 2.1),
                image_panel(self.draw_error, self.alt_error, domain, 1.8, 2.1),
                Panel(self.draw_curve, self.alt_curve, size=(2.6, 2.1)),
            ],
            [
                Control("lam", "λ", self.lams, initial=lam, format=plain),
                Control("n_iter", "CG iterations", self.counts, initial=n_iter, format="{:d}"),
            ],
            name="superresolution",
            describe=self.describe,
            title="Two ways to keep noise out: λ, or stopping early",
        )


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
    return SuperResolutionView(problem, w, image, lams, counts).explorer(lam, n_iter)
