"""The same for solvers of linear systems, tests of derivatives, and super-resolution."""

import math

import numpy as np
import torch

from bad_arguments import CALLBACK, CUBE, LINE, SEEDS, THETAS, WORDS, bad, good, hopeless
from bad_tensors import (
    BOX,
    FRAMES,
    IMAGE,
    MATRIX,
    MOVES,
    PAIR,
    PROBLEM,
    REFERENCE,
    RIGHT,
    START,
    TEMPLATE,
    W,
    registered,
    square,
    times,
)
from regtools import (
    Affine,
    Domain,
    Implicit,
    Kaufman,
    NeuralODE,
    NoDerivative,
    Rule,
    Status,
    SuperResolutionProblem,
    Unrolled,
    adjoint,
    choose_lam,
    conjugate_gradient,
    differentiate_cg,
    dot_product_test,
    enlarged_frame,
    follow_gradient,
    joint_gauss_newton,
    projection_jacobian,
    register,
    register_frames,
    relative_error,
    simulate_frames,
    simulated_problem,
    super_resolve,
    taylor_test,
    varpro,
)

SLOPES = [2 * RIGHT @ RIGHT]


class Of(Rule):
    """A rule whose parts are what it is told."""

    def __init__(self, tangents=None, project=None):
        self.found, self.image = tangents, project

    def project(self, setting, operator, start=None):
        return super().project(setting, operator, start) if self.image is None else self.image

    def tangents(self, setting, operator, projected):
        return self.found(projected.image.new_zeros(*projected.image.shape, 6))


class Counting(Kaufman):
    told = 0

    def count(self, n_iter):
        return self.told


def counting(count):
    rule = Counting()
    object.__setattr__(rule, "told", count)
    return rule


# --- linear systems and tests of derivatives ---------------------------------------------


def solved(A, b=RIGHT, **options):
    return conjugate_gradient(A, b, **options)


def tangents(jvp=times, b=RIGHT, n_iter=3, **options):
    return differentiate_cg(jvp, b, MOVES, n_iter=n_iter, **options)


bad("conjugate_gradient", "A must", solved, None, "A", 3, MATRIX.tolist(), MATRIX.numpy())
bad("conjugate_gradient", "A", solved, lambda x: None, lambda x: x.float(), lambda x: x[None])
bad("conjugate_gradient", "columns", lambda v: solved(MATRIX, MOVES, columns=v), "no", None, 3)
bad("conjugate_gradient", "tol", lambda v: solved(MATRIX, tol=v), 1, 2.0, -1, "a", math.nan)
for _A in (lambda x: x * math.nan, lambda x: -x, lambda x: 0 * x, MATRIX * math.inf):
    hopeless("conjugate_gradient", "Check A", lambda A=_A: solved(A))
hopeless("conjugate_gradient", "Check A", lambda: solved(MATRIX, x0=RIGHT * math.nan))
hopeless("conjugate_gradient", "raise max_iter", lambda: solved(lambda x: times(x) + 1))
good("conjugate_gradient", "sparse", lambda: solved(MATRIX.to_sparse()).x, lambda: solved(MATRIX).x)
good(
    "conjugate_gradient",
    "huge",
    lambda: solved(MATRIX, RIGHT * 2.0**600).x * 2.0**-600,
    lambda: solved(MATRIX).x,
)
good(
    "conjugate_gradient",
    "tiny",
    lambda: solved(MATRIX, RIGHT * 2.0**-600).x * 2.0**600,
    lambda: solved(MATRIX).x,
)
bad("differentiate_cg", "jvp", tangents, None, MATRIX, "x", lambda x: None, lambda x: x.float())
bad("differentiate_cg", "jvp", tangents, lambda x: x[..., 0])
bad("differentiate_cg", "n_iter", lambda v: tangents(n_iter=v), None, "2", -1, 2.5)
bad("differentiate_cg", "skip", lambda v: tangents(skip=v), None, "2", -1, 2.5)
bad("differentiate_cg", "frozen", lambda v: tangents(frozen=v), None, "no", 3)
for _k in (600, -600):
    good(
        "differentiate_cg",
        f"times 2 to the {_k}",
        lambda k=_k: tangents(b=RIGHT * 2.0**k).x * 2.0**-k,
        lambda: tangents().x,
    )
