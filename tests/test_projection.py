"""Each rule for ∂f/∂w against an exact dense computation of what it claims to be."""

import itertools
import math

import numpy as np
import pytest
import scipy.interpolate
import scipy.linalg
import torch
from torch.func import jacfwd

import dense_frames
from dense_frames import BOX, cg, normal_equations, small_problem, start
from regtools.superresolution import (
    Implicit,
    Kaufman,
    NoDerivative,
    Projection,
    Unrolled,
    enlarged_frame,
    projection_jacobian,
)
from regtools.superresolution.rules import as_rule

N_ITER = 14  # of about 50 that this problem needs: what is left out matters


def close(ours, expected, tol=1e-10):
    """Both agree to `tol`, relative to the size of the whole."""
    torch.testing.assert_close(ours, expected, rtol=0, atol=tol * float(expected.abs().max()))


class Dense:
    """All that the rules are made of at one w, from dense matrices."""

    def __init__(self, problem, w):
        self.problem, self.w = problem, w
        self.A, self.b = dense_frames.matrix(problem, w), dense_frames.target(problem)
        self.dA = jacfwd(lambda w: dense_frames.matrix(problem, w))(w)
        self.N, self.right = self.A.T @ self.A, self.A.T @ self.b
        self.f = torch.linalg.solve(self.N, self.right)
        self.shape = (*problem.domain.m, problem.n_params)

    def tangent_right(self, f, kaufman=False):
        """The right-hand side −(∂A)ᵀ r − Aᵀ D of the tangent equations."""
        right = -self.A.T @ self.D(f)
        if not kaufman:
            right -= torch.einsum("rnk,r->nk", self.dA, self.A @ f - self.b)
        return right

    def D(self, f):
        return torch.einsum("rnk,n->rk", self.dA, f)

    def columns(self, right, n_iter):
        """CG for each column alone."""
        return torch.stack([cg(self.N, one, n_iter) for one in right.T], dim=1)

    def jacobian(self, f, df):
        return self.D(f) + self.A @ df

    def through_cg(self, n_iter, x0=None):
        """∂/∂w of CG's iterate, by `jacfwd` of a dense CG."""

        def iterate(w):
            return cg(*normal_equations(self.problem, w), n_iter, x0)

        return jacfwd(iterate)(self.w)


PROBLEMS = {
    "first fixed": {},
    "first free": {"fix_first": False},
    "3D": {"domain": BOX, "q": 1},
}


@pytest.fixture(scope="module", params=PROBLEMS.values(), ids=PROBLEMS)
def dense(request):
    problem = small_problem(**request.param)
    return Dense(problem, start(problem))


@pytest.fixture(scope="module")
def dense_2d():
    problem = small_problem()
    return Dense(problem, start(problem))


def found(dense, rule, n_iter, tol=1e-12, image0=None):
    """Image, ∂f/∂w and Jacobian by the code under test, as matrices."""
    projection = Projection(dense.problem, rule, n_iter=n_iter, tol=tol, image0=image0)
    operator = dense.problem.operator(dense.w)
    projected = projection.project(operator)
    moves, jacobian = projection.linearize(operator, projected)
    assert moves.shape == dense.shape
    assert torch.equal(moves, projection.image_derivative(operator, projected))
    return projected.image.flatten(), moves.flatten(0, -2), jacobian


def check(dense, rule, n_iter, image, df, tol=1e-9, image0=None):
    ours = found(dense, rule, n_iter, image0=image0)
    close(ours[0], image, tol)
    close(ours[1], df, tol)
    close(ours[2], dense.jacobian(image, df), tol)
    close(
        projection_jacobian(
            dense.problem, dense.w, rule, n_iter_cg=n_iter, tol_cg=1e-12, image0=image0
        ),
        ours[2],
    )


# --- exact projections -----------------------------------------------------------------


