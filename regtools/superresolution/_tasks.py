"""The objectives of `varpro` and `joint_gauss_newton` as `minimise_damped` sees them."""

import math
from dataclasses import dataclass, replace

import torch

from ..images import checks
from ..solvers import FREE, LeastSquares, Status, Work, conjugate_gradient
from .projection import Projection
from .results import VarProState


@dataclass(frozen=True)
class Point:
    """What is known at one w: the operator, the image, the rows and their sum of squares."""

    w: torch.Tensor
    projection: Projection
    operator: object
    image: torch.Tensor
    projected: object  # None where the image is a variable
    all_rows: torch.Tensor
    residual: torch.Tensor  # the rows that are squared
    loss: float
    work: Work


@dataclass(frozen=True)
class Step:
    """A damped step: the change of w, the image it predicts, the decrease it promises."""

    dw: torch.Tensor
    image: torch.Tensor
    predicted: float
    work: Work = FREE


class Task(LeastSquares):
    """The reduced objective; subclasses say how a step is found.

    Steps are sought in the parameters w, or, if `scaled`, in z of each frame with dw = S dz, where
    one unit of z moves points by about a cell, whatever the unit of length and the origin.
    """

    def __init__(self, problem, rows, tol, settings, scaled=True):
        self.problem, self.tol, self.settings = problem, tol, settings
        scaled = checks.check_flag("scaled", scaled)
        scaling = problem.transform.scaling(problem.domain) if scaled else None
        self.scaling = None if scaling is None else scaling.to(problem.target)
        self.n_used = problem.n_rows if rows == "stacked" else problem.n_data
        self.lost = []

    def projection(self, state):
        """The projection to use after a state: its tolerance may depend on it."""
        tol = self.tol(state) if callable(self.tol) else self.tol
        return Projection(self.problem, tol=tol, **self.settings)

    def point(self, w, projection, image=None, project=True):
        """The point at w, its image computed from `image` where the rule allows that."""
        operator, projected, work = self.problem.operator(w), None, Work()
        if project:
            projected = projection.project(operator, image)
            image, work = projected.image, Work(1, projected.spent)
        return self._with_rows(w, projection, operator, image, projected, work)

    def _with_rows(self, w, projection, operator, image, projected, work):
        all_rows = operator(image) - self.problem.target
        residual = all_rows[: self.n_used]
        loss = float(residual.square().sum())
        return Point(w, projection, operator, image, projected, all_rows, residual, loss, work)

    def hopeless(self, point, model):
        return Status.NO_OVERLAP if self.lost else None

    def size(self, start):
        """‖b‖², the loss of a black image: a gradient is compared with it in whatever unit."""
        return max(float(self.problem.target.square().sum()), start.loss)

    def per_z(self, derivative):
        """From derivatives in w of one frame, along the last axis, to those in z."""
        return derivative if self.scaling is None else derivative @ self.scaling

    def to_w(self, dz):
        """From steps in z, one line a frame, to those in w."""
        return dz if self.scaling is None else dz @ self.scaling.T

    def negligible(self, point, step):
        if self.scaling is None:
            return float(step.dw.norm()) <= 1e-12 * (1 + float(point.w.norm()))
        dz = torch.linalg.solve(self.scaling, step.dw.reshape(self.problem.n_moving, -1).T)
        return float(dz.norm()) <= 1e-12 or torch.equal(point.w + step.dw, point.w)

    def trial(self, point, step):
        """The point after a step, unless a frame has left the box."""
        w = point.w + step.dw
        if not torch.isfinite(w).all() or bool((self.problem.overlap(w) == 0).any()):
            return None
        return self.point(w, point.projection, step.image)

    def refined(self, point, state):
        """The point projected again, if the tolerance has become smaller."""
        projection = self.projection(state)
        if projection.n_iter is not None or projection.tol >= point.projection.tol:
            return None
        return self._again(point, projection)

    def doubted(self, point):
        """The point with an image of a tenth of its residual, if rounding allows that.

        The error that a rough image makes in the gradient is in proportion to this residual, so if
        it was large the gradient is no longer small. Then the run goes on with the new tolerance.
        """
        tol = self.image_residual(point) / 10
        if point.projection.n_iter is not None or tol < 100 * torch.finfo(point.w.dtype).eps:
            return None
        return self._again(point, Projection(self.problem, tol=tol, **self.settings))

    def _again(self, point, projection):
        """The same point, its image computed from where it is."""
        projected = projection.project(point.operator, point.image)
        work = Work(1, projected.spent)
        return self._with_rows(
            point.w, projection, point.operator, projected.image, projected, work
        )

    def image_residual(self, point):
        """‖Aᵀr‖ of all rows over ‖Aᵀ𝖽‖, which `tol_cg` bounds; 0 for frames that are black."""
        size = float(point.operator.adjoint(self.problem.target).norm())
        return float(point.operator.adjoint(point.all_rows).norm()) / size if size else 0.0

    def state(self, iteration, point, model, damping, work):
        return VarProState(
            iteration=iteration,
            w=point.w,
            loss=point.loss,
            gradient_norm=model.gradient_norm,
            image_residual=self.image_residual(point),
            damping=damping,
            n_iter_cg=work.n_iter_cg,
            n_evaluations=work.n_evaluations,
        )


@dataclass(frozen=True)
class JacobianModel:
    """∂f/∂w, the Jacobian, and what steps are solved with."""

    df_dw: torch.Tensor
    jacobian: torch.Tensor
    matrix: torch.Tensor
    half_gradient: torch.Tensor
    work: Work

    @property
    def gradient_norm(self):
        return float(2 * self.half_gradient.norm())

    @property
    def scale(self):
        return float(self.matrix.diagonal().max())


