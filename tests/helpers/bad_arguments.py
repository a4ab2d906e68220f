"""Arguments that are no tensors: wrong, of another kind but right, and right but without hope."""

import math

import numpy as np
import torch
from torch.func import vmap

from bad_kinds import Advice, Named, Row, Same
from bad_tensors import (
    MAPS,
    PAIR,
    POINTS,
    PROBLEM,
    REFERENCE,
    RIGHT,
    START,
    TEMPLATE,
    square,
)
from problems import DOMAIN, two_blobs
from regtools import (
    Affine,
    Domain,
    NeuralODE,
    RegistrationProblem,
    Rigid,
    Similarity,
    SplineImage,
    Tikhonov,
    Transform,
    Translation,
    choose_surround,
    gauss_newton_hessian,
    gradient,
    hessian,
    jacobian,
    levenberg_marquardt,
    load,
    mixed_derivative,
    newton,
    predictor_corrector,
    random_maps,
    register,
    second_order_model,
)

ARGUMENTS: list[Row] = []
SLOPES = [2 * RIGHT @ RIGHT]
LINE, CUBE = Domain((0, 1), (8,)), Domain((0, 1, 0, 1, 0, 1), (4, 4, 4))
CALLBACK = "callback must be a function, or None"


def bad(name, words, call, *values):
    """A row for each value that `call` must refuse, with a message that holds the words."""
    for value in values:
        what = f"{words}: {str(value)[:60]!r} {len(ARGUMENTS)}"
        ARGUMENTS.append(Row(name, what, lambda v=value: call(v), Named(words)))


def good(name, what, call, plain):
    ARGUMENTS.append(Row(name, what, call, Same(plain)))


def hopeless(name, words, call):
    ARGUMENTS.append(Row(name, f"{words} {len(ARGUMENTS)}", call, Advice(words)))


# --- what is registered ------------------------------------------------------------------

OTHERS = (None, "p", 3, PROBLEM, RegistrationProblem, TEMPLATE)
for _f in (gradient, hessian, jacobian, gauss_newton_hessian, mixed_derivative, second_order_model):
    bad(_f.__name__, "problem must be a Reg", lambda p, f=_f: f(p, START, 0.5), *OTHERS)
    bad(_f.__name__, "theta", lambda v, f=_f: f(PAIR, START, v), -1, "a", math.nan, None, [1.0])
for _f in (newton, levenberg_marquardt):
    bad(_f.__name__, "problem must be a Reg", lambda p, f=_f: f(p, 0.5, START), *OTHERS)
    bad(_f.__name__, CALLBACK, lambda c, f=_f: f(PAIR, 0.5, START, callback=c), 3, "a")
    bad(_f.__name__, "theta must be smaller", lambda v, f=_f: f(PAIR, v, START), 1e300)
    far = START.clone()
    far[4] = 1e4
    hopeless(_f.__name__, "Start with a w0", lambda f=_f, w=far: f(PAIR, 0.5, w))
    hopeless(_f.__name__, "Start with a w0", lambda f=_f: f(PAIR, 0.5, START * 1e300))
    hopeless(_f.__name__, "raise max_iter", lambda f=_f: f(PAIR, 0.5, START, max_iter=1))
    for _kind in (np.float32, np.array, torch.tensor):
        good(
            _f.__name__,
            f"theta {_kind}",
            lambda f=_f, k=_kind: f(PAIR, k(0.5), START).w,
            lambda f=_f: f(PAIR, 0.5, START).w,
        )
bad("predictor_corrector", "problem", lambda p: predictor_corrector(p, [1.0], START), *OTHERS)
THETAS = (3, "abc", [], ["a"], [1.0, 1.0], [1.0, 2.0], [math.nan], [-1.0], [math.inf], [[1.0]])
THETAS += (np.array([[1.0, 0.5]]), torch.ones(2), [None])
WORDS = ("no", "", 3, ["zero"], {}, np.ones(2), TEMPLATE)


def path(thetas=(1.0,), **options):
    return predictor_corrector(PAIR, thetas, START, max_iter=1, **options)


