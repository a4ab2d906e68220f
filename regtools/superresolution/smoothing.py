r"""How strongly to smooth: λ from the frames themselves, or from the noise they are known to have.

With the maps fixed, the data rows of the fitted image are :math:`S d`, linear in the data, with
:math:`S = A_d (A^T A)^{-1} A_d^T`. Generalised cross-validation chooses the λ that predicts a left
out pixel best, the least :math:`n \lVert d - S d \rVert^2 / (n - \operatorname{tr} S)^2`; the
discrepancy principle the largest λ whose misfit is the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.optimize
import torch

from ..images import checks
from ..solvers import Record, conjugate_gradient
from .problem import SuperResolutionProblem

RANGE = (0.03, 10.0)
"""Smallest and largest λ that is tried, in cells of the image."""


@dataclass(frozen=True, repr=False)
class Trial(Record):
    """One λ that was tried.

    Attributes
    ----------
    lam : float
        A length, as `SuperResolutionProblem` takes it.
    misfit : float
        Root mean square of the data rows, in grey values.
    freedom : float
        tr S over the number of data rows; NaN where it was not needed.
    score : float
        What is minimised, in grey values squared; NaN where the noise is known.
    """

    lam: float
    misfit: float
    freedom: float
    score: float


def choose_lam(
    problem: SuperResolutionProblem,
    w: torch.Tensor,
    *,
    noise: float | None = None,
    near: float | None = None,
    rows: torch.Tensor | None = None,
    n_probes: int = 2,
    tol: float = 1e-4,
    seed: int = 0,
) -> tuple[float, tuple[Trial, ...]]:
    """Return the λ that suits the frames at given maps, and what was tried on the way.

    Parameters
    ----------
    problem : SuperResolutionProblem
        Its own λ does not matter.
    w : torch.Tensor
        Maps, shape ``(n_params,)``.
    noise : float, optional
        Standard deviation of the noise of a pixel, in grey values. With it the discrepancy
        principle decides, without it generalised cross-validation.
    near : float, optional
        Look only within a factor of three of this λ.
    rows : torch.Tensor, optional
        Data rows of several channels, ``(n_data, c)``, each as the first rows of
        ``problem.target``: one λ for all of them, in the place of the problem's own frames.
    n_probes : int
        Random vectors of ±1 that estimate the trace.
    tol : float
        Relative residual of the CG solves.
    seed : int
        Of the random vectors.

    Returns
    -------
    tuple
        λ, between 0.03 and 10 cells of the image, and the tuple of `Trial`.

    Raises
    ------
    ValueError, TypeError
        If `w` or `rows` do not fit `problem`, `noise`, `near` or `tol` is not above 0, or
        `n_probes` is below 1.

    References
    ----------
    Golub, Heath and Wahba (1979); Hutchinson (1989); Morozov (1966). Chapter 5.
    """
    checks.check_kind("problem", problem, SuperResolutionProblem)
    checks.check_constant("w", w)
    problem.check_parameters(w)
    n_probes, tol = checks.whole("n_probes", n_probes), checks.tolerance("tol", tol)
    seed = checks.whole("seed", seed, least=0)
    noise = None if noise is None else checks.positive("noise", noise)
    near = None if near is None else checks.positive("near", near)
    own = problem.target[: problem.n_data, None]
    rows = own if rows is None else rows
    checks.check_like("rows", rows, own)
    if rows.ndim != 2 or len(rows) != len(own) or not rows.shape[1]:
        raise ValueError(f"rows must have shape ({len(own)}, c); got {tuple(rows.shape)}")
    checks.check_finite("rows", rows, "value")
    cell = min(problem.domain.h)
    looks = np.log(np.geomspace(RANGE[1] * cell, RANGE[0] * cell, 7))
    if near is not None:
        looks = np.log(np.geomspace(3 * near, near / 3, 3))
    search = _Search(problem, w, looks, rows, 0 if noise is not None else n_probes, tol, seed)
    best = _least(search) if noise is None else _discrepancy(search, noise)
    return best.lam, tuple(search.trials)


def _least(search):
    """From strong smoothing to weak until the score rises by a tenth, then into the valley."""
    looks = list(search.looks)
    scores: list[float] = []
    for t in looks:
        scores.append(search(t).score)
        if len(scores) > 2 and scores[-1] > 1.1 * min(scores):
            break
    k = min(max(int(np.argmin(scores)), 1), len(scores) - 2)
    scipy.optimize.minimize_scalar(
        lambda t: search(t).score,
        bounds=(looks[k + 1], looks[k - 1]),
        method="bounded",
        options={"xatol": 0.3},
    )
    return min(search.trials, key=lambda trial: trial.score)


def _discrepancy(search, noise):
    """The first λ on the way down whose misfit is below the noise, refined."""
    before = None
    for t in search.looks:
        if search(t).misfit <= noise:
            if before is None:
                break
            options = {"xtol": 0.02, "maxiter": 10}
            scipy.optimize.brentq(lambda t: search(t).misfit - noise, t, before, **options)
            break
        before = t
    return min(search.trials, key=lambda trial: abs(trial.misfit - noise))


class _Search:
    """What is known at each log λ that was tried; each solve starts from the last one."""

    def __init__(self, problem, w, looks, rows, n_probes, tol, seed):
        self.problem, self.w, self.looks, self.tol = problem, w, looks, tol
        self.trials: list[Trial] = []
        used = torch.ones_like(rows[:, 0])
        if problem.weights is not None:
            used = problem.weights.flatten()
        self.n, self.channels = int((used > 0).sum()), rows.shape[1]
        self.squares = self.channels * float(used.square().sum())
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], (len(rows), n_probes))
        probes = torch.as_tensor(signs, device=rows.device).to(rows) * (used > 0)[:, None]
        self.data = torch.cat([rows, probes], dim=1)
        # The rows of the data do not depend on λ.
        self.start, self.operator = None, problem.operator(w)

    def __call__(self, t):
        lam, n = math.exp(t), self.n
        problem = self.problem.replaced(lam=lam)
        operator = self.operator.smoothed(problem.layout)
        rows = self.data.new_zeros(problem.n_rows, self.data.shape[1])
        rows[: len(self.data)] = self.data
        right = operator.adjoint(rows)
        solved = conjugate_gradient(operator.normal, right, self.start, tol=self.tol, columns=True)
        self.start = solved.x
        fitted = operator(solved.x)[: len(self.data)]
        c = self.channels
        square = float((self.data[:, :c] - fitted[:, :c]).square().sum()) / problem.data_weight**2
        freedom = math.nan
        if self.data.shape[1] > c:
            freedom = float((self.data[:, c:] * fitted[:, c:]).sum(0).mean()) / n
        trial = Trial(
            lam=lam,
            misfit=math.sqrt(square / self.squares),
            freedom=freedom,
            score=square / (n * c) / (1 - freedom) ** 2,
        )
        self.trials.append(trial)
        return trial