class WithJacobian(Task):
    """Steps from the Jacobian itself."""

    def model(self, point):
        found = point.operator, point.projected
        df_dw, n_iter_cg = point.projection.tangents(*found)
        jacobian = point.projection.jacobian(*found, df_dw)[: self.n_used]
        jacobian = self.per_z(jacobian.unflatten(1, (self.problem.n_moving, -1))).flatten(1)
        return JacobianModel(
            df_dw,
            jacobian,
            jacobian.T @ jacobian,
            jacobian.T @ point.residual,
            Work(n_iter_cg=n_iter_cg),
        )

    def step(self, point, model, gamma):
        dz = -damped(model.matrix, gamma)(model.half_gradient[:, None])[:, 0]
        expected = point.residual + model.jacobian @ dz
        dw = self.to_w(dz.reshape(self.problem.n_moving, -1)).flatten()
        image = point.image + model.df_dw @ dw
        return Step(dw, image, point.loss - float(expected.square().sum()))


@dataclass(frozen=True)
class CompactModel:
    """The entries of D that are not zero, one block a frame, and the square of each block.

    A column of a block is a line of `columns`: products with few columns are sums over lines.
    """

    columns: torch.Tensor  # (moving frame, parameter, pixel)
    square: torch.Tensor
    gradient_norm: float
    work: Work = FREE

    @property
    def scale(self):
        return float(self.square.diagonal(dim1=1, dim2=2).max())

    def transposed(self, moving):
        """Dᵀ of the rows of the moving frames, one line a frame."""
        return (self.columns * moving.reshape(len(self.columns), 1, -1)).sum(2)

    def times(self, dz):
        """D δz: rows of the moving frames."""
        return (self.columns * dz[..., None]).sum(1).flatten()


def damped(square: torch.Tensor, gamma: float):
    """Return what solves (square + γ I) z = right, for symmetric matrices that may be singular.

    A frame that has nearly left the canvas says nothing along some directions. If γ is nothing
    beside the matrix, z does not move along them.

    Parameters
    ----------
    square : torch.Tensor
        Shape ``(..., p, p)``, without negative eigenvalues but by rounding.
    gamma : float
    """
    values, vectors = torch.linalg.eigh(square)
    least = torch.finfo(values.dtype).eps * values.shape[-1] * values[..., -1:]
    divide = torch.where(values + gamma > least, 1 / (values + gamma), 0.0)
    return lambda right: vectors @ (divide[..., None] * (vectors.mT @ right))


class OneSolve(Task):
    r"""Kaufman's steps, each from one solve of the size of the image.

    The step minimises ‖D Δw + A Δf + r‖² + γ ‖Δw‖². For a given Δf the best Δw costs one small
    solve for each frame, as D couples no two frames. What remains is a system for Δf alone,
    :math:`A^T P_\gamma A\,\Delta f = -A^T P_\gamma r` with
    :math:`P_\gamma = I - D (D^T D + \gamma I)^{-1} D^T` (chapter 5).
    """

    def __init__(self, *arguments):
        super().__init__(*arguments)
        still, moving, _ = self.problem.row_sizes
        self.moving = slice(still, still + moving)

    def model(self, point):
        columns = self.per_z(point.operator.compact_derivative(point.image)).mT.contiguous()
        model = CompactModel(columns, columns @ columns.mT, math.nan)
        half = model.transposed(point.all_rows[self.moving])
        norm = float(2 * (half.square().sum() + self.image_gradient(point)).sqrt())
        return replace(model, gradient_norm=norm)

    def image_gradient(self, point):
        """Square of half the gradient in the image: it vanishes at the best image."""
        return 0.0

    def step(self, point, model, gamma):
        operator, solve = point.operator, damped(model.square, gamma)

        def best(moving):
            """The δz that makes ‖D δz + moving‖² + γ ‖δz‖² least, one line a frame."""
            return -solve(model.transposed(moving)[..., None])[..., 0]

        def reduced(moving):
            """What the best δz leaves of the rows of the moving frames."""
            return moving + model.times(best(moving))

        rows = point.all_rows.clone()
        rows[self.moving] = reduced(rows[self.moving])
        answer = conjugate_gradient(
            lambda df: operator.normal(df, reduced),
            -operator.adjoint(rows),
            preconditioner=point.projection.preconditioner(operator),
            **point.projection.stop(),
        )
        there = point.all_rows + operator(answer.x)
        dz = best(there[self.moving])
        there[self.moving] += model.times(dz)
        decrease = float(point.all_rows.square().sum() - there.square().sum())
        work = Work(n_iter_cg=answer.n_iter)
        return Step(self.to_w(dz).flatten(), point.image + answer.x, decrease, work)


class Joint(OneSolve):
    """The same steps with the image as a variable, moved and not solved for again."""

    def image_gradient(self, point):
        """That for a change by the grey values that are usual in the frames."""
        usual = self.problem.frames.square().mean()
        return usual * point.operator.adjoint(point.all_rows).square().sum()

    def negligible(self, point, step):
        still = (step.image - point.image).norm() <= 1e-12 * point.image.norm()
        return super().negligible(point, step) and bool(still)

    def point(self, w, projection, image=None, project=False):
        return super().point(w, projection, image, project)

    def doubted(self, point):
        return None  # the gradient has a part in the image
