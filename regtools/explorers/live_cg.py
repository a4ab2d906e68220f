"""The explorer of chapter 7 that computes in the browser: CG on few unknowns, restarted."""

from dataclasses import dataclass

import matplotlib.style
import numpy as np
import torch
from matplotlib.figure import Figure

from ..solvers import conjugate_gradient, differentiate_cg
from . import _page
from .module import ModuleExplorer
from .plotting import STYLE

BITS = (53, 106, 400)
TITLE = "Restart CG, and differentiate from there"
INTRO = (
    "CG solves a small system whose right-hand side moves with a parameter w. After s of its "
    "iterations it is started again where it stands, and from there on, beginning with zero, it "
    "carries the derivative with respect to w along."
)
ALT = (
    "An explorer of conjugate gradients on 2 and 8 unknowns, differentiated from a restart on: "
    "CG's polynomial at the eigenvalues, the iterates or their errors, and the error of the "
    "derivative for each start, in 53, 106 and 400 bits."
)


@dataclass(frozen=True, eq=False)
class SmallSystem:
    """A symmetric system with a right-hand side that moves; all numbers are exact in binary.

    Attributes
    ----------
    eigenvalues : numpy.ndarray
        Shape ``(n,)``, ascending.
    vectors : numpy.ndarray
        Shape ``(n, n)``, orthogonal eigenvectors as rows, of whole numbers.
    right, tangent : numpy.ndarray
        Shape ``(n,)``, the right-hand side and its derivative.
    count : int
        CG iterations, those before the restart and those after.
    """

    eigenvalues: np.ndarray
    vectors: np.ndarray
    right: np.ndarray
    tangent: np.ndarray
    count: int

    @property
    def matrix(self):
        """The matrix, shape ``(n, n)``."""
        square = (self.vectors[0] ** 2).sum()
        return (self.vectors.T * self.eigenvalues) @ self.vectors / square

    @property
    def data(self):
        """All of it for the page."""
        arrays = {
            name: getattr(self, name).tolist()
            for name in ("matrix", "right", "tangent", "eigenvalues", "vectors")
        }
        return {**arrays, "count": self.count}

    def solution(self):
        """Return the solution and its derivative, both of shape ``(n,)``."""
        both = np.linalg.solve(self.matrix, np.stack([self.right, self.tangent], axis=1))
        return both[:, 0], both[:, 1]

    def iterate(self, start):
        """Return where CG stands after `start` iterations, by the package."""
        right = torch.tensor(self.right)
        if not start:
            return np.zeros_like(self.right)
        return conjugate_gradient(self._product, right, n_iter=start).x.numpy()

    def derivative(self, start):
        """Return the derivative of the last iterate, carried along from iteration `start` on."""
        found = differentiate_cg(
            self._product,
            torch.tensor(self.right),
            torch.tensor(self.tangent)[:, None],
            n_iter=self.count - start,
            x0=torch.tensor(self.iterate(start)),
        )
        return found.dx[:, 0].numpy()

    def error(self, derivative):
        """Return its error in the norm of the matrix, relative to that of no derivative."""
        exact = self.solution()[1]
        gap = derivative - exact
        return float(np.sqrt(gap @ self.matrix @ gap / (exact @ self.matrix @ exact)))

    def _product(self, x):
        return torch.from_numpy(self.matrix) @ x


def two():
    """Two unknowns and two iterations, to be checked on paper."""
    return SmallSystem(
        np.array([1.0, 9.0]),
        np.array([[1.0, -1.0], [1.0, 1.0]]),
        np.array([3.0, 2.0]),
        np.array([1.0, 0.0]),
        count=2,
    )


