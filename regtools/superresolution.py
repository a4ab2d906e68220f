r"""Many coarse frames of one sharp image: the forward model and its joint least-squares problem.

Frame j shows the image moved and averaged, :math:`d^{(j)} = K I(w_j) f`. To move is to
interpolate by splines at the mapped cell centres, so it is linear in the pixels f and smooth in
w. The joint objective is

.. math::
   J(w, f) = \lVert A_\lambda(w) f - b \rVert^2, \quad
   A_\lambda(w) = \begin{bmatrix} \sqrt{v_d}\,(I \otimes K)\,I(w) \\
   \lambda \sqrt{v_f}\,L \end{bmatrix}, \quad
   b = \begin{bmatrix} \sqrt{v_d}\,d \\ 0 \end{bmatrix},

with the cell volumes :math:`v_d` of the frames and :math:`v_f` of the image, and L all forward
differences divided by h.
"""

import math
import warnings
from functools import cached_property

import torch

from . import _tracing
from ._checks import check_domain, check_finite, check_whole, is_number
from ._frame_operator import FrameOperator
from ._sparse import fixed_width
from .conjugate_gradient import conjugate_gradient
from .domain import Domain
from .interpolation import SplineImage
from .predictor_corrector import predictor_corrector
from .registration import RegistrationProblem
from .transforms import Affine

ROWS = ("stacked", "data")