def test_implicit_is_the_derivative_of_the_dense_solution(dense):
    problem = dense.problem
    image, df, jacobian = found(dense, "implicit", None)
    close(image, dense.f, 1e-9)
    close(df, jacfwd(lambda w: dense_frames.projection(problem, w))(dense.w), 1e-8)
    close(jacobian, jacfwd(lambda w: dense_frames.reduced_residual(problem, w))(dense.w), 1e-8)


def test_implicit_by_finite_differences(dense_2d):
    """The reduced residual itself, by NumPy's least squares, at w ± h e_k."""
    problem, w = dense_2d.problem, dense_2d.w

    def residual(w):
        A, b = dense_frames.matrix(problem, w).numpy(), dense_frames.target(problem).numpy()
        return A @ np.linalg.lstsq(A, b, rcond=None)[0] - b

    ours = projection_jacobian(problem, w)
    for k, step in enumerate(1e-5 * torch.eye(len(w), dtype=w.dtype)):
        slope = (residual(w + step) - residual(w - step)) / 2e-5
        close(ours[:, k], torch.from_numpy(slope), 1e-6)


@pytest.mark.parametrize(
    ("rule", "n_iter", "order"),
    [("implicit", None, 2), ("unrolled", 6, 2), ("kaufman", None, 1), ("none", None, 1)],
)
def test_taylor_slopes(dense_2d, rule, n_iter, order):
    """Remainders of the reduced residual fall with t² where the rule is exact, else with t."""
    problem, w = dense_2d.problem, dense_2d.w

    def residual(w):
        if n_iter is None:
            return dense_frames.reduced_residual(problem, w)
        image = cg(*normal_equations(problem, w), n_iter)
        return dense_frames.matrix(problem, w) @ image - dense_frames.target(problem)

    v = torch.from_numpy(np.random.default_rng(4).standard_normal(len(w)))
    slope = projection_jacobian(problem, w, rule, n_iter_cg=n_iter, tol_cg=1e-13) @ v
    steps = 2.0 ** -np.arange(8, 15)
    errors = [float((residual(w + t * v) - residual(w) - t * slope).norm()) for t in steps]
    assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(order, abs=0.1)


def test_unrolled_to_convergence_is_the_same(dense):
    exact = jacfwd(lambda w: dense_frames.reduced_residual(dense.problem, w))(dense.w)
    close(found(dense, "unrolled", None)[2], exact, 1e-4)


def test_kaufman_is_d_projected_off_the_range(dense):
    A = dense.A
    off_range = torch.eye(len(A), dtype=A.dtype) - A @ torch.linalg.pinv(A)
    _, df, jacobian = found(dense, "kaufman", None)
    close(jacobian, off_range @ dense.D(dense.f), 1e-8)
    close(df, -torch.linalg.pinv(A) @ dense.D(dense.f), 1e-8)
    assert (A.T @ jacobian).abs().max() < 1e-8 * jacobian.abs().max()


def test_golub_and_pereyra(dense):
    """J = P⊥ D − (A†)ᵀ (∂A)ᵀ r: the formula of the text, and where the rules stand in it."""
    A, plus = dense.A, torch.linalg.pinv(dense.A)
    off_range = torch.eye(len(A), dtype=A.dtype) - A @ plus
    D, r = dense.D(dense.f), A @ dense.f - dense.b
    first = off_range @ D
    second = -plus.T @ torch.einsum("rnk,r->nk", dense.dA, r)
    exact = jacfwd(lambda w: dense_frames.reduced_residual(dense.problem, w))(dense.w)
    close(first + second, exact, 1e-9)
    close(found(dense, "implicit", None)[2], first + second, 1e-8)
    close(found(dense, "kaufman", None)[2], first, 1e-8)
    close(found(dense, "none", None)[2], D, 1e-8)
    assert second.norm() > 1e-3 * exact.norm() and (D - first).norm() > 0.1 * exact.norm()