def eight():
    """Eight unknowns and twelve iterations.

    The right-hand side has the share √λ of the eigenvector of the eigenvalue λ, so that each
    has the same part in the error; its derivative has as much, with four signs changed.
    """
    eigenvalues = 4.0 ** np.arange(8)
    vectors = 4 * np.eye(8) - np.ones((8, 8))  # orthogonal rows of length 4
    shares = np.sqrt(eigenvalues)
    signs = np.repeat([1.0, -1.0], 4)
    right, tangent = shares @ vectors / 4, (signs * shares) @ vectors / 4
    return SmallSystem(eigenvalues, vectors, right, tangent, count=12)


class CGExplorer(ModuleExplorer):
    """What `cg_explorer` shows."""

    module = "cg"


def cg_explorer():
    """Show CG on 2 and on 8 unknowns, differentiated from a restart on, in the reader's browser.

    It computes there, in 53, 106 or 400 bits: CG's polynomial at the eigenvalues, the iterates or
    their errors, and the error of the derivative for each iteration at which differentiation may
    begin. No kernel is asked.

    Returns
    -------
    CGExplorer

    References
    ----------
    Chapter 7.
    """
    systems = [two(), eight()]
    problems = [system.data for system in systems]
    data = {"title": TITLE, "intro": INTRO, "problems": problems, "bits": BITS}
    return CGExplorer(data, _picture(systems[0]), ALT)


def _picture(system):
    """For print: two unknowns, and the second of two iterations differentiated."""
    with matplotlib.style.context(STYLE):
        figure = Figure(figsize=(7.5, 3.2), dpi=_page.DPI, layout="constrained")
        for ax, draw in zip(
            figure.subplots(1, 3), [_draw_polynomial, _draw_walk, _draw_starts], strict=True
        ):
            draw(system, ax)
        return _page.drawn(figure)


def _draw_polynomial(system, ax):
    residual = system.right - system.matrix @ system.iterate(1)
    step = residual @ residual / (residual @ system.matrix @ residual)
    t = np.array([0.0, 10.0])
    ax.plot(t, 1 - step * t, label="polynomial")
    ax.plot(system.eigenvalues, 1 - step * system.eigenvalues, "oC0", label="at an eigenvalue")
    ax.axhline(0, color="0.8", lw=0.8, zorder=0)
    ax.set(title="Polynomial, after the restart", xlabel="t", ylabel="1 − t π(t)")
    _legend(ax)


def _draw_walk(system, ax):
    exact, slope = system.solution()
    path = np.array([system.iterate(k) for k in (0, 1)] + [exact])
    moved = path.copy()
    residual = system.right - system.matrix @ path[1]
    moved[2] = path[1] + residual * (residual @ residual) / (residual @ system.matrix @ residual)
    turn = np.linspace(0, 2 * np.pi, 73)
    axes = system.vectors / np.linalg.norm(system.vectors, axis=1)[:, None]
    energy = exact @ system.matrix @ exact
    for level in (1, 1 / 4, 1 / 16):
        radii = np.sqrt(level * energy / system.eigenvalues)
        around = exact + np.stack([np.cos(turn), np.sin(turn)], 1) * radii @ axes
        ax.plot(*around.T, color="0.8", lw=0.8, zorder=0)
    ax.plot(*moved.T, "o-", label="iterates of CG")
    ax.plot(*exact, "kx", label="solution")
    for start, step, style, label in [
        (exact, slope, "k:", "its derivative"),
        (moved[2], system.derivative(1), "C1", "derivative of the iterate"),
    ]:
        ax.plot(*np.stack([start, start + step]).T, style, label=label)
    ax.set(title="Iterates", xlabel="first unknown", ylabel="second unknown", aspect="equal")
    _legend(ax)


def _draw_starts(system, ax):
    starts = range(system.count + 1)
    ax.plot(starts, [system.error(system.derivative(s)) for s in starts], "oC1-", label="53 bits")
    ax.axhline(1, color="k", ls=":", label="no derivative")
    ax.set(title="Error of the derivative", xlabel="differentiation begins at s")
    ax.set(ylabel="error / error without")
    ax.set_xticks(starts)
    _legend(ax)


def _legend(ax):
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.3))
