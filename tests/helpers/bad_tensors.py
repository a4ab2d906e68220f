"""Tensors that do not fit, and others that do, handed to every argument that takes a tensor."""

import torch

from problems import DOMAIN, near_identity, two_blobs
from regtools import (
    Affine,
    NeuralODE,
    Rigid,
    Similarity,
    SplineImage,
    SuperResolutionProblem,
    Tikhonov,
    Translation,
    adjoint,
    choose_lam,
    choose_surround,
    conjugate_gradient,
    differentiate_cg,
    dot_product_test,
    enlarged_frame,
    gauss_newton_hessian,
    gradient,
    hessian,
    jacobian,
    joint_gauss_newton,
    levenberg_marquardt,
    mixed_derivative,
    newton,
    predictor_corrector,
    projection_jacobian,
    register,
    register_frames,
    relative_error,
    second_order_model,
    simulate_frames,
    simulated_problem,
    super_resolve,
    taylor_test,
    varpro,
)

PAIR, START = two_blobs(), near_identity(Affine(2))
TEMPLATE, REFERENCE = PAIR.template.data, PAIR.reference.data
MASK, POINTS = torch.ones_like(REFERENCE), DOMAIN.cell_centers()[:5]
SMALL = simulated_problem("hands-phantom", 8, seeds=(2,))
PROBLEM, FRAMES, IMAGE, BOX = SMALL.problem, SMALL.frames, SMALL.image, SMALL.domain
W, OPERATOR = PROBLEM.identity(), PROBLEM.operator(PROBLEM.identity())
MATRIX = torch.tensor([[4.0, 1, 0], [1, 3, 1], [0, 1, 2]]).double()
RIGHT = torch.tensor([1.0, 2, 3]).double()
MOVES = torch.tensor([[1.0, 0], [0, 1], [1, 1]]).double()
MAPS = {
    "Affine": (Affine(2), START),
    "Rigid": (Rigid(DOMAIN), torch.tensor([0.1, 0.2, 0.3]).double()),
    "Similarity": (Similarity(DOMAIN), torch.tensor([0.1, 0.05, 0.2, 0.3]).double()),
    "Translation": (Translation(2), torch.tensor([0.1, 0.2]).double()),
    "NeuralODE": (NeuralODE(2, 2), NeuralODE(2, 2).identity()),
}
PULL = Tikhonov(Affine(2).identity())
PENALISED = two_blobs(regularizer=PULL, lam=1.0)
QUICK = {"start": START, "thetas": [1.0], "surround": "zero"}
FOUND = register(TEMPLATE, REFERENCE, **QUICK)
ROUND = {"lam": 1.0, "max_rounds": 1}


def times(u):
    return MATRIX @ u


def square(w):
    return w.square().sum()


def frames(data, **options):
    return SuperResolutionProblem(data, BOX, 2, 1.0, **options)


def registered(surround="zero", **changed):
    given = {"template": TEMPLATE, "reference": REFERENCE}
    return register(**given | QUICK | {"surround": surround} | changed).w


# Name, argument, call, a value that is right; then kinds that are right, too, or not looked at.
NUMBERS = "nan inf"
TENSORS: list[tuple] = []
for _name, (_map, _w) in MAPS.items():
    TENSORS += [
        (_name, "w", lambda v, m=_map: m(v, POINTS), _w, NUMBERS),
        (_name, "w", lambda v, m=_map: m.jacobian(v, POINTS), _w, NUMBERS),
        (_name, "x", lambda v, m=_map, w=_w: m(w, v), POINTS, NUMBERS + " shorter single"),
        (
            _name,
            "weights",
            lambda v, m=_map, w=_w: m.pull_back(w, POINTS, v),
            POINTS,
            NUMBERS,
        ),
        (_name, "weights", lambda v, m=_map, w=_w: m.curvature(w, POINTS, v), POINTS, NUMBERS),
    ]
    if _name != "NeuralODE":
        TENSORS += [(_name, "w", _map.affine, _w, NUMBERS + " single")]
        TENSORS += [(_name, "affine", _map.from_affine, START, NUMBERS + " single")]
for _f in (gradient, hessian, jacobian, gauss_newton_hessian, mixed_derivative):
    TENSORS += [(_f.__name__, "w", lambda v, f=_f: f(PAIR, v, 0.5), START)]