def test_stacked_gradient_does_not_depend_on_the_rule(dense):
    """The envelope theorem: at the best image 2 Jᵀr is the gradient, whatever ∂f/∂w is."""
    r = dense.A @ dense.f - dense.b
    loss = lambda w: dense_frames.reduced_residual(dense.problem, w).square().sum()  # noqa: E731
    exact = jacfwd(loss)(dense.w)
    for rule in ("implicit", "kaufman", "none", Implicit(3), Unrolled()):
        close(2 * found(dense, rule, None)[2].T @ r, exact, 1e-7)


def test_data_gradient_needs_the_derivative_of_the_projection(dense):
    n = dense.problem.n_data
    r = (dense.A @ dense.f - dense.b)[:n]
    loss = lambda w: dense_frames.reduced_residual(dense.problem, w)[:n].square().sum()  # noqa: E731
    exact = jacfwd(loss)(dense.w)
    gradient = lambda rule: 2 * found(dense, rule, None)[2][:n].T @ r  # noqa: E731
    close(gradient("implicit"), exact, 1e-7)
    assert (gradient("none") - exact).norm() > 0.05 * exact.norm()


# --- inexact projections ---------------------------------------------------------------


def test_none_takes_the_image_as_constant(dense):
    image = cg(dense.N, dense.right, N_ITER)
    check(dense, "none", N_ITER, image, torch.zeros(dense.shape).double().flatten(0, -2))


@pytest.mark.parametrize("count", [None, 5, 30])
def test_kaufman_with_a_count(dense, count):
    image = cg(dense.N, dense.right, N_ITER)
    right = dense.tangent_right(image, kaufman=True)
    check(dense, Kaufman(count), N_ITER, image, dense.columns(right, count or N_ITER))


@pytest.mark.parametrize("count", [None, 5, 30])
def test_implicit_with_a_count(dense, count):
    image = cg(dense.N, dense.right, N_ITER)
    right = dense.tangent_right(image)
    check(dense, Implicit(count), N_ITER, image, dense.columns(right, count or N_ITER))


def test_implicit_with_a_count_after_an_exact_projection(dense):
    right = dense.tangent_right(dense.f)
    image, df, _ = found(dense, Implicit(7), None)
    close(image, dense.f, 1e-9)
    close(df, dense.columns(right, 7), 1e-8)


@pytest.mark.parametrize("n_iter", [1, 5, N_ITER])
def test_unrolled_is_the_derivative_of_the_iterate(dense, n_iter):
    image = cg(dense.N, dense.right, n_iter)
    check(dense, "unrolled", n_iter, image, dense.through_cg(n_iter))


