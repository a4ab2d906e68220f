"""A map that is the flow of a small neural network."""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..images import Domain, checks
from .transforms import Transform, check_axes, check_dim, check_shapes, check_weights


class _Stage(NamedTuple):
    """One evaluation of the velocity inside the integrator, n points."""

    rate: torch.Tensor  # v, (n, dim)
    change: torch.Tensor  # dv/dw in all, (n, dim, p)
    slope: torch.Tensor  # dv/dx, (n, dim, dim)
    dx_dw: torch.Tensor  # dx/dw, (n, dim, p)
    inputs: torch.Tensor  # what the network sees: position, time, 1
    hidden: torch.Tensor  # tanh of the hidden layer, (n, width)


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
    Paper, section 2.2 and Table 1 (time points t = 0, 1/9, …, 1). Chapter 2.
    """

    STEPS = 9
    BLOCK = 2048  # points whose stages are held at a time: about 0.1 GB

    def __init__(self, dim: int, width: int = 8, domain: Domain | None = None) -> None:
        self.dim = check_dim(dim)
        width = checks.whole("width", width)
        if domain is not None:
            check_axes(self, domain)
        self.width = width
        self.domain = domain
        dim = self.dim
        self._sizes = [width * (dim + 1), width, dim * width, dim]
        self.n_params = sum(self._sizes)

    def __call__(self, w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Map points `x` of shape ``(n, dim)``; returns the same shape."""
        check_shapes(self, w, x)
        dt = 1 / self.STEPS
        for step in range(self.STEPS):
            t = step * dt
            k1 = self.velocity(w, x, t)
            k2 = self.velocity(w, x + dt / 2 * k1, t + dt / 2)
            k3 = self.velocity(w, x + dt / 2 * k2, t + dt / 2)
            k4 = self.velocity(w, x + dt * k3, t + dt)
            x = x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return x

    def velocity(self, w: torch.Tensor, x: torch.Tensor, t):
        """Return v(x, t), shape ``(n, dim)``."""
        w1, b1, w2, b2 = self._layers(w)
        seen, _ = self._seen(x)
        hidden = torch.tanh(seen @ w1[:, :-1].T + t * w1[:, -1] + b1)
        return hidden @ w2.T + b2

    def jacobian(self, w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return ∂y/∂w, shape ``(n, dim, n_params)``, by the sensitivity equations.

        The Jacobian of each Runge–Kutta stage follows from those before it:
        S' = (∂v/∂x) S + ∂v/∂w. That is exact for the map as it is computed, and much shorter
        than `n_params` forward passes, since ∂v/∂w consists of a few outer products.
        """
        check_shapes(self, w, x)
        return torch.cat([self._sensitivities(w, part)[1] for part in x.split(self.BLOCK)])

    def curvature(self, w: torch.Tensor, x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return the Hessian in w of ``sum(weights * y)``, shape ``(n_params, n_params)``.

        Everything but the velocity is linear, so the Hessian is a sum over the stages: the
        second derivative of v at that stage, along its sensitivities, weighted by the adjoint
        of that stage, which runs backwards in time.
        """
        check_weights(self, w, x, weights)
        parts = zip(x.split(self.BLOCK), weights.split(self.BLOCK), strict=True)
        return sum(self._curvature(w, self._sensitivities(w, a)[2], b) for a, b in parts)

    def local(self, w: torch.Tensor, x: torch.Tensor):
        """Return y, ∂y/∂w and a function ``weights -> curvature`` from one run, if x is short."""
        if len(x) > self.BLOCK:
            return super().local(w, x)
        check_shapes(self, w, x)
        y, dx_dw, stages = self._sensitivities(w, x)
        return y, dx_dw, lambda weights: self._curvature(w, stages, weights)

    def _curvature(self, w, stages, weights):
        dt, total = 1 / self.STEPS, w.new_zeros(self.n_params, self.n_params)
        adjoint = weights
        for step in reversed(range(self.STEPS)):
            first, second, third, fourth = stages[4 * step : 4 * step + 4]
            pulled = arrived = torch.zeros_like(weights)
            for stage, own, next_factor in [
                (fourth, dt / 6, 0.0),
                (third, dt / 3, dt),
                (second, dt / 3, dt / 2),
                (first, dt / 6, dt / 2),
            ]:
                push = own * adjoint + next_factor * pulled
                pulled = (push[:, None, :] @ stage.slope).squeeze(1)
                total = total + self._stage_curvature(w, stage, push)
                arrived = arrived + pulled
            adjoint = adjoint + arrived
        return total

    def _layers(self, w):
        w1, b1, w2, b2 = w.split(self._sizes)
        return w1.reshape(self.width, self.dim + 1), b1, w2.reshape(self.dim, self.width), b2

    def _seen(self, x):
        """Positions as the network sees them, and the derivative of each in its own x."""
        if self.domain is None:
            return x, x.new_ones(self.dim)
        lower, upper = x.new_tensor(self.domain.lower), x.new_tensor(self.domain.upper)
        scale = 2 / (upper - lower)
        return scale * (x - lower) - 1, scale

    def _sensitivities(self, w, x):
        """Run the integrator with S = ∂x/∂w; return y, S (n, dim, n_params) and all stages."""
        dt, stages = 1 / self.STEPS, []
        dx_dw = x.new_zeros(*x.shape, self.n_params)
        for step in range(self.STEPS):
            rates, changes = [], []
            for delay in (0.0, dt / 2, dt / 2, dt):
                ahead = delay if rates else 0.0
                here = x + ahead * rates[-1] if rates else x
                there = dx_dw + ahead * changes[-1] if rates else dx_dw
                stage = self._stage(w, here, there, step * dt + delay)
                rates.append(stage.rate)
                changes.append(stage.change)
                stages.append(stage)
            x = x + dt / 6 * (rates[0] + 2 * rates[1] + 2 * rates[2] + rates[3])
            dx_dw = dx_dw + dt / 6 * (changes[0] + 2 * changes[1] + 2 * changes[2] + changes[3])
        return x, dx_dw, stages

    def _stage(self, w, x, dx_dw, t):
        """Velocity at one stage with its derivatives along `dx_dw`."""
        w1, b1, w2, b2 = self._layers(w)
        seen, scale = self._seen(x)
        inputs = torch.cat([seen, torch.full_like(x[:, :1], t), torch.ones_like(x[:, :1])], 1)
        hidden = torch.tanh(inputs @ torch.cat([w1, b1[:, None]], 1).T)
        bent = 1 - hidden**2
        slope = (w2 * bent[:, None, :]) @ (w1[:, :-1] * scale)
        change = slope @ dx_dw
        by_layer, end = [], 0
        for size in self._sizes:  # not by `split`, whose views autograd lets nobody add to
            by_layer.append(change[..., end : end + size])
            end += size
        first = (w2 * bent[:, None, :])[..., None] * inputs[:, None, None, :]
        by_layer[0].add_(first[..., :-1].flatten(2))
        by_layer[1].add_(first[..., -1])
        eye = torch.eye(self.dim, dtype=x.dtype, device=x.device)
        by_layer[2].add_((eye[:, :, None] * hidden[:, None, None, :]).flatten(2))
        by_layer[3].add_(eye)
        return _Stage(hidden @ w2.T + b2, change, slope, dx_dw, inputs, hidden)

    def _stage_curvature(self, w, stage, push):
        """Second derivative of ``sum(push * v)`` at one stage, along its sensitivities."""
        w1, _, w2, _ = self._layers(w)
        n, p, width = len(push), self.n_params, self.width
        bent = 1 - stage.hidden**2
        _, scale = self._seen(push)
        seen_dx_dw = scale[:, None] * stage.dx_dw
        # Derivative of each argument a of tanh along w: through W1, b1, and through x.
        arguments = w1[:, :-1] @ seen_dx_dw
        columns = torch.arange(width, device=w.device)
        ends = self._sizes[0]
        rows = arguments[:, :, :ends].reshape(n, width, width, self.dim + 1)
        rows[:, columns, columns] += stage.inputs[:, None, :-1]
        arguments[:, columns, ends + columns] += 1
        pull = push @ w2
        weighted = (-2 * pull * stage.hidden * bent)[..., None] * arguments
        total = weighted.flatten(0, 1).T @ arguments.flatten(0, 1)
        # Mixed terms: W2 with the argument, W1 with x.
        mixed = w1.new_zeros(p, p)
        start = ends + width
        second = torch.einsum("nd,nk,nkp->dkp", push, bent, arguments)
        mixed[start : start + self._sizes[2]] += second.flatten(0, 1)
        first = torch.einsum("nk,nlp->klp", pull * bent, seen_dx_dw)
        padded = torch.cat([first, first.new_zeros(width, 1, p)], 1)
        mixed[:ends] += padded.flatten(0, 1)
        return total + mixed + mixed.T

    def identity(
        self, dtype: torch.dtype = torch.float64, device: torch.device | None = None, seed: int = 0
    ) -> torch.Tensor:
        """Return parameters of y(x) = x, shape ``(n_params,)``.

        The hidden layer is random with a fixed seed and the output layer zero: with all
        parameters zero, the gradient of the hidden layer would vanish for ever.
        """
        checks.check_dtype(dtype)
        seed = checks.whole("seed", seed, least=0)
        generator = torch.Generator("cpu").manual_seed(seed)  # the same numbers on every device
        hidden = torch.randn(
            sum(self._sizes[:2]), generator=generator, dtype=torch.float64, device="cpu"
        )
        w = torch.cat([hidden, hidden.new_zeros(sum(self._sizes[2:]))])
        return w.to(dtype=dtype, device=torch.get_default_device() if device is None else device)