for _A in (lambda x: x * math.nan, lambda x: 0 * x):
    hopeless("differentiate_cg", "Check A", lambda A=_A: tangents(A))
bad("adjoint", "operator", lambda v: adjoint(v, RIGHT), None, MATRIX, "x")
bad("adjoint", "operator", lambda v: adjoint(v, RIGHT), lambda x: None, lambda x: 3.0)
for _k, _name in enumerate(("operator", "adjoint")):
    for _f in (None, "x", lambda x: None, lambda x: x * math.nan, lambda x: 3.0):
        pair = [times, times]
        pair[_k] = _f
        bad("dot_product_test", _name, lambda v: dot_product_test(*v, RIGHT, RIGHT), pair)
bad(
    "dot_product_test",
    "u and v",
    lambda v: dot_product_test(times, times, v, v),
    RIGHT * 1e200,
    RIGHT * 0,
)
bad(
    "relative_error",
    "truth must be finite",
    lambda v: relative_error(v, v),
    RIGHT * 1e200,
    RIGHT * 0,
)
gone = RIGHT.clone()
gone[0] = math.nan
good("relative_error", "NaN goes through", lambda: math.isnan(relative_error(gone, RIGHT)), True)
FUNCTIONS = (None, "x", lambda w: None, lambda w: 3.0, lambda w: w.sum() * math.nan)
bad("taylor_test", "function", lambda v: taylor_test(v, RIGHT, RIGHT, SLOPES), *FUNCTIONS)
bad(
    "taylor_test",
    "derivatives",
    lambda v: taylor_test(square, RIGHT, RIGHT, v),
    None,
    3,
    "ab",
    [None],
)
STEPS = (3, "ab", [], [1.0], [1.0, 1.0], [1.0, -1.0], [1.0, 0.0], [math.inf, 1.0], [1.0, math.nan])
bad(
    "taylor_test",
    "steps",
    lambda v: taylor_test(square, RIGHT, RIGHT, SLOPES, v),
    *STEPS,
    ["a", "b"],
)
bad("taylor_test", "direction", lambda v: taylor_test(square, RIGHT, v, SLOPES), RIGHT * 0)


def wall(w):
    """Finite at the start, and nowhere else."""
    return w.sum() if torch.equal(w, RIGHT) else w.sum() * math.nan


bad("taylor_test", "steps", lambda v: taylor_test(v, RIGHT, RIGHT, SLOPES), wall)
bad("Status", "no", Status, "no")

# --- super-resolution --------------------------------------------------------------------


def problem(**changed):
    given = {"frames": FRAMES, "domain": BOX, "factor": 2, "lam": 1.0}
    return SuperResolutionProblem(**given | changed)


def resolved(frames=FRAMES, factor=2, **changed):
    return super_resolve(frames, factor, **{"w0": W, "lam": 1.0, "max_rounds": 1} | changed)


def placed(frames=FRAMES, domain=BOX, thetas=(1.0,), **options):
    return register_frames(frames, domain, thetas=thetas, **options)


def moved(transform=None, **options):
    return register(
        TEMPLATE, REFERENCE, **{"start": START, "thetas": [1.0], "transform": transform} | options
    )


DOMAINS = ("d", (0, 1, 0, 1), Domain)
TRANSFORMS = ("affine", 3, Affine, NeuralODE(2, 2))
bad("SuperResolutionProblem", "domain", lambda v: problem(domain=v), None, *DOMAINS)
bad("SuperResolutionProblem", "transform", lambda v: problem(transform=v), *TRANSFORMS, Affine(3))
bad(
    "SuperResolutionProblem",
    "frames",
    lambda v: problem(frames=v),
    [FRAMES[0]] * 2,
    [FRAMES[0], IMAGE],
)
bad("SuperResolutionProblem", "frames", lambda v: problem(frames=FRAMES * v), 1e200, 1e-200)
bad("SuperResolutionProblem", "fix_first", lambda v: problem(fix_first=v), "no", None, 3)
bad("SuperResolutionProblem", "lam", lambda v: problem(lam=v), 1e200, math.inf, 0, -1, "auto")
bad("SuperResolutionProblem", "psf", lambda v: problem(psf=v), 1e300, 10, -1, None)
bad("SuperResolutionProblem", "m must", lambda v: problem(margin=v), 10**9)
bad("SuperResolutionProblem", "lam", lambda v: problem().replaced(lam=v), "x")
bad("SuperResolutionProblem", "nothing", lambda v: problem().replaced(nothing=v), 1)
bad("SuperResolutionProblem", "operator", PROBLEM.solve, None, W, "x")
bad("SuperResolutionProblem", "rows", lambda v: PROBLEM.residual(W, IMAGE, v), None, *WORDS)
for _f in (varpro, joint_gauss_newton, projection_jacobian, choose_lam):
    bad(_f.__name__, "problem must be a Sup", lambda p, f=_f: f(p, W), None, "p", PAIR, FRAMES)