def average_blocks(image, factor, dim):
    """Apply K: average blocks of `factor` pixels along each of the first `dim` axes."""
    shape = [part for m in image.shape[:dim] for part in (m // factor, factor)]
    blocks = image.reshape(*shape, *image.shape[dim:])
    return blocks.mean(dim=tuple(range(1, 2 * dim, 2)))


def differences(image, h):
    """Apply L: forward differences over h, one tensor for each axis of `h`."""
    return [image.diff(dim=axis) / width for axis, width in enumerate(h)]


def simulate_frames(image, domain, factor, w):
    """Return the coarse frames that an image gives under q maps.

    Parameters
    ----------
    image : torch.Tensor
        The sharp image, shape `domain.m`.
    domain : Domain
        The box that it fills.
    factor : int
        Pixels averaged along each axis, k; divides every entry of `domain.m`.
    w : torch.Tensor
        q blocks of affine parameters, each ``[A row by row, b]``; frame 0 is not moved.

    Returns
    -------
    torch.Tensor
        Shape ``(q + 1, m0 / k, m1 / k)``, in the units of the image.

    Raises
    ------
    ValueError, TypeError
        If `factor` does not divide `domain.m`, `image` does not fit `domain`, or `w` is not made
        of such blocks, finite and of the dtype of `image`.

    References
    ----------
    Paper, section 4: d = (I ⊗ K) I(w) f.
    """
    frame_domain = coarse_domain(domain, factor)
    _check_image(image, domain, "image")
    spline, transform = SplineImage(image, domain), Affine(domain.dim)
    _check_dtype(w, image.dtype, "w")
    if w.ndim != 1 or len(w) % transform.n_params or not len(w):
        raise ValueError(
            f"w must hold blocks of {transform.n_params} parameters, one a moved frame; "
            f"got shape {tuple(w.shape)}"
        )
    check_finite("w", w, "value")
    points = domain.cell_centers(image.dtype, image.device)
    frames = [image]
    for block in w.reshape(-1, transform.n_params):
        frames.append(spline(transform(block, points)).reshape(domain.m))
    stacked = torch.stack(frames, dim=-1)
    return average_blocks(stacked, factor, domain.dim).movedim(-1, 0).reshape(-1, *frame_domain.m)


def coarse_domain(domain, factor):
    """Return the box with cells `factor` times as wide, checking that this is possible."""
    check_domain(domain)
    check_whole("factor", factor)
    if any(m % factor for m in domain.m):
        raise ValueError(f"factor must divide domain.m = {domain.m}; got {factor}")
    return Domain(domain.omega, tuple(m // factor for m in domain.m))


def enlarged_frame(frame, domain, theta=1e-2):
    """Return a coarse frame as a smooth function, read at the cells of a finer image.

    Parameters
    ----------
    frame : torch.Tensor
        Floating-point, one axis of `domain` each, at least 4 pixels long.
    domain : Domain
        The box with the cells of the image.
    theta : float
        Blur in pixels⁴ of the frame.

    Returns
    -------
    torch.Tensor
        Shape `domain.m`.

    Raises
    ------
    ValueError, TypeError
        As `SplineImage`.

    References
    ----------
    What the published experiments of section 4.3 start their projections from.
    """
    coarse = Domain(domain.omega, tuple(frame.shape))
    points = domain.cell_centers(frame.dtype, frame.device)
    return SplineImage(frame, coarse)(points, theta).reshape(domain.m)


class SuperResolutionProblem:
    r"""Find maps w and one sharp image f that explain all frames.

    Parameters
    ----------
    frames : torch.Tensor
        Shape ``(q + 1, *m / factor)``, at least two frames of one size, finite.
    domain : Domain
        The box with the cells of the sharp image.
    factor : int
        Pixels of the image to one of a frame, along each axis.
    lam : float
        Weight λ > 0 of the differences, squared in the objective; a length. At λ = 0 pixels
        that no frame sees, and patterns that averaging removes, are free: the image would not be
        determined.
    fix_first : bool
        Whether frame 0 stays in place. If it may move too, an affine drift of everything
        together is left free.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.

    References
    ----------
    Paper, equations (6) and (7), with L divided by h; Chung, Haber and Nagy (2006).
    """

    def __init__(self, frames, domain, factor, lam, fix_first=True):
        self.frame_domain = coarse_domain(domain, factor)
        if min(domain.m) < 4:
            raise ValueError(f"domain must have at least 4 cells along each axis; got {domain.m}")
        self.frames = _check_frames(frames, domain.dim, self.frame_domain.m)
        if not (is_number(lam) and math.isfinite(lam) and lam > 0):
            raise ValueError(
                f"lam must be finite and above 0; got {lam!r}. Without it, pixels that no frame "
                "sees are free and the image is not determined"
            )
        self.domain, self.factor, self.lam = domain, factor, float(lam)
        self.fix_first = bool(fix_first)
        self.transform = Affine(domain.dim)
        self.n_moving = len(self.frames) - self.fix_first
        self.n_params = self.n_moving * self.transform.n_params
        self.data_weight = math.sqrt(self.frame_domain.cell_volume)
        self.smooth_weight = self.lam * math.sqrt(domain.cell_volume)
        self.frame_size = pixels = math.prod(self.frame_domain.m)
        cells = math.prod(domain.m)
        self.row_sizes = [pixels * self.fix_first, pixels * self.n_moving]
        self.row_sizes += [sum(cells // m * (m - 1) for m in domain.m)]
        self.n_data, self.n_rows = pixels * len(self.frames), sum(self.row_sizes)
        self.target = self.frames.new_zeros(self.n_rows)
        self.target[: self.n_data] = self.data_weight * self.frames.flatten()
        # Cell centres, those of one coarse pixel together; and what multiplies A and b.
        self.points = self._grouped(domain.cell_centers(self.frames.dtype, self.frames.device))
        self.lever = torch.cat([self.points, torch.ones_like(self.points[:, :1])], dim=1)

    @cached_property
    def still_rows(self):
        """The rows that do not depend on w, frame 0 and differences: a matrix and its transpose."""
        cells = torch.arange(math.prod(self.domain.m), device=self.frames.device)
        columns, values = [], []
        if self.fix_first:
            columns.append(self._grouped(cells[:, None]).reshape(-1, self.factor**self.domain.dim))
            values.append(self.frames.new_tensor([self.data_weight / columns[0].shape[1]]))
        for axis, (m, h) in enumerate(zip(self.domain.m, self.domain.h, strict=True)):
            pairs = [cells.reshape(self.domain.m).narrow(axis, k, m - 1) for k in (0, 1)]
            columns.append(torch.stack(pairs, dim=-1).reshape(-1, 2))
            values.append(self.smooth_weight / h * self.frames.new_tensor([-1.0, 1.0]))
        return fixed_width(columns, values, len(cells))

    def __repr__(self):
        return (
            f"SuperResolutionProblem({len(self.frames)} frames of {self.frame_domain.m}, "
            f"image {self.domain.m}, {self.n_params} parameters, lam={self.lam:g})"
        )

    def identity(self):
        """Return the parameters that move nothing, shape ``(n_params,)``."""
        one = self.transform.identity(self.frames.dtype, self.frames.device)
        return one.repeat(self.n_moving)

    def moved_points(self, w):
        """Return where the points of all moving frames lie, shape ``(n_moving * n, dim)``."""
        blocks = w.reshape(self.n_moving, -1)
        return torch.cat([self.transform(block, self.points) for block in blocks])

    def operator(self, w):
        """Return the linear map :math:`A_\\lambda(w)` with its adjoint, a `FrameOperator`.

        `w` counts as constant; to differentiate in w, use `residual`.
        """
        self.check_parameters(w)
        if _tracing.levels(w):
            raise ValueError(
                "w must not be differentiated here, as the operator takes it as constant; "
                "differentiate residual(w, image), or call projection_jacobian"
            )
        return FrameOperator(self, w.detach())

    def reconstruct(self, w, n_iter=None):
        """Return the image that fits best for given maps, shape `domain.m`.

        Parameters
        ----------
        w : torch.Tensor
            Shape ``(n_params,)``.
        n_iter : int, optional
            Number of CG iterations, from a black image. None iterates to a relative residual of
            1e-10 of the normal equations.

        Raises
        ------
        ValueError, TypeError
            If `w` or `n_iter` is not as described.

        Warns
        -----
        RuntimeWarning
            If CG stops before its tolerance, which a tiny `lam` can bring about.
        """
        result = self.project(self.operator(w), n_iter)
        if not result.success:
            warnings.warn(f"the image is not accurate: {result.message}", RuntimeWarning, 2)
        return result.x

    def project(self, operator, n_iter=None, tol=1e-10, start=None):
        """Return the `CGResult` of the normal equations :math:`A^T A f = A^T b`.

        `n_iter` iterations exactly, or as many as `tol` needs, from the image `start`.
        """
        stop = {"tol": tol} if n_iter is None else {"n_iter": n_iter}
        return conjugate_gradient(operator.normal, operator.adjoint(self.target), start, **stop)

    def residual(self, w, image, rows="stacked"):
        r"""Return :math:`A_\lambda(w) f - b`, differentiable in `w` and `image`.

        Parameters
        ----------
        w : torch.Tensor
            Shape ``(n_params,)``.
        image : torch.Tensor
            Shape `domain.m`.
        rows : {"stacked", "data"}
            All rows, or those of the data alone, which leave the differences out.

        Returns
        -------
        torch.Tensor
            Shape ``(n_rows,)`` or ``(n_data,)``: grey value × √volume.
        """
        check_rows(rows)
        self.check_parameters(w)
        self.check_image(image)
        dim = self.domain.dim
        parts = []
        if self.fix_first:
            parts.append(average_blocks(image, self.factor, dim).flatten())
        values = SplineImage(image, self.domain)(self.moved_points(w))
        parts.append(values.reshape(-1, self.factor**dim).mean(1))
        residual = self.data_weight * (torch.cat(parts) - self.frames.flatten())
        if rows == "data":
            return residual
        smooth = [part.flatten() for part in differences(image, self.domain.h)]
        return torch.cat([residual, self.smooth_weight * torch.cat(smooth)])

    def loss(self, w, image):
        """Return the joint objective J(w, f), a number."""
        return self.residual(w, image).square().sum()

    def overlap(self, w):
        """Return which part of the points of each moving frame lies in the box, ``(n_moving,)``."""
        self.check_parameters(w)
        points = self.moved_points(w.detach()).reshape(self.n_moving, -1, self.domain.dim)
        lower, upper = points.new_tensor(self.domain.lower), points.new_tensor(self.domain.upper)
        return ((points >= lower) & (points <= upper)).all(2).to(points.dtype).mean(1)

    def check_parameters(self, w, name="w"):
        """Raise unless `w` can be the parameters of this problem."""
        _check_dtype(w, self.frames.dtype, name)
        if w.shape != (self.n_params,):
            blocks = f"{self.n_moving} blocks of {self.transform.n_params}"
            raise ValueError(
                f"{name} must have shape ({self.n_params},), {blocks}; got {tuple(w.shape)}"
            )
        check_finite(name, w, "value")

    def check_image(self, image, name="image"):
        """Raise unless `image` can be the sharp image of this problem."""
        _check_dtype(image, self.frames.dtype, name)
        _check_image(image, self.domain, name)

    def _grouped(self, points):
        """Order what belongs to the cells so that those of one coarse pixel stand together."""
        dim, k = self.domain.dim, self.factor
        shape = [part for m in self.frame_domain.m for part in (m, k)]
        order = [*range(0, 2 * dim, 2), *range(1, 2 * dim, 2), 2 * dim]
        return points.reshape(*shape, -1).permute(order).reshape(len(points), -1)


def register_frames(frames, domain, thetas=(100.0, 10.0, 1.0, 0.1), callback=None):
    """Return a starting guess for w: register every frame to frame 0, over scales.

    Both images are blurred, and each scale starts where the one before has ended.

    Parameters
    ----------
    frames : torch.Tensor
        Shape ``(q + 1, m0, m1)``.
    domain : Domain
        The box; its number of cells does not matter.
    thetas : sequence of float
        Decreasing blur in pixels⁴ of the frames.
    callback : callable, optional
        ``callback(path)`` after each frame.

    Returns
    -------
    torch.Tensor
        q blocks of affine parameters: what `SuperResolutionProblem` with `fix_first` takes.

    Raises
    ------
    ValueError, TypeError
        If `frames` are not at least two finite images of one size, or one of them is constant, so
        that nothing tells where it belongs.

    References
    ----------
    Paper, section 4.3, where one image alone was blurred and each scale started afresh.
    """
    check_domain(domain)
    frames = _check_frames(frames, domain.dim)
    if min(frames.shape[1:]) < 4:
        raise ValueError(
            f"frames must have at least 4 pixels along each axis; got {tuple(frames.shape[1:])}"
        )
    constant = [j for j, frame in enumerate(frames) if frame.min() == frame.max()]
    if constant:
        raise ValueError(
            f"frames must not be constant, as nothing tells where they belong; got {constant}. "
            "Leave these out, or give their maps yourself"
        )
    domain = Domain(domain.omega, tuple(frames.shape[1:]))
    first, *others = (SplineImage(frame, domain) for frame in frames)
    transform = Affine(domain.dim)
    w0, found = transform.identity(frames.dtype, frames.device), []
    for other in others:
        # Frame j shows the image at y(x; w_j), and frame 0 the image itself.
        path = predictor_corrector(RegistrationProblem(first, other, transform), thetas, w0)
        found.append(path.w)
        if callback is not None:
            callback(path)
    return torch.cat(found)


def check_rows(rows):
    """Raise unless `rows` is "stacked" or "data"."""
    if rows not in ROWS:
        raise ValueError(f"rows must be one of {list(ROWS)}; got {rows!r}")


def _check_dtype(tensor, dtype, name):
    if not torch.is_tensor(tensor) or tensor.dtype != dtype:
        kind = tensor.dtype if torch.is_tensor(tensor) else type(tensor).__name__
        raise TypeError(f"{name} must be a tensor of dtype {dtype}; got {kind}")


def _check_image(image, domain, name):
    if not torch.is_tensor(image) or image.dtype not in (torch.float32, torch.float64):
        kind = image.dtype if torch.is_tensor(image) else type(image).__name__
        raise TypeError(f"{name} must be a float32 or float64 tensor; got {kind}")
    if tuple(image.shape) != domain.m:
        raise ValueError(f"{name} must have shape {domain.m}; got {tuple(image.shape)}")
    check_finite(name, image, "pixel")


def _check_frames(frames, dim, m=None):
    if not torch.is_tensor(frames):
        sizes = {tuple(frame.shape) for frame in frames} if _is_images(frames) else set()
        if len(sizes) > 1:
            raise ValueError(f"frames must all have one size; got {sorted(sizes)}")
        hint = "; stack them with torch.stack(frames)" if sizes else ""
        raise TypeError(f"frames must be one tensor; got {type(frames).__name__}{hint}")
    if frames.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"frames must be a float32 or float64 tensor; got {frames.dtype}")
    if frames.ndim != 1 + dim or (m and tuple(frames.shape[1:]) != m):
        sizes = ", ".join(str(m[k]) if m else f"m{k}" for k in range(dim))
        why = ", the cells of domain over factor" if m else ""
        raise ValueError(f"frames must have shape (q + 1, {sizes}){why}; got {tuple(frames.shape)}")
    if len(frames) < 2:
        raise ValueError(f"frames must hold at least 2 frames; got {len(frames)}")
    check_finite("frames", frames, "pixel")
    return frames.detach().clone()


def _is_images(frames):
    return isinstance(frames, (list, tuple)) and all(map(torch.is_tensor, frames))