bad("predictor_corrector", "thetas", path, None, *THETAS)
bad("predictor_corrector", "corrector", lambda v: path(corrector=v), None, *WORDS)
bad("predictor_corrector", "predictor", lambda v: path(predictor=v), *WORDS)
bad("predictor_corrector", CALLBACK, lambda v: path(callback=v), 3, "a")
hopeless("predictor_corrector", "raise max_iter", path)
good("predictor_corrector", "an iterator", lambda: path(iter([2, 1])).w, lambda: path([2.0, 1.0]).w)


def pair(template=TEMPLATE, reference=REFERENCE, **options):
    images = [SplineImage(data, DOMAIN) for data in (template, reference)]
    return RegistrationProblem(*images, Affine(2), **options)


bad(
    "RegistrationProblem",
    "pair must be a Pair",
    lambda v: RegistrationProblem.of(v, Affine(2)),
    None,
    TEMPLATE,
    PAIR,
)
bad(
    "RegistrationProblem",
    "template must be a SplineImage",
    lambda v: RegistrationProblem(v, PAIR.reference, Affine(2)),
    None,
    TEMPLATE,
)
bad(
    "RegistrationProblem",
    "transform must",
    lambda v: RegistrationProblem(PAIR.template, PAIR.reference, v),
    None,
    "affine",
    Affine,
    Affine(3),
)
bad("RegistrationProblem", "surround", lambda v: two_blobs(surround=v), None, *WORDS)
bad("RegistrationProblem", "distance", lambda v: two_blobs(distance=v), None, *WORDS)
bad(
    "RegistrationProblem",
    "template must not be so small or large",
    lambda v: pair(TEMPLATE * v),
    1e200,
    1e-200,
)
bad(
    "RegistrationProblem",
    "regularizer",
    lambda v: two_blobs(regularizer=v, lam=1.0).loss(START, 0.5),
    "x",
    TEMPLATE,
    lambda w: None,
    lambda w: 1.0,
    lambda w: w,
    lambda w: w.sum() * math.nan,
    lambda w: w.sum().float(),
)
bad("RegistrationProblem", "lam", lambda v: two_blobs(regularizer=square, lam=v), 1e200, -1, "1")
bad("RegistrationProblem", "theta", PAIR.reference_values, "x", None, -1)
bad(
    "Tikhonov",
    "w must",
    lambda v: newton(two_blobs(regularizer=Tikhonov(START[:3]), lam=1.0), 0.5, v),
    START,
)
for _name, (_map, _w) in MAPS.items():
    bad(_name, "dtype", _map.identity, "float64", torch.int64, torch.complex128)
    bad(_name, "x must", lambda v, m=_map, w=_w: m.jacobian(w, v), POINTS[0], POINTS[:, :1], None)
    nan = POINTS.clone()
    nan[0] = math.nan
    good(
        _name,
        "NaN goes through",
        lambda m=_map, w=_w, x=nan: m(w, x)[1:],
        lambda m=_map, w=_w: m(w, POINTS)[1:],
    )
    if _name != "NeuralODE":
        bad(_name, "domain", _map.scaling, None, "d", Domain, LINE, CUBE)
for _f in (Affine, Translation, NeuralODE):
    bad(_f.__name__, "dim must", _f, None, "2", 1, 4, 2.5, -2, [2], DOMAIN)
    good(
        _f.__name__,
        "a NumPy number",
        lambda f=_f: f(np.int64(2)).n_params,
        lambda f=_f: f(2).n_params,
    )
bad("Rigid", "domain must", Rigid, None, "d", Domain)
bad("Rigid", "dim must", Rigid, LINE)
bad("Similarity", "domain must", Similarity, None, "d", Domain)
bad("Similarity", "dim must", Similarity, LINE)
bad("NeuralODE", "domain", lambda v: NeuralODE(2, 2, v), "d", Domain, LINE, CUBE)
bad("NeuralODE", "seed", lambda v: NeuralODE(2).identity(seed=v), "a", 1.5, None)
bad("Transform", "abstract", lambda v: Transform(), None)

# --- images and domains ------------------------------------------------------------------

