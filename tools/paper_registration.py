"""The experiments of sections 2 and 3 of the paper: 32 × 32, affine, no regulariser."""

import numpy as np
import scipy.optimize
import torch

import regtools
from regtools.registration import (
    Affine,
    RegistrationProblem,
    compare_predictions,
    newton,
    predictor_corrector,
    second_order_model,
)
from tools.rounding import digits


def registration_problem(name):
    return RegistrationProblem.of(regtools.load(name, 32), Affine(2))


def figure_1(name):
    """How much of the variation of the image is left at each blur of the figure, in percent."""
    problem = registration_problem(name)
    spread = {
        theta: problem.reference(problem.points, theta).std()
        for theta in (1e-3, 1.0, 10.0, 100.0, 1e3, 1e4)
    }
    return {f"left_{theta:g}": digits(100 * s / spread[1e-3], 2) for theta, s in spread.items()}


def figure_2(name):
    """30 scales against a single one, with and without prediction."""
    problem = registration_problem(name)
    identity, thetas = problem.transform.identity(), np.logspace(3, -3, 30)
    path = predictor_corrector(problem, thetas, identity)
    plain = predictor_corrector(problem, thetas, identity, predictor=None)
    single = newton(problem, 1e-3, identity)
    lowest = float(problem.loss(path.w, 1e-3))
    return {
        "loss": digits(lowest, 4),
        "single_over_path": digits(single.loss / lowest, 2),
        "unpredicted_over_path": digits(float(problem.loss(plain.w, 1e-3)) / lowest, 2),
        "scales": len(path.steps),
    }


def figure_3(name):
    """Which predictions help, against which reference; what they save."""
    problem = registration_problem(name)
    identity, thetas = problem.transform.identity(), np.logspace(3, -3, 40)
    path = predictor_corrector(problem, thetas, identity)
    steps = compare_predictions(problem, path)
    found = {"steps": len(steps)}
    for key in ("exact", "2JTJ", "JTJ", "printed sign"):
        word = key.replace(" ", "_")
        for kind in ("loss", "gradient"):
            gains = [getattr(one, f"{kind}_gain")(key) for one in steps]
            found[f"{word}_{kind}"] = sum(gain > 0 for gain in gains)
        found[f"{word}_old_reference"] = sum(one.loss_gain(key, "before") > 0 for one in steps)
    for key in ("exact", "2JTJ"):
        found[f"{key}_last_gradient_removed"] = digits(100 * steps[-1].gradient_gain(key), 2)
    found["JTJ_first"] = digits(steps[0].loss_gain("JTJ", "before"), 2)
    found["exact_first"] = digits(steps[0].loss_gain("exact", "before"), 2)
    iterations = {"exact": path.n_iter}
    for label, predictor in (("none", None), ("2JTJ", "gauss-newton")):
        other = predictor_corrector(problem, thetas, identity, predictor=predictor)
        iterations[label] = other.n_iter
    for key in ("exact", "2JTJ"):
        found[f"{key}_saved"] = digits(100 * (1 - iterations[key] / iterations["none"]), 2)
    return found


def trust_region(name):
    """The text's trust-exact against the trust-ncg of the published figure, over all scales."""
    problem = registration_problem(name)
    thetas, ends = np.logspace(3, -3, 40), {}
    for method in ("trust-exact", "trust-ncg"):
        w = problem.transform.identity().numpy()
        for theta in thetas:

            def model(v, theta=theta):
                return second_order_model(problem, torch.from_numpy(np.array(v)), theta)

            answer = scipy.optimize.minimize(
                lambda v, m=model: float(m(v).loss),
                w,
                jac=lambda v, m=model: m(v).gradient.numpy(),
                hess=lambda v, m=model: m(v).hessian.numpy(),
                method=method,
                options={"gtol": 1e-6 * float(model(w).loss), "maxiter": 1000},
            )
            w = answer.x
        ends[method] = float(model(w).loss)
    return {"loss_ratio": digits(ends["trust-ncg"] / ends["trust-exact"], 3)}


def hessian_formula(name):
    """The Hessian as printed, and with the factors 2, against finite differences of gradients."""
    problem = registration_problem(name)
    w = problem.transform.identity()
    numeric = []
    for axis in torch.eye(6, dtype=torch.float64):
        up, down = (regtools.gradient(problem, w + s * 1e-5 * axis, 1.0) for s in (1, -1))
        numeric.append((up - down) / 2e-5)
    numeric, exact = torch.stack(numeric), regtools.hessian(problem, w, 1.0)
    return {"printed_over_true": digits((exact / 2).norm() / numeric.norm(), 3)}
