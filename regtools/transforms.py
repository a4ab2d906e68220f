"""Parametric maps y(x; w) of space: affine, and the flow of a small neural network."""

import torch
from torch.func import hessian, jacfwd


class Transform:
    """What a map needs beside ``transform(w, x)``: its derivatives in w.

    The two methods use automatic differentiation. A map that knows its derivatives in closed
    form overrides them.
    """

    def jacobian(self, w, x):
        """Return ∂y/∂w at every point, shape ``(n, dim, n_params)``."""
        return jacfwd(lambda v: self(v, x))(w)

    def curvature(self, w, x, weights):
        """Return the Hessian in w of ``sum(weights * y)``, shape ``(n_params, n_params)``.

        `weights` has shape ``(n, dim)`` and counts as constant.
        """
        return hessian(lambda v: (weights * self(v, x)).sum())(w)


class Affine(Transform):
    r"""The affine map :math:`y = A x + b`.

    Parameters are ``w = [A row by row, b]``: 6 in two dimensions, 12 in three. A has no
    unit; b has the unit of the domain.

    Parameters
    ----------
    dim : int
        2 or 3.

    Raises
    ------
    ValueError
        If `dim` is not 2 or 3; when called, if `w` or `x` has the wrong shape.

    References
    ----------
    Paper, section 2.1; Modersitzki, *FAIR* (SIAM, 2009), section 4.2.
    """

    def __init__(self, dim):
        self.dim = _check_dim(dim)
        self.n_params = dim * (dim + 1)

    def __call__(self, w, x):
        """Map points `x` of shape ``(n, dim)``; returns the same shape."""
        _check_shapes(self, w, x)
        matrix = w[: self.dim**2].reshape(self.dim, self.dim)
        return x @ matrix.T + w[self.dim**2 :]

    def identity(self, dtype=torch.float64, device=None):
        """Return the parameters of y(x) = x, shape ``(n_params,)``."""
        matrix = torch.eye(self.dim, dtype=dtype, device=device).flatten()
        return torch.cat([matrix, matrix.new_zeros(self.dim)])

    def jacobian(self, w, x):
        """Return ∂y/∂w, shape ``(n, dim, n_params)``: it does not depend on `w`."""
        _check_shapes(self, w, x)
        eye = torch.eye(self.dim, dtype=x.dtype, device=x.device)
        linear = (eye[:, :, None] * x[:, None, None, :]).flatten(2)
        return torch.cat([linear, eye.expand(len(x), -1, -1)], dim=2)

    def curvature(self, w, x, weights):
        """Return zeros: the map is linear in w."""
        return w.new_zeros(self.n_params, self.n_params)


class NeuralODE(Transform):
    r"""The flow of a small network: where x drifts under :math:`\dot x = v(x, t)`, 0 ≤ t ≤ 1.

    The velocity is :math:`v = W_2 \tanh(W_1 (x, t) + b_1) + b_2`, integrated by the classical
    Runge–Kutta method with nine equal steps. Parameters are ``w = [W1, b1, W2, b2]``, each row
    by row: 50 in two dimensions with width 8.

    Parameters
    ----------
    dim : int
        2 or 3.
    width : int
        Number of hidden units.
    domain : Domain, optional
        If given, the network sees positions scaled to (-1, 1) across this box, which keeps
        tanh from saturating. Velocities stay in the unit of the domain.

    Raises
    ------
    ValueError
        If `dim` is not 2 or 3, `width` is below 1, or `domain` has another dimension; when
        called, if `w` or `x` has the wrong shape.

    References
    ----------
    Paper, section 2.2 and Table 1 (time points t = 0, 1/9, …, 1).
    """

    STEPS = 9

    def __init__(self, dim, width=8, domain=None):
        self.dim = _check_dim(dim)
        if width < 1:
            raise ValueError(f"width must be at least 1; got {width}")
        if domain is not None and domain.dim != dim:
            raise ValueError(f"domain must have dim = {dim} axes; got {domain.dim}")
        self.width = width
        self.domain = domain
        self._sizes = [width * (dim + 1), width, dim * width, dim]
        self.n_params = sum(self._sizes)

    def __call__(self, w, x):
        """Map points `x` of shape ``(n, dim)``; returns the same shape."""
        _check_shapes(self, w, x)
        dt = 1 / self.STEPS
        for step in range(self.STEPS):
            t = step * dt
            k1 = self.velocity(w, x, t)
            k2 = self.velocity(w, x + dt / 2 * k1, t + dt / 2)
            k3 = self.velocity(w, x + dt / 2 * k2, t + dt / 2)
            k4 = self.velocity(w, x + dt * k3, t + dt)
            x = x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return x

    def velocity(self, w, x, t):
        """Return v(x, t), shape ``(n, dim)``."""
        w1, b1, w2, b2 = w.split(self._sizes)
        w1, w2 = w1.reshape(self.width, self.dim + 1), w2.reshape(self.dim, self.width)
        if self.domain is not None:
            lower, upper = x.new_tensor(self.domain.lower), x.new_tensor(self.domain.upper)
            x = (2 * x - lower - upper) / (upper - lower)
        hidden = torch.tanh(x @ w1[:, :-1].T + t * w1[:, -1] + b1)
        return hidden @ w2.T + b2

    def identity(self, dtype=torch.float64, device=None, seed=0):
        """Return parameters of y(x) = x, shape ``(n_params,)``.

        The hidden layer is random with a fixed seed and the output layer zero: with all
        parameters zero, the gradient of the hidden layer would vanish for ever.
        """
        generator = torch.Generator().manual_seed(seed)
        hidden = torch.randn(sum(self._sizes[:2]), generator=generator, dtype=torch.float64)
        w = torch.cat([hidden, hidden.new_zeros(sum(self._sizes[2:]))])
        return w.to(dtype=dtype, device=device)


def _check_dim(dim):
    if dim not in (2, 3):
        raise ValueError(f"dim must be 2 or 3; got {dim!r}")
    return dim


def _check_shapes(transform, w, x):
    if w.shape != (transform.n_params,):
        raise ValueError(f"w must have shape ({transform.n_params},); got {tuple(w.shape)}")
    if x.ndim != 2 or x.shape[1] != transform.dim:
        raise ValueError(f"x must have shape (n, {transform.dim}); got {tuple(x.shape)}")