@pytest.mark.parametrize("last", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_last_iterations_restart_where_differentiation_begins(dense, last):
    inside = round(last * N_ITER)
    before = cg(dense.N, dense.right, N_ITER - inside)
    image = cg(dense.N, dense.right, inside, before)
    df = torch.zeros_like(dense.through_cg(1))
    if inside:
        df = dense.through_cg(inside, before if inside < N_ITER else None)
    check(dense, Unrolled(last=last), N_ITER, image, df)


@pytest.mark.parametrize("first", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_first_iterations_and_a_constant_rest(dense, first):
    inside = round(first * N_ITER)
    before = cg(dense.N, dense.right, inside)
    image = cg(dense.N, dense.right, N_ITER - inside, before)
    df = dense.through_cg(inside) if inside else torch.zeros_like(dense.through_cg(1))
    check(dense, Unrolled(first=first), N_ITER, image, df)


@pytest.mark.parametrize("last", [0.0, 0.5, 1.0])
def test_cg_may_start_at_an_image(dense, last):
    """A constant one: its derivative is zero, and that of the iterates starts from zero."""
    image0 = torch.linspace(-1, 2, len(dense.f), dtype=torch.float64).sin()
    inside = round(last * N_ITER)
    before = cg(dense.N, dense.right, N_ITER - inside, image0)
    image = cg(dense.N, dense.right, inside, before)
    df = dense.through_cg(inside, before) if inside else torch.zeros_like(dense.through_cg(1))
    shaped = image0.reshape(dense.problem.domain.m)
    check(dense, Unrolled(last=last), N_ITER, image, df, image0=shaped)


@pytest.mark.parametrize("rule", [NoDerivative(), Kaufman(), Implicit(), Unrolled(first=0.5)])
def test_every_rule_starts_at_the_image(dense_2d, rule):
    image0 = dense_2d.problem.frames.mean().expand(dense_2d.problem.domain.m)
    begin = image0.flatten()
    expected = cg(dense_2d.N, dense_2d.right, 6, begin)
    if isinstance(rule, Unrolled):  # which restarts
        expected = cg(dense_2d.N, dense_2d.right, 3, cg(dense_2d.N, dense_2d.right, 3, begin))
        df = dense_2d.through_cg(3, begin)
    elif isinstance(rule, NoDerivative):
        df = torch.zeros_like(dense_2d.through_cg(1))
    else:
        right = dense_2d.tangent_right(expected, kaufman=isinstance(rule, Kaufman))
        df = dense_2d.columns(right, 6)
    check(dense_2d, rule, 6, expected, df, image0=image0)


def test_frame_0_is_enlarged_for_a_start(dense_2d):
    """As a spline of the coarse pixels, read at the fine cells: here axis by axis, by SciPy's."""
    problem, values = dense_2d.problem, dense_2d.problem.frames[0].numpy()
    element = scipy.interpolate.BSpline.basis_element(np.arange(-2.0, 3.0), extrapolate=False)
    for axis, (m, fine) in enumerate(zip(values.shape, problem.domain.m, strict=True)):
        rows = scipy.linalg.toeplitz([4.0, 1.0] + [0.0] * (m - 2))
        bend = scipy.linalg.toeplitz(([96.0, -54.0, 0.0, 6.0] + [0.0] * m)[:m])
        coefficients = np.linalg.solve(rows.T @ rows + 1e-2 * bend, rows.T)
        u = (np.arange(fine) + 0.5) * m / fine - 0.5
        read = 6 * np.nan_to_num(element(u[:, None] - np.arange(m))) @ coefficients
        values = np.moveaxis(np.tensordot(read, values, (1, axis)), 0, axis)
    close(enlarged_frame(problem.frames[0], problem.domain), torch.from_numpy(values))
    ours = found(dense_2d, "unrolled", 3, image0="frame 0")
    given = found(dense_2d, "unrolled", 3, image0=torch.from_numpy(values))
    for one, other in zip(ours, given, strict=True):
        close(one, other, 1e-9)


def test_a_restart_changes_the_image(dense_2d):
    """Nothing is restarted where all or nothing is differentiated."""
    images = {
        last: found(dense_2d, Unrolled(last=last), N_ITER)[0]
        for last in (0.0, 0.01, 0.5, 0.99, 1.0)
    }
    through = cg(dense_2d.N, dense_2d.right, N_ITER)
    for last in (0.0, 0.01, 0.99, 1.0):
        close(images[last], through)
    assert (images[0.5] - through).norm() > 1e-4 * through.norm()


@pytest.mark.parametrize("part", [{"last": 0.5}, {"first": 0.5}], ids=str)
def test_fractions_of_as_many_iterations_as_the_tolerance_needs(dense_2d, part):
    projection = Projection(dense_2d.problem, Unrolled(**part), n_iter=None, tol=1e-8)
    projected = projection.project(dense_2d.problem.operator(dense_2d.w))
    whole = Projection(dense_2d.problem, "none", n_iter=None, tol=1e-8)
    needed = whole.project(dense_2d.problem.operator(dense_2d.w)).n_iter
    assert projected.n_iter == needed > 10
    close(projected.image.flatten(), dense_2d.f, 1e-4)


RULES = {
    "none": "none",
    "kaufman": "kaufman",
    "kaufman, count": Kaufman(5),
    "implicit": "implicit",
    "implicit, count": Implicit(5),
    "unrolled": "unrolled",
    "last 30 %": Unrolled(last=0.3),
    "last 50 %": Unrolled(last=0.5),
    "first 30 %": Unrolled(first=0.3),
    "first 50 %": Unrolled(first=0.5),
}


def test_every_option_changes_the_result(dense_2d):
    jacobians = {
        (name, n_iter): projection_jacobian(dense_2d.problem, dense_2d.w, rule, n_iter_cg=n_iter)
        for name, rule in RULES.items()
        for n_iter in (N_ITER, 10)
    }
    jacobians["implicit", "exact"] = projection_jacobian(dense_2d.problem, dense_2d.w)
    for (one, a), (other, b) in itertools.combinations(jacobians.items(), 2):
        assert (a - b).norm() > 1e-3 * b.norm(), (one, other)


def test_the_tolerance_counts(dense_2d):
    exact = projection_jacobian(dense_2d.problem, dense_2d.w, tol_cg=1e-13)
    errors = [
        float((projection_jacobian(dense_2d.problem, dense_2d.w, tol_cg=tol) - exact).norm())
        for tol in (1e-2, 1e-5, 1e-8)
    ]
    assert errors[0] > 100 * errors[1] > 1e4 * errors[2] > 0


def test_words_stand_for_the_rules():
    assert as_rule("none") == NoDerivative() and as_rule("kaufman") == Kaufman(None)
    assert as_rule("implicit") == Implicit(None) and as_rule("unrolled") == Unrolled()
    assert as_rule(Unrolled(last=0.7)) == Unrolled(last=0.7)


# --- counts ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fraction", "n_iter", "inside"),
    [
        (0.29, 100, 29),  # 0.29 * 100 is below 29 in floating point
        (0.7, 200, 140),
        (0.95, 200, 190),
        (0.5, 5, 2),  # halves to the even one
        (0.5, 7, 4),
        (0.07, 150, 10),  # 10.5, in floating point more
        (0.35, 90, 32),  # 31.5, in floating point less
        (0.25, 10, 2),
        (0.001, 200, 0),
        (1, 200, 200),
        (0, 200, 0),
        (1.0, 3, 3),
        (np.float64(0.29), np.int64(100), 29),
    ],
)
def test_counts_are_rounded_exactly(fraction, n_iter, inside):
    assert Unrolled(last=fraction).counts(n_iter) == (n_iter - inside, inside, 0)
    assert Unrolled(first=fraction).counts(n_iter) == (0, inside, n_iter - inside)


def test_counts_of_all():
    assert Unrolled().counts(17) == (0, 17, 0)
    assert Unrolled().whole(17) and not Unrolled(last=0.5).whole(17)
    assert Unrolled(last=0.01).whole(17) and Unrolled(first=1.0).whole(17)


@pytest.mark.parametrize(
    ("rule", "n_iter", "spent"),
    [
        ("none", 9, 0),
        ("kaufman", 9, 9),
        (Kaufman(4), 9, 4),
        ("implicit", 9, 9),
        (Implicit(4), 9, 4),
        ("unrolled", 9, 9),
        (Unrolled(last=0.33), 9, 9),
        (Unrolled(first=0.33), 9, 3),
        (Unrolled(last=0), 9, 0),
    ],
    ids=str,
)
def test_iterations_spent_on_the_derivative(dense_2d, rule, n_iter, spent):
    projection = Projection(dense_2d.problem, rule, n_iter=n_iter)
    operator = dense_2d.problem.operator(dense_2d.w)
    applied = []
    normal, normal_jvp = operator.normal, operator.normal_jvp
    projected = projection.project(operator)
    operator.normal = lambda x: applied.append(1) or normal(x)
    operator.normal_jvp = lambda x: applied.append(1) or normal_jvp(x)
    moves, count = projection.tangents(operator, projected)
    assert count == spent and spent <= len(applied) <= spent + 1  # one more for a restart
    assert torch.equal(moves, projection.image_derivative(operator, projected))


def test_starting_image_serves_a_run_to_the_tolerance_only(dense_2d):
    operator = dense_2d.problem.operator(dense_2d.w)
    near = dense_2d.f.reshape(dense_2d.problem.domain.m) + 1e-5
    for rule in ("none", "kaufman", "implicit"):
        warm = Projection(dense_2d.problem, rule, n_iter=None, tol=1e-6).project(operator, near)
        cold = Projection(dense_2d.problem, rule, n_iter=None, tol=1e-6).project(operator)
        assert warm.n_iter < cold.n_iter
    for rule, n_iter in [("unrolled", None), ("unrolled", 5), ("implicit", 5)]:
        projection = Projection(dense_2d.problem, rule, n_iter=n_iter, tol=1e-6)
        given, black = projection.project(operator, near), projection.project(operator)
        assert torch.equal(given.image, black.image)


# --- dtype, memory, bad input ----------------------------------------------------------


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_float32_follows_the_frames(dense_2d, rule):
    exact = dense_2d.problem
    single = type(exact)(exact.frames.float(), exact.domain, exact.factor, exact.lam)
    ours = projection_jacobian(single, dense_2d.w.float(), rule, n_iter_cg=6)
    assert ours.dtype == torch.float32
    close(ours.double(), projection_jacobian(exact, dense_2d.w, rule, n_iter_cg=6), 1e-3)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Unrolled(last=1.1), "last must be a fraction between 0 and 1; got 1.1"),
        (lambda: Unrolled(last=-0.1), "last must be a fraction between 0 and 1; got -0.1"),
        (lambda: Unrolled(first=70), "first must be a fraction between 0 and 1; got 70"),
        (lambda: Unrolled(first=math.nan), "first must be a fraction .* got nan"),
        (lambda: Unrolled(last="70 %"), "last must be a number; got '70 %'"),
        (lambda: Unrolled(last=True), "last must be a number; got True"),
        (lambda: Unrolled(last=0.1, first=0.2), "last or first, not both; got 0.1 and 0.2"),
        (lambda: Implicit(0), "n_iter must be a whole number from 1, or None; got 0"),
        (lambda: Implicit(1.5), "n_iter must be a whole number from 1, or None; got 1.5"),
        (lambda: Kaufman(-1), "n_iter must be a whole number from 1, or None; got -1"),
    ],
)
def test_bad_rules_are_named(make, words):
    with pytest.raises((TypeError, ValueError), match=words):
        make()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            {"derivative": "golub"},
            ValueError,
            "derivative must be one of .*'implicit'.* got 'golub'",
        ),
        ({"derivative": None}, ValueError, "derivative must be one of .* got None"),
        ({"derivative": Unrolled}, ValueError, "derivative must be one of .* got <class"),
        ({"derivative": 0.7}, ValueError, "derivative must be one of .* got 0.7"),
        ({"n_iter_cg": 0}, ValueError, "n_iter_cg must be a whole number from 1, or None; got 0"),
        ({"n_iter_cg": 1.5}, ValueError, "n_iter_cg must be a whole number .* got 1.5"),
        ({"tol_cg": 0.0}, ValueError, "tol_cg must be finite and above 0; got 0.0"),
        ({"image0": "black"}, ValueError, "image0 must be an image or \"frame 0\"; got 'black'"),
        ({"image0": torch.zeros(3, 3).double()}, ValueError, "image0 must have shape"),
        ({"image0": 0.0}, TypeError, "image0 must be a tensor of dtype torch.float64; got float"),
        ({"tol_cg": math.nan}, ValueError, "tol_cg must be finite and above 0; got nan"),
        ({"w": torch.zeros(5).double()}, ValueError, r"w must have shape \(12,\)"),
        ({"w": torch.zeros(12)}, TypeError, "w must be a tensor of dtype torch.float64"),
    ],
)
def test_bad_input_is_named(dense_2d, change, error, words):
    arguments = {"w": dense_2d.w, **change}
    with pytest.raises(error, match=words):
        projection_jacobian(dense_2d.problem, **arguments)
