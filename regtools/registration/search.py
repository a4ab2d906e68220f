"""Follow a path from each of several starts, spend little on those that lead nowhere."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, replace

import torch

from ..images import checks
from ..solvers import Record, Status, tell
from .minimise import newton
from .path import PathResult, coarsened, predictor_corrector
from .starts import MAKERS, STARTS, NoStartError
from .transforms import split_affine

CLEAR = 0.005
"""Misfit at which `start="auto"` looks no further."""
AGREED = 0.5
"""Misfit at which it looks no further if features and another start end at one map."""
MANY = 4
"""From so many starts of one name on, each is followed over one scale, and the lowest further."""
FOLLOWED = 2
"""How many of these are followed to the end."""
FEW_STEPS = 10
"""Corrector steps at that scale."""
NOTHING = 0.99
"""Part of the loss of a black template above which nothing is taken to be in sight."""
LOST = (Status.NO_OVERLAP, Status.NOT_FINITE)


@dataclass(frozen=True, kw_only=True, repr=False)
class Attempt(Record):
    """One start, and where it led.

    Attributes
    ----------
    name : str
        "identity", "moments", "angles", "features" or "own", with a number if there are several.
    w0, w : torch.Tensor or None
        Parameters at the start and at the end; None if the images suggest no such start.
    theta : float
        Blur in pixels⁴ of the last scale that was reached; NaN if there is none.
    loss : float
        At `w` and the last scale of all, so that starts can be compared; NaN without `w`.
    misfit : float
        The same over the loss of a constant template with the mean of the reference.
    mirrored : bool
        Whether the image was turned over on the way; such an end comes behind the others.
    n_iter : int
        Corrector steps.
    status : Status or None
        How the last scale ended, or "no overlap" where nothing of the template is in sight; None if
        there is no start.
    message : str
        The same in words, or why there is no start.
    path : PathResult or None
        None if it was not followed to the end.
    """

    name: str
    w0: torch.Tensor | None = None
    w: torch.Tensor | None = None
    theta: float = math.nan
    loss: float = math.nan
    misfit: float = math.nan
    mirrored: bool = False
    n_iter: int = 0
    status: Status | None = None
    message: str = field(repr=False)
    path: PathResult | None = field(default=None, repr=False)

    @property
    def rank(self):
        """What orders attempts: the first is the best."""
        return self.status in LOST, self.mirrored, self.misfit


def wishes(start, problem) -> tuple[list, bool]:
    """Return what to try, names or tensors, and whether to stop early."""
    if isinstance(start, str) and start == "auto":
        names = [
            name
            for name in ("identity", "moments", "features", "angles")
            if (name != "moments" or problem.overlap is None)
            and (name != "angles" or problem.transform.turns)
            and (name != "features" or problem.domain.dim == 2)
        ]
        return names, True
    items = [start] if isinstance(start, str) or torch.is_tensor(start) else start
    try:
        items = list(items)
    except TypeError as error:
        raise TypeError(
            f"start must be a name, a tensor or a sequence of these; got {checks.kind(start)}"
        ) from error
    if not items:
        raise ValueError("start must hold at least one start; got none")
    return [_checked(item, problem) for item in items], False


def _checked(item, problem):
    """A name, or parameters one a row."""
    if isinstance(item, str):
        if item not in STARTS:
            names = f'"auto", or made of {list(STARTS)} and tensors'
            raise ValueError(f"start must be {names}; got {item!r}")
        return item
    if not torch.is_tensor(item):
        raise TypeError(f"start must hold names and tensors; got {checks.kind(item)}")
    checks.check_constant("start", item)
    checks.check_like("start", item, problem.reference.data)
    rows, p = item if item.ndim == 2 else item[None], problem.transform.n_params
    whole = problem.domain.dim * (problem.domain.dim + 1)
    if not len(rows) or rows.ndim != 2 or rows.shape[1] not in (p, whole):
        shapes = f"({p},) or (k, {p})" + (f", or {whole} for affine maps" if p != whole else "")
        raise ValueError(f"start must have shape {shapes}; got {tuple(item.shape)}")
    checks.check_finite("start", item, "value")
    if rows.shape[1] != p:
        return torch.stack([problem.transform.from_affine(row) for row in rows])
    return rows


def covered(problem, w) -> torch.Tensor:
    """Return where the moved points lie in the template's box, of the shape of the reference."""
    inside = problem.template.domain.contains(problem.moved_points(w))
    return inside.reshape(problem.domain.m)


