"""A wrong shape is an error that names the argument: broadcasting must not hide it."""

import pytest
import torch

from problems import DOMAIN, near_identity, two_blobs
from regtools import (
    Affine,
    Tikhonov,
    Transform,
    differentiate_cg,
    dot_product_test,
    gradient,
    hessian,
    mixed_derivative,
    newton,
    relative_error,
    simulated_problem,
    taylor_test,
    varpro,
)
from regtools.registration import AffineSubset
from regtools.superresolution import exact_iterates

SMALL = simulated_problem("hands-phantom", (8, 12), seeds=(2,))
PROBLEM, IMAGE = SMALL.problem, SMALL.image
W = PROBLEM.identity()
OPERATOR = PROBLEM.operator(W)
ROWS = OPERATOR(IMAGE)
START = near_identity(Affine(2))
X, COLUMN = torch.ones(3).double(), torch.ones(3, 1).double()


def jvp(block):
    return 2 * block


CASES = {
    "Tikhonov of a column": (lambda: Tikhonov(START[:, None]), "reference must have shape"),
    "Tikhonov at a column": (lambda: Tikhonov(START)(START[:, None]), r"w must have shape \(6,\)"),
    "Tikhonov, shorter": (lambda: Tikhonov(START[:1])(START), r"w must have shape \(1,\)"),
    "regulariser of w": (
        lambda: two_blobs(regularizer=lambda w: w**2, lam=1.0).loss(START, 0.5),
        r"regularizer must return a tensor without axes; got \(6,\)",
    ),
    "operator of a picture that lies": (lambda: OPERATOR(IMAGE.T.contiguous()), "image must have"),
    "operator of a list": (lambda: OPERATOR(IMAGE.flatten()), "image must have shape"),
    "adjoint": (lambda: OPERATOR.adjoint(ROWS[:-1]), "rows must have shape"),
    "adjoint of more": (lambda: OPERATOR.adjoint(torch.cat([ROWS, ROWS])), "rows must have shape"),
    "derivative": (lambda: OPERATOR.derivative(IMAGE.T.contiguous()), "image must have shape"),
    "derivative_adjoint": (lambda: OPERATOR.derivative_adjoint(ROWS[:, None]), "rows must have"),
    "cropped": (lambda: PROBLEM.cropped(IMAGE.repeat(2, 1)), "image must have shape"),
    "truth": (
        lambda: exact_iterates(PROBLEM, varpro(PROBLEM, W, max_iter=1), IMAGE[:1], 3),
        "truth must have shape",
    ),
    "contains": (lambda: DOMAIN.contains(COLUMN), r"points must have shape \(\.\.\., 2\)"),
    "relative_error": (lambda: relative_error(X, COLUMN), "value, as truth, must have shape"),
    "dot product": (lambda: dot_product_test(lambda u: u, lambda v: v, X, COLUMN), "v, as oper"),
    "adjoint of another shape": (
        lambda: dot_product_test(lambda u: u, lambda v: v[:, None], X, X),
        "adjoint",
    ),
    "taylor derivative": (
        lambda: taylor_test(lambda w: w**2, X, X, [2 * COLUMN]),
        r"derivatives\[0\], as f\(w\), must have shape",
    ),
    "taylor direction": (lambda: taylor_test(torch.sum, X, X[:1], [X.sum()]), "direction must"),
    "taylor steps": (lambda: taylor_test(torch.sum, X, X, [X.sum()], [0.5, 1.0]), "steps must"),
    "cg start": (lambda: differentiate_cg(jvp, X, COLUMN, n_iter=2, x0=X[:1]), "x0 must have"),
    "cg derivative": (lambda: differentiate_cg(jvp, X, COLUMN.T, n_iter=2), "db, but for its"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_shape_is_named(name):
    call, words = CASES[name]
    with pytest.raises(ValueError, match=words):
        call()


class Wrong(Affine):
    """An affine map of which one part has a shape that would broadcast."""

    def __init__(self, part, change):
        super().__init__(2)
        self.part, self.change = part, change

    def changed(self, part, value):
        return self.change(value) if part == self.part else value

    def __call__(self, w, x):
        return self.changed("makes of the points", super().__call__(w, x))

    def jacobian(self, w, x):
        return self.changed("jacobian", super().jacobian(w, x))

    def pull_back(self, w, x, weights):
        return self.changed("pull_back", super().pull_back(w, x, weights))

    def curvature(self, w, x, weights):
        return self.changed("curvature", super().curvature(w, x, weights))

    def affine(self, w):
        return self.changed("affine", super().affine(w))


@pytest.mark.parametrize(
    ("part", "change", "calls"),
    [
        (
            "makes of the points",
            lambda y: y[:1],
            [
                lambda p, w, theta: p.loss(w, theta),
                hessian,
                gradient,
                mixed_derivative,
                lambda p, w, theta: p.covered(w),
                lambda p, w, theta: newton(p, theta, w),
            ],
        ),
        ("makes of the points", lambda y: y[:, :1], [gradient]),
        ("jacobian", lambda J: J[:1], [hessian]),
        ("jacobian", lambda J: J[:, :, :1], [hessian]),
        ("curvature", lambda H: H[0], [hessian]),
        ("curvature", lambda H: H.sum(), [hessian]),
        ("pull_back", lambda g: g[:1], [gradient, mixed_derivative]),
        ("affine", lambda a: a[:5], [gradient, hessian]),
    ],
)
@pytest.mark.parametrize("surround", ["zero", "overlap"])
def test_a_map_with_a_part_of_another_shape_is_named(part, change, calls, surround):
    problem = two_blobs(Wrong(part, change), surround=surround)
    for call in calls:
        if surround == "overlap" and part == "pull_back" and call is gradient:
            continue  # it needs none there
        if surround == "zero" and "covered" in call.__code__.co_names:
            continue
        with pytest.raises(ValueError, match=rf"Wrong.* must have shape|{part} must have shape"):
            call(problem, START, 0.5)


def test_what_is_no_map_is_named():
    class Duck:
        """What a map has, without being one."""

        dim, n_params = 2, 2

        def __call__(self, w, x):
            return x + w

        def identity(self, dtype=torch.float64, device=None):
            return torch.zeros(2, dtype=dtype, device=device)

    with pytest.raises(TypeError, match="transform must be an instance of a Transform; got Duck"):
        two_blobs(Duck())

    class Half(Transform):
        dim, n_params = 2, 2

        def __call__(self, w, x):
            return x + w

    with pytest.raises(TypeError, match="identity"):
        Half()

    class Unsaid(Transform):
        def __call__(self, w, x):
            return x + w

        def identity(self, dtype=torch.float64, device=None):
            return torch.zeros(2, dtype=dtype, device=device)

    with pytest.raises(TypeError, match="transform must set dim, a whole number from 1; Unsaid"):
        two_blobs(Unsaid())
    assert issubclass(Affine, AffineSubset) and issubclass(AffineSubset, Transform)


def test_nothing_to_compare_with_is_named():
    zero = torch.zeros(3).double()
    with pytest.raises(ValueError, match="truth must be finite and not zero"):
        relative_error(X, zero)
    with pytest.raises(ValueError, match="u and v must tell something"):
        dot_product_test(lambda u: 0 * u, lambda v: 0 * v, X, X)


def test_points_are_numbers_with_a_fraction():
    with pytest.raises(TypeError, match="points must be a float32 or float64 tensor"):
        DOMAIN.contains(torch.ones(3, 2, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"dtype must be torch\.float32 or torch\.float64"):
        DOMAIN.cell_centers(torch.int64)