bad("Domain", "omega", lambda v: Domain(v, (4, 4)), None, 3, "abcd", (0, 1, 0), (1, 0, 0, 1), {})
bad("Domain", "omega", lambda v: Domain((0, v, 0, 1), (4, 4)), 0, math.nan, math.inf, "a", 1j)
bad("Domain", "omega", lambda v: Domain((0, v, 0, v), (4, 4)), 1e200, 1e-200, 5e-324)
bad("Domain", "m must", lambda v: Domain((0, 1, 0, 1), v), None, 3, "ab", (4,), (0, 4), (-4, 4))
bad("Domain", "m must", lambda v: Domain((0, 1, 0, 1), (4, v)), 4.0, "4", True, None, 10**18)
bad("Domain", "cells", DOMAIN.padded, None, "a", -1, 1.5, True, math.nan)
bad("Domain", "cells", lambda v: DOMAIN.contains(POINTS, v), None, "a", -1, math.nan, TEMPLATE)
bad("Domain", "dtype", DOMAIN.cell_centers, None, "float64", float, torch.int64, torch.half)
good(
    "Domain",
    "tensors",
    lambda: Domain(torch.arange(4.0), torch.tensor([4, 5])),
    Domain((0, 1, 2, 3), (4, 5)),
)
nowhere = POINTS.clone()
nowhere[:] = math.nan
good("Domain", "NaN is outside", lambda: bool(DOMAIN.contains(nowhere).any()), False)
bad("SplineImage", "domain", lambda v: SplineImage(TEMPLATE, v), None, "d", Domain, TEMPLATE)
bad("SplineImage", "domain.m", lambda v: SplineImage(TEMPLATE, v), LINE, CUBE)
bad("SplineImage", "extension", lambda v: SplineImage(TEMPLATE, DOMAIN, v), None, *WORDS)
bad("SplineImage", "order", lambda v: PAIR.template.taylor(POINTS, 0.5, v), None, "x", -1, 4, 1.5)
bad("SplineImage", "data", lambda v: SplineImage(TEMPLATE * v, DOMAIN), 1e250)
negative = torch._neg_view(-POINTS)
good(
    "SplineImage", "lazily negated", lambda: PAIR.template(negative), lambda: PAIR.template(POINTS)
)
both = torch.stack([TEMPLATE, REFERENCE])
good(
    "SplineImage",
    "vmap over images",
    lambda: vmap(lambda data: SplineImage(data, DOMAIN)(POINTS, 0.5))(both),
    lambda: torch.stack([SplineImage(data, DOMAIN)(POINTS, 0.5) for data in both]),
)
bad("newton", "batched", lambda v: vmap(lambda t: newton(pair(t), 0.5, START).w)(v), both)
bad("register", "batched", lambda v: vmap(lambda t: register(t, REFERENCE).w)(v), both)
bad(
    "choose_surround",
    "picture",
    lambda v: choose_surround(*v),
    [],
    [None],
    [[TEMPLATE]],
    [torch.ones(())],
)
bad(
    "load",
    "m must",
    lambda v: load("hands-phantom", v),
    "8",
    8.0,
    -8,
    0,
    (8,),
    (8, "8"),
    np.ones(2),
    {},
)
bad("load", "name", load, "no", "", 3, None, [], {}, np.ones(2))
bad("random_maps", "domain", lambda v: random_maps(v, [1]), None, "d", Domain, LINE, CUBE)
SEEDS = (None, 3, [], ["a"], [-1], [1.5], [2**40], [None], "ab", [True], [[1]])
bad("random_maps", "seeds", lambda v: random_maps(DOMAIN, v), *SEEDS)
ENDS = (None, 3, (1,), (1, 2, 3), ("a", "b"), (math.nan, 1), (1e308, -1e308))
bad("random_maps", "scales", lambda v: random_maps(DOMAIN, [1], scales=v), *ENDS)
bad("random_maps", "angles", lambda v: random_maps(DOMAIN, [1], angles=v), *ENDS)
good(
    "random_maps",
    "an array",
    lambda: random_maps(DOMAIN, np.array([1])),
    lambda: random_maps(DOMAIN, [1]),
)