for _f in (varpro, joint_gauss_newton):
    bad(_f.__name__, CALLBACK, lambda v, f=_f: f(PROBLEM, W, callback=v), 3, "a")
    bad(_f.__name__, "image0", lambda v, f=_f: f(PROBLEM, W, image0=v), "no", 3, {}, np.ones(2))
    bad(
        _f.__name__,
        "tol_cg",
        lambda v, f=_f: f(PROBLEM, W, tol_cg=v),
        1,
        3.0,
        lambda s: "a",
        lambda s: 3,
    )
    bad(_f.__name__, "scaled", lambda v, f=_f: f(PROBLEM, W, scaled=v), None, *WORDS)
    hopeless(_f.__name__, "raise max_iter", lambda f=_f: f(PROBLEM, W, max_iter=1))
    far = W.clone()
    far[4] = 1e4
    hopeless(_f.__name__, "lie outside the box", lambda f=_f, w=far: f(PROBLEM, w))
    hopeless(_f.__name__, "raise lam", lambda f=_f: f(problem(lam=1e-300), W))
bad("varpro", "derivative", lambda v: varpro(PROBLEM, W, v), *WORDS, Kaufman)
bad("varpro", "rows", lambda v: varpro(PROBLEM, W, rows=v), None, *WORDS)
bad("varpro", "one_solve", lambda v: varpro(PROBLEM, W, one_solve=v), *WORDS)
bad("varpro", "tol_image", lambda v: varpro(PROBLEM, W, tol_image=v), 1, 0, None)
PARTS = (lambda z: None, lambda z: z, lambda z: (z[..., :5], 0), lambda z: (z, None))
PARTS += (lambda z: (z.float(), 0), lambda z: (z.numpy(), 0))
bad("Rule", "tangents", lambda v: varpro(PROBLEM, W, Of(v)), *PARTS)
bad("Rule", "gradient must", lambda v: varpro(PROBLEM, W, Of(v)), lambda z: (z * math.nan, 0))
bad("Rule", "project", lambda v: varpro(PROBLEM, W, Of(project=v)), 3, "image", IMAGE)
bad("Rule", "count", lambda v: varpro(PROBLEM, W, counting(v)), "2", 0, -3, 2.5)
bad("Rule", "abstract", lambda v: Rule(), None)
bad("NoDerivative", "positional", NoDerivative, 3)
bad("NoDerivative", "a class: give an instance", lambda v: varpro(PROBLEM, W, v), NoDerivative)
for _f in (Kaufman, Implicit):
    bad(_f.__name__, "n_iter", _f, "2", 0, -4, 2.5, True)
    good(_f.__name__, "a NumPy number", lambda f=_f: f(np.int64(2)), lambda f=_f: f(2))
for _name in ("last", "first"):
    bad("Unrolled", _name, lambda v, n=_name: Unrolled(**{n: v}), "2", -0.1, 1.1, math.nan, True)