for _f in (newton, levenberg_marquardt):
    TENSORS += [(_f.__name__, "w0", lambda v, f=_f: f(PAIR, 0.5, v, max_iter=2).w, START)]
for _f in (varpro, joint_gauss_newton):
    TENSORS += [
        (_f.__name__, "w0", lambda v, f=_f: f(PROBLEM, v, max_iter=1).w, W),
        (_f.__name__, "image0", lambda v, f=_f: f(PROBLEM, W, image0=v, max_iter=1).w, IMAGE),
    ]
for _name in ("template_mask", "reference_mask"):
    TENSORS += [
        ("RegistrationProblem", _name, lambda v, n=_name: _masked(n, v).loss(START, 0.5), MASK),
        ("register", _name, lambda v, n=_name: registered("overlap", **{n: v}), MASK),
    ]
for _name in ("operator", "reconstruct", "moved_points", "overlap", "covered"):
    TENSORS += [("SuperResolutionProblem", "w", lambda v, n=_name: _of_w(n, v), W)]
for _name in ("residual", "loss", "misfit"):
    _f = getattr(PROBLEM, _name)
    TENSORS += [("SuperResolutionProblem", "w", lambda v, f=_f: f(v, IMAGE), W)]
    TENSORS += [("SuperResolutionProblem", "image", lambda v, f=_f: f(W, v), IMAGE)]


def _masked(name, value):
    return two_blobs(surround="overlap", **{name: value})


def _of_w(name, w):
    found = getattr(PROBLEM, name)(w)
    return found(IMAGE) if name == "operator" else found