class Search:
    """The attempts on one problem.

    Parameters
    ----------
    problem : RegistrationProblem
        With an affine map.
    thetas : sequence of float
        Scales of a path.
    callback : callable or None
        Told of each attempt.
    progress : callable or None
        Told of each scale: the name of the start, how many are done, and of how many.
    """

    def __init__(self, problem, thetas, callback, progress=None):
        self.problem, self.thetas = problem, thetas
        self.callback, self.progress = callback, progress
        self.attempts, self.stopped = [], False
        self.alone = problem.box_volume
        if problem.distance == "ssd":
            variance = float(problem.reference.data.var(correction=0))
            self.alone *= variance if problem.overlap is None else problem.overlap.variance

    def run(self, wished: tuple[list, bool]) -> None:
        """Try what is wished for; Ctrl-C leaves what there is, if there is something."""
        items, early = wished
        try:
            for item in items:
                self._try(item, early)
                if self.stopped or (early and self._clear()):
                    break
        except KeyboardInterrupt:
            self.stopped = True
        if self.stopped and not self._followed():
            raise KeyboardInterrupt

    def best(self) -> Attempt:
        """Return the attempt that ended lowest; raise if nothing could be tried."""
        if not self._followed():
            reasons = "; ".join(f"{one.name}: {one.message}" for one in self.attempts)
            raise ValueError(f"start must name a start that these images have; got {reasons}")
        return min(self._followed(), key=lambda one: one.rank)

    def _followed(self):
        return [one for one in self.attempts if one.path is not None]

    def _try(self, item, early):
        name, starts = "own", item
        if isinstance(item, str):
            try:
                name, starts = item, MAKERS[item](self.problem)
            except NoStartError as error:
                return self._report(Attempt(name=item, message=str(error)))
            except ImportError as error:
                if not early:
                    raise
                return self._report(Attempt(name=item, message=str(error)))
        before = sum(one.name.startswith("own") for one in self.attempts) if name == "own" else 0
        single = len(starts) == 1 and name != "own"
        names = [name if single else f"{name} {k + before}" for k in range(len(starts))]
        pairs = list(zip(names, starts, strict=True))
        if name != "own" and len(starts) >= MANY:
            return self._screen(pairs)
        # Features are right to a few pixels, and a strong blur would lose that.
        first = len(self.thetas) // 2 if name == "features" else 0
        for name, w0 in pairs:
            self._report(self._follow(name, w0, w0, first))
            if self.stopped:
                return None
        return None

    def _screen(self, pairs):
        """Follow all over one scale, and from there those that are lowest and differ."""
        first = len(self.thetas) // 5
        glances = []
        for k, (name, w0) in enumerate(pairs):
            self._progress(pairs[0][0].split()[0], k, len(pairs))
            task, blur = coarsened(self.problem, self.thetas[first])
            result = newton(task, blur, w0, max_iter=FEW_STEPS)
            glances.append(self._attempt(name, w0, result, self.thetas[first], result.loss))
            if result.status is Status.STOPPED:
                raise KeyboardInterrupt
        kept: list[Attempt] = []
        for one in sorted(glances, key=lambda one: one.rank):
            if len(kept) < FOLLOWED and all(self._apart(one, other) > 1 for other in kept):
                kept.append(one)
        for one in glances:
            if self.stopped or all(one is not other for other in kept):
                loss = float(self.problem.loss(one.w, self.thetas[-1]))
                one = replace(one, loss=loss, misfit=loss / self.alone)
                self._report(replace(one, message="left after one scale: others are lower there"))
            else:
                self._report(self._follow(one.name, one.w0, one.w, first, one.n_iter))

    def _follow(self, name, w0, w, first, n_before=0):
        """The attempt that a path makes from w."""
        thetas = self.thetas[first:]
        done = itertools.count(1)
        path = predictor_corrector(
            self.problem,
            thetas,
            w,
            predictor=None,
            coarse=True,
            callback=lambda step: self._progress(name, next(done), len(thetas)),
        )
        self.stopped = self.stopped or path.status is Status.STOPPED
        theta = path.steps[-1].theta if path.steps else math.nan
        loss = float(self.problem.loss(path.w, self.thetas[-1]))
        one = self._attempt(name, w0, path, theta, loss)
        one = replace(one, n_iter=one.n_iter + n_before, path=path)
        if self.problem.overlap is None and one.status not in LOST and self._off(path.w, loss):
            message = "the moved template shows nothing of what the reference shows"
            one = replace(one, status=Status.NO_OVERLAP, message=f"{message}. {one.message}")
        return one

    def _off(self, w, loss):
        """Whether a template that is black outside has left what the reference shows.

        So it has where it correlates only with dark and bright exchanged: black stays black.
        """
        theta = self.thetas[-1]
        squares = self.problem.measure is None
        inverted = squares and self.problem.brightness(w, theta)[0] < 0
        return inverted or loss > NOTHING * self.problem.loss_out_of_sight(theta)

    def _attempt(self, name, w0, result, theta, loss):
        maps = (self.problem.transform.affine(w) for w in (w0, result.w))
        before, after = (torch.linalg.det(split_affine(one)[0]) for one in maps)
        return Attempt(
            name=name,
            w0=w0,
            w=result.w,
            theta=theta,
            loss=loss,
            misfit=loss / self.alone,
            mirrored=bool(before * after < 0),
            n_iter=result.n_iter,
            status=result.status,
            message=result.message,
        )

    def _progress(self, *state):
        tell(self.progress, *state, name="progress")

    def _report(self, attempt):
        self.attempts.append(attempt)
        tell(self.callback, attempt)

    def _clear(self):
        """Whether the best so far needs no other."""
        ends = [one for one in self._followed() if one.status not in LOST and not one.mirrored]
        if not ends:
            return False
        best = min(ends, key=lambda one: one.rank)
        if best.misfit < 0:  # a distance of one's own, of which nobody knows what is good
            return False
        if best.misfit <= CLEAR:
            return True
        same = {one.name.split()[0] for one in ends if self._apart(one, best) < 1}
        return best.misfit <= AGREED and "features" in same and len(same) > 1

    def _apart(self, one, other):
        """How far two maps move a corner of the box apart, in cells."""
        domain = self.problem.domain
        ends = zip(domain.lower, domain.upper, strict=True)
        corners = one.w.new_tensor(list(itertools.product(*ends)))
        gap = self.problem.transform(one.w, corners) - self.problem.transform(other.w, corners)
        return float((gap / gap.new_tensor(domain.h)).norm(dim=1).max())