bad("Unrolled", "last or first", lambda v: Unrolled(v, v), 0.5)
bad("Unrolled", "n_iter", Unrolled(last=0.5).counts, "2", None, -1, 2.5)
bad("choose_lam", "seed", lambda v: choose_lam(PROBLEM, W, seed=v), "a", 1.5, -1, None)
bad("choose_lam", "tol", lambda v: choose_lam(PROBLEM, W, tol=v), 1, 0, None)
bad("choose_lam", "lam", lambda v: choose_lam(PROBLEM, W, near=v), 1e300)
bad("choose_lam", "rows", lambda v: choose_lam(PROBLEM, W, rows=v), "a", W, W[:, None])
bad("enlarged_frame", "domain", lambda v: enlarged_frame(FRAMES[0], v), None, *DOMAINS, LINE, CUBE)
bad("enlarged_frame", "theta", lambda v: enlarged_frame(FRAMES[0], BOX, v), -1, "a", None, math.nan)
bad("follow_gradient", "c must", follow_gradient, 0, -1, "a", None, math.nan, math.inf)
bad("follow_gradient", "loosest", lambda v: follow_gradient(loosest=v), 1, 0, "a", None, 1e-9)
bad("simulate_frames", "domain", lambda v: simulate_frames(IMAGE, v, 2, W), None, *DOMAINS)
bad(
    "simulate_frames",
    "image must have shape",
    lambda v: simulate_frames(IMAGE, v, 2, W),
    LINE,
    CUBE,
)
bad(
    "simulate_frames",
    "factor",
    lambda v: simulate_frames(IMAGE, BOX, v, W),
    0,
    -2,
    3,
    2.0,
    "2",
    None,
)
bad("simulated_problem", "name", simulated_problem, "no", 3, None)
bad("simulated_problem", "factor", lambda v: simulated_problem(m=8, factor=v), 0, 3, "2")
bad("simulated_problem", "lam", lambda v: simulated_problem(m=8, lam=v), 0, "2")
bad("simulated_problem", "seeds", lambda v: simulated_problem(m=8, seeds=v), *SEEDS[:3])
bad("register_frames", "domain", lambda v: placed(domain=v), None, *DOMAINS)
bad("register_frames", "frames must have shape", lambda v: placed(domain=v), LINE, CUBE)
bad("register_frames", "transform", lambda v: placed(transform=v), *TRANSFORMS, Affine(3))
bad("register_frames", "thetas", lambda v: placed(thetas=v), *THETAS)
bad("register_frames", "surround", lambda v: placed(surround=v), None, *WORDS)
bad("register_frames", CALLBACK, lambda v: placed(callback=v), 3, "a")
good(
    "register_frames",
    "an iterator",
    lambda: placed(thetas=iter([2, 1])).w,
    lambda: placed(thetas=[2, 1]).w,
)
hopeless("register_frames", "Look at these frames", placed)
bad("register", "domain", lambda v: moved(domain=v), *DOMAINS)
bad("register", "domain.m", lambda v: moved(domain=v), LINE, CUBE)
bad("register", "transform", moved, *TRANSFORMS[1:], Affine(3), "curved")
bad("register", "thetas", lambda v: moved(thetas=v), *THETAS)
bad(
    "register",
    "start",
    lambda v: moved(start=v),
    None,
    3,
    "no",
    "",
    [],
    [3],
    {},
    [[START]],
    np.ones(6),
)
bad("register", "surround", lambda v: moved(surround=v), None, *WORDS)
bad("register", "distance", lambda v: moved(distance=v), None, *WORDS)
unknown = TEMPLATE.clone()
unknown[0, 0] = math.nan
bad("register", "a pixel that is NaN", lambda v: registered(template=v), unknown)
bad("super_resolve", "domain", lambda v: resolved(domain=v), *DOMAINS, LINE, CUBE)
bad("super_resolve", "frames_transform", lambda v: resolved(frames_transform=v), None, *WORDS)
for _name in ("surround", "exposure", "robust", "margin"):
    odd = WORDS if _name != "margin" else ("no", "", ["zero"], {}, np.ones(2), TEMPLATE)
    bad("super_resolve", _name, lambda v, n=_name: resolved(**{n: v}), *odd)
bad("super_resolve", "m must", lambda v: resolved(margin=v), 10**9)
bad("super_resolve", "factor", lambda v: resolved(factor=v), 0, -1, 1.5, "2", None)
bad("super_resolve", "channel_axis", lambda v: resolved(channel_axis=v), 0, 1, 9, 1.5, "a")
bad("super_resolve", "max_rounds", lambda v: resolved(max_rounds=v), 0, -1, 1.5, "2", None)
bad("super_resolve", "frames", lambda v: resolved(FRAMES * v), 1e200, 1e-200)
bad("super_resolve", "frames must have at least 4", resolved, FRAMES[..., :3])
for _n in ("callback", "progress"):
    bad("register", f"{_n} must be a", lambda v, n=_n: moved(**{n: v}), 3, "a")
    bad("super_resolve", f"{_n} must be a", lambda v, n=_n: resolved(**{n: v}), 3, "a")
hopeless("super_resolve", "Raise max_rounds", resolved)