SHAPES = "axis column shorter empty scalar"
TENSORS += [
    ("Domain", "points", DOMAIN.contains, POINTS, NUMBERS + " axis shorter single"),
    ("SplineImage", "data", lambda v: SplineImage(v, DOMAIN)(POINTS), TEMPLATE, "single"),
    ("SplineImage", "points", PAIR.template, POINTS, "shorter"),
    ("SplineImage", "points", lambda v: PAIR.template.taylor(v)[0, 1], POINTS, "shorter"),
    (
        "SplineImage",
        "theta",
        lambda v: PAIR.template(POINTS, v),
        torch.tensor(0.5).double(),
        "list numpy int half single scalar empty shorter axis column",
    ),
    ("Tikhonov", "reference", lambda v: Tikhonov(v)(START), START + 1, "single shorter empty"),
    ("Tikhonov", "w", PULL, START, NUMBERS),
    ("RegistrationProblem", "w", lambda v: PAIR.loss(v, 0.5), START),
    ("RegistrationProblem", "w", PAIR.moved_points, START),
    ("RegistrationProblem", "w", two_blobs(surround="overlap").covered, START),
    ("RegistrationProblem", "w", PENALISED.penalty, START, NUMBERS),
    ("RegistrationProblem", "derivative", PAIR.scaled, START, NUMBERS + " axis"),
    ("RegistrationProblem", "dz", lambda v: PAIR.stepped(START, v), START, NUMBERS),
    ("second_order_model", "w", lambda v: second_order_model(PAIR, v, 0.5).loss, START),
    (
        "predictor_corrector",
        "w0",
        lambda v: predictor_corrector(PAIR, [1.0], v, max_iter=1).w,
        START,
    ),
    ("register", "template", lambda v: registered(template=v), TEMPLATE, "nan shorter"),
    ("register", "reference", lambda v: registered(reference=v), REFERENCE, "nan shorter"),
    ("register", "start", lambda v: registered(start=v), START, "axis"),
    ("register", "picture", FOUND.warp, TEMPLATE, "column nan"),
    ("choose_surround", "picture", choose_surround, TEMPLATE, "axis column shorter single"),
    ("conjugate_gradient", "A", lambda v: conjugate_gradient(v, RIGHT).x, MATRIX, "nan inf sparse"),
    ("conjugate_gradient", "b", lambda v: conjugate_gradient(MATRIX, v).x, RIGHT, "column"),
    ("conjugate_gradient", "x0", lambda v: conjugate_gradient(MATRIX, RIGHT, v).x, RIGHT, NUMBERS),
    (
        "differentiate_cg",
        "b",
        lambda v: differentiate_cg(times, v, MOVES, n_iter=3).dx,
        RIGHT,
        SHAPES + " single",
    ),
    ("differentiate_cg", "db", lambda v: differentiate_cg(times, RIGHT, v, n_iter=3).dx, MOVES),
    (
        "differentiate_cg",
        "x0",
        lambda v: differentiate_cg(times, RIGHT, MOVES, n_iter=3, x0=v).dx,
        RIGHT,
    ),
    ("adjoint", "like", lambda v: adjoint(times, v)(RIGHT), RIGHT, NUMBERS + " single " + SHAPES),
    ("adjoint", "v", lambda v: adjoint(times, RIGHT)(v), RIGHT, NUMBERS),
    (
        "dot_product_test",
        "u",
        lambda v: dot_product_test(times, times, v, RIGHT),
        RIGHT,
        SHAPES + " single",
    ),
    (
        "dot_product_test",
        "v",
        lambda v: dot_product_test(times, times, RIGHT, v),
        RIGHT,
        SHAPES + " single",
    ),
    ("relative_error", "value", lambda v: relative_error(v, RIGHT), RIGHT + 1, NUMBERS + " single"),
    ("relative_error", "truth", lambda v: relative_error(RIGHT, v), RIGHT + 1, "single"),
    (
        "taylor_test",
        "w",
        lambda v: taylor_test(square, v, RIGHT, [2 * RIGHT @ RIGHT]).order,
        RIGHT,
        SHAPES + " single",
    ),
    (
        "taylor_test",
        "direction",
        lambda v: taylor_test(square, RIGHT, v, [2 * RIGHT @ RIGHT]).order,
        RIGHT,
    ),
    (
        "taylor_test",
        "derivatives",
        lambda v: taylor_test(square, RIGHT, RIGHT, [v]).order,
        2 * RIGHT @ RIGHT,
        "scalar",
    ),
    ("enlarged_frame", "frame", lambda v: enlarged_frame(v, BOX), FRAMES[0], "single"),
    ("simulate_frames", "image", lambda v: simulate_frames(v, BOX, 2, W), IMAGE, "single"),
    ("simulate_frames", "w", lambda v: simulate_frames(IMAGE, BOX, 2, v), W),
    ("SuperResolutionProblem", "frames", lambda v: frames(v).reconstruct(W), FRAMES, "single"),
    (
        "SuperResolutionProblem",
        "weights",
        lambda v: frames(FRAMES, weights=v).target,
        torch.full_like(FRAMES, 0.5),
    ),
    ("SuperResolutionProblem", "image", PROBLEM.cropped, IMAGE),
    ("SuperResolutionProblem", "start", lambda v: PROBLEM.solve(OPERATOR, start=v).x, IMAGE),
    ("SuperResolutionProblem", "image", OPERATOR, IMAGE, NUMBERS + " column"),
    ("SuperResolutionProblem", "rows", OPERATOR.adjoint, OPERATOR(IMAGE), NUMBERS + " column"),
    ("SuperResolutionProblem", "image", OPERATOR.derivative, IMAGE, NUMBERS),
    ("SuperResolutionProblem", "rows", OPERATOR.derivative_adjoint, OPERATOR(IMAGE), NUMBERS),
    ("projection_jacobian", "w", lambda v: projection_jacobian(PROBLEM, v), W),
    ("projection_jacobian", "image0", lambda v: projection_jacobian(PROBLEM, W, image0=v), IMAGE),
    ("choose_lam", "w", lambda v: choose_lam(PROBLEM, v, noise=2.0)[0], W),
    (
        "register_frames",
        "frames",
        lambda v: register_frames(v, BOX, thetas=[1.0]).w,
        FRAMES,
        "single",
    ),
    (
        "register_frames",
        "weights",
        lambda v: register_frames(FRAMES, BOX, thetas=[1.0], weights=v).w,
        torch.ones_like(FRAMES),
    ),
    (
        "super_resolve",
        "frames",
        lambda v: super_resolve(v, 2, w0=W, **ROUND).image,
        FRAMES,
        "single nan axis",
    ),
    (
        "super_resolve",
        "weights",
        lambda v: super_resolve(FRAMES, 2, w0=W, weights=v, **ROUND).image,
        torch.ones_like(FRAMES),
    ),
    ("super_resolve", "w0", lambda v: super_resolve(FRAMES, 2, w0=v, **ROUND).image, W),
]
