"""The rounds of `super_resolve`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch

from ..images import Domain, checks
from ..registration import Affine, AffineSubset, Rigid, Translation
from ..solvers import Status, tell
from .exposure import (
    EXPOSURES,
    SMOOTH,
    agreed_exposure,
    despeckled,
    evened,
    explained,
    fit_exposure,
    foreign,
    huber_weights,
    seen_by_frame_0,
    taken_out,
)
from .frames import check_frames, check_pixels, check_weights
from .maps import register_frames, surround_of
from .problem import SuperResolutionProblem
from .reduced import varpro
from .results import SuperResolved
from .smoothing import choose_lam

TRANSFORMS: dict[str, Callable[[Domain], AffineSubset]] = {
    "affine": lambda domain: Affine(domain.dim),
    "rigid": Rigid,
    "translation": lambda domain: Translation(domain.dim),
}
RIM = 3
"""Cells of the canvas beyond the last one that a frame sees."""
AGREEMENTS = 4
"""How often brightness and maps are fitted at most before the first round."""
SETTLED = 0.01
"""Pixels of a frame by which the maps may still move between the last two rounds."""


class Rounds:
    """What stays the same over the rounds, and one round after the other."""

    def __init__(
        self, frames, factor, domain, weights, surround, frames_transform,
        *, lam, noise, margin, psf, exposure, robust,
    ):  # fmt: skip
        checks.check_floating("frames", frames)
        factor = checks.whole("factor", factor)
        if frames.ndim not in (3, 4):
            raise ValueError(
                f"frames must have shape (q + 1, m0, m1[, m2]); got {tuple(frames.shape)}"
            )
        missing = torch.isnan(frames)
        if missing.any():
            weights = torch.ones_like(frames) if weights is None else weights
            weights = torch.where(missing, 0, weights)
        self.weights = check_weights(weights, frames)
        self.frames = check_frames(frames, frames.ndim - 1, weights=self.weights)
        check_pixels(frames)
        m = tuple(frames.shape[1:])
        if domain is None:
            domain = Domain(tuple(float(end) for n in m for end in (0, n)), m)
        checks.check_domain(domain)
        if domain.dim != len(m):
            raise ValueError(f"domain must have {len(m)} axes, as the frames; got {domain.dim}")
        self.frame_domain = Domain(domain.omega, m)
        self.domain = Domain(domain.omega, tuple(n * factor for n in m))
        checks.check_choice("frames_transform", frames_transform, list(TRANSFORMS))
        checks.check_choice("exposure", exposure, list(EXPOSURES))
        checks.check_choice("robust", robust, ["huber", None])
        checks.check_choice("surround", surround, ["auto", "zero", "overlap"])
        for name, value in [("lam", lam), ("margin", margin)]:
            if isinstance(value, str):
                checks.check_choice(name, value, ["auto"])
        auto = ', or "auto"'
        self.lam = None if isinstance(lam, str) else checks.positive("lam", lam, also=auto)
        self.margin = None if isinstance(margin, str) else checks.whole("margin", margin, 0, auto)
        self.noise = None if noise is None else checks.positive("noise", noise)
        self.psf = checks.not_negative("psf", psf)
        self.transform = TRANSFORMS[frames_transform](self.domain)
        self.factor, self.surround = factor, surround
        self.exposure, self.robust = exposure, robust

    def register(self, w0, progress=None):
        """Find maps to start from, brightness, and the frames to use."""
        checks.check_constant("w0", w0)
        self.registration = None
        if self.surround == "auto":
            self.surround = surround_of(self.frames, self.weights)
        plain = despeckled(self.frames) if self.robust else self.frames
        specks = plain != self.frames
        if w0 is None:
            even, done = plain, itertools.count(1)
            if self.exposure is not None and not _constant(plain):
                even = evened(plain, self.weights, self.surround)
            self.registration = register_frames(
                even,
                self.frame_domain,
                surround=self.surround,
                weights=self.weights,
                transform=self.transform,
                callback=lambda _: tell(
                    progress, "frames", next(done), len(even) - 1, name="progress"
                ),
            )
            w0 = self.registration.w
        q = len(self.frames) - 1
        checks.check_like("w0", w0, self.frames)
        if w0.shape != (q * self.transform.n_params,):
            raise ValueError(
                f"w0 must have shape ({q * self.transform.n_params},), {q} blocks of "
                f"{self.transform.n_params}; got {tuple(w0.shape)}"
            )
        checks.check_finite("w0", w0, "value")
        self.w = w0.reshape(q, -1).clone()
        mask = None if self.weights is None else self.weights[0]
        predicted, known = seen_by_frame_0(
            plain[0], mask, self.frame_domain, self.transform, self.w
        )
        known = known if self.weights is None else known * self.weights[1:]
        shares = explained(predicted, plain[1:], known)
        lost = foreign(shares)
        if self.registration is not None:
            paths = self.registration.frames[1:]
            lost += [j for j, path in enumerate(paths) if path.status is Status.NO_OVERLAP]
        self.left_out = tuple(sorted({j + 1 for j in lost}))
        self.used = [j for j in range(q + 1) if j not in self.left_out]
        if len(self.used) < 2:
            raise ValueError(
                "frames must hold at least two that show the same; frame 0 explains no other one"
            )
        self.specks = specks[self.used]
        gain, offset = fit_exposure(predicted, plain[1:], known, self.exposure)
        self.gain = torch.cat([gain.new_ones(1), gain])
        self.offset = torch.cat([offset.new_zeros(1), offset])

    def agree(self, huber):
        """Fit the brightness to an image so smooth that it cannot follow each frame by itself.

        Few frames at a small λ are met with any brightness, a wrong one too.
        """
        if self.exposure is None:
            return
        for _ in range(AGREEMENTS):
            problem, w = self.problem(SMOOTH * min(self.domain.h), huber)
            change = self.adapt(problem, w)
            if change < 1e-3:
                break
            problem, w = self.problem(SMOOTH * min(self.domain.h), huber)
            found = self.solved(problem, w)
            if found.status is Status.STOPPED:  # Ctrl-C, and there is no image yet
                raise KeyboardInterrupt
            self.keep(found.w)

    def keep(self, w):
        """Take these maps for the frames that are used."""
        self.w[[j - 1 for j in self.used[1:]]] = w.reshape(len(self.used) - 1, -1)

    def problem(self, lam, huber):
        """Return the problem with what is known, and its maps."""
        used, w = self.used, self.w[[j - 1 for j in self.used[1:]]].flatten()
        data = taken_out(self.frames[used], self.gain[used], self.offset[used])
        weights = torch.ones_like(data) if self.weights is None else self.weights[used]
        problem = SuperResolutionProblem(
            data,
            self.domain,
            self.factor,
            lam,
            margin=self.cells(w),
            weights=weights,
            psf=self.psf,
            transform=self.transform,
        )
        if self.surround == "overlap":
            weights = weights * problem.covered(w)
        self.known = weights
        return problem.replaced(weights=weights * huber), w

    def round(self, lam, near, huber):
        """Solve with what is known; return the problem and its `VarProResult`.

        Without a `lam` one is chosen, `near` the last one.
        """
        problem, w = self.problem(1.0 if lam is None else lam, huber)
        if lam is None:
            lam, _ = choose_lam(problem, w, noise=self.noise, near=near)
            problem = problem.replaced(lam=lam)
        return problem, self.solved(problem, w)

    def solved(self, problem, w):
        return varpro(
            problem, w, "kaufman", max_iter=10, tol_cg=1e-4, tol_image=1e-5, one_solve=True
        )

    def cells(self, w):
        """The margin: what frames see, and the rim that splines and later rounds need."""
        if self.margin is not None:
            return self.margin
        if self.surround == "zero":
            return 0
        h = w.new_tensor(self.domain.h)
        lower, upper = (w.new_tensor(end) for end in (self.domain.lower, self.domain.upper))
        points = self.domain.cell_centers(w.dtype, w.device)
        beyond = 0.0
        for block in w.reshape(-1, self.transform.n_params):
            y = self.transform(block, points)
            beyond = max(beyond, float(torch.maximum((lower - y) / h, (y - upper) / h).max()))
        return min(math.ceil(beyond) + RIM, max(self.domain.m) // 2)

    def moved(self, w):
        """How far the maps have moved from the last ones, pixels of a frame in the mean."""
        points = self.domain.cell_centers(w.dtype, w.device)
        h = w.new_tensor(self.frame_domain.h)
        rows = [j - 1 for j in self.used[1:]]
        gaps = [
            ((self.transform(new, points) - self.transform(old, points)) / h).norm(dim=1).mean()
            for new, old in zip(w.reshape(len(rows), -1), self.w[rows], strict=True)
        ]
        return float(torch.stack(gaps).max())

    def run(self, w0, max_rounds, callback, progress=None):
        max_rounds = checks.whole("max_rounds", max_rounds)
        self.register(w0, progress)
        history, status = [], Status.MAX_ITERATIONS
        lam = self.lam
        huber, chosen, gap = (~self.specks).to(self.frames), None, math.inf
        self.agree(huber)
        for k in range(max_rounds):
            try:
                problem, result = self.round(lam, chosen, huber)
                history.append(result)
                gap = self.moved(result.w)
                self.keep(result.w)
                tell(callback, result)
                tell(progress, "rounds", k + 1, max_rounds, name="progress")
            except KeyboardInterrupt:
                if not history:
                    raise
                status = Status.STOPPED
                break
            if result.status in (Status.NO_OVERLAP, Status.NOT_FINITE, Status.STOPPED):
                status = result.status
                break
            residual = self.residual(problem, result)
            change = self.adapt(problem, result.w)
            if self.robust:
                huber = huber_weights(residual, self.known > 0, self.specks)
            if lam is None:
                if chosen is not None and 1 / 1.3 < problem.lam / chosen < 1.3:
                    lam = problem.lam
                chosen = problem.lam
            if k and gap < SETTLED and change < 2e-3 and (lam is not None):
                status = Status.CONVERGED
                break
        return self.result(problem, history, status, gap)

    def residual(self, problem, result):
        """The data rows without weights, in the shape of the frames that are used."""
        plain = problem.replaced(weights=None)
        rows = plain.residual(result.w, result.image, "data") / plain.data_weight
        return rows.reshape(plain.frames.shape)

    def adapt(self, problem, w):
        """Fit the brightness again; return by how much a gain has changed."""
        if self.exposure is None:
            return 0.0
        used = self.used
        gain, offset = agreed_exposure(problem, w, self.exposure)
        self.offset[used] += self.gain[used] * offset
        self.gain[used] *= gain
        return float((gain - 1).abs().max())

    def result(self, problem, history, status, gap):
        last, n = history[-1], len(self.frames)
        misfit, overlap = last.image.new_full((n,), math.nan), last.image.new_zeros(n)
        misfit[self.used] = last.misfit
        overlap[self.used] = (self.known > 0).to(overlap.dtype).flatten(1).mean(1)
        words = [
            f"{status.value} after {len(history)} rounds: the maps moved by {gap:.2g} pixels of a "
            f"frame in the last one; λ = {problem.lam:.3g}."
        ]
        if status is Status.MAX_ITERATIONS:
            words.append("Raise max_rounds, or look at misfit and overlap of each frame.")
        if status in (Status.NO_OVERLAP, Status.NOT_FINITE):
            words.append(last.message)
        if self.left_out:
            words.append(
                f"Frames {list(self.left_out)} are left out: frame 0 explains little of them."
            )
        affine = torch.cat([self.transform.affine(block) for block in self.w])
        return SuperResolved(
            success=status is Status.CONVERGED,
            status=status,
            message=" ".join(words),
            n_iter=len(history),
            history=tuple(history),
            image=problem.cropped(last.image).clone(),
            domain=self.domain,
            w=affine.reshape(n - 1, -1),
            lam=problem.lam,
            gain=self.gain,
            offset=self.offset,
            misfit=misfit,
            overlap=overlap,
            left_out=self.left_out,
            surround=self.surround,
            canvas_image=last.image,
            problem=problem,
            registration=self.registration,
        )


def _constant(frames):
    flat = frames.flatten(1)
    return bool((flat.amin(1) == flat.amax(1)).any())
