"""How fast are the rules near the minimum? Paces of undamped steps, over several problems and λ.

At the minimiser of the reduced objective a Gauss-Newton step without damping leaves the part
|1 - μ| of each component of the error, with the eigenvalues μ of (2 JᵀJ)⁻¹ ∇²J̃; the largest part is
the pace. Dense matrices, 20 × 20 pixels from four frames of half the size, no noise. Prints the
paces of Kaufman's rule, the implicit one and none, and the residual over the data, for four λ; then
how often one of the first two is ahead by more than 0.05. Takes about two minutes.
"""

import torch

import regtools
from regtools import projection_jacobian, varpro
from regtools.registration import relative_spectrum

PROBLEMS = [
    ("hands-phantom", 20, (2, 3, 4)),
    ("hands-phantom", 20, (5, 6, 7)),
    ("retina", 20, (2, 3, 4)),
    ("cells", (20, 24), (2, 3, 4)),
    ("camera", 20, (2, 3, 4)),
    ("microaneurysms", 20, (2, 3, 4)),
]
LAMS = (0.01, 0.1, 0.3, 1.0)  # in widths of a fine pixel
RULES = ("kaufman", "implicit", "none")


class Model:
    """The two matrices that `relative_spectrum` compares."""

    def __init__(self, jacobian, hessian):
        self.gauss_newton, self.hessian = 2 * jacobian.T @ jacobian, hessian


def gradient(problem, w):
    """Of the reduced objective, with an exact image."""
    operator = problem.operator(w)
    eye = torch.eye(problem.domain.m[0] * problem.domain.m[1], dtype=w.dtype)
    A = operator(eye.reshape(*problem.domain.m, -1))
    f = torch.linalg.lstsq(A, problem.target[:, None]).solution[:, 0]
    D = operator.derivative(f.reshape(problem.domain.m))
    return 2 * D.T @ (A @ f - problem.target)


def hessian(problem, w, step=1e-5):
    """Of the reduced objective, by differences of its gradient."""
    moves = step * torch.eye(len(w), dtype=w.dtype)
    pairs = [gradient(problem, w + one) - gradient(problem, w - one) for one in moves]
    H = torch.stack(pairs) / (2 * step)
    return (H + H.T) / 2


def paces(problem, start, lam):
    """The pace of each rule at the minimiser, and the residual over the data."""
    weighted = problem.replaced(lam=lam * problem.domain.h[0])
    run = varpro(weighted, start, "implicit", max_iter=200, gtol=1e-9, tol_cg=1e-12)
    exact = hessian(weighted, run.w)
    found = []
    for rule in RULES:
        jacobian = projection_jacobian(weighted, run.w, rule, tol_cg=1e-12)
        mu = relative_spectrum(Model(jacobian, exact))
        found.append(max(abs(1 - mu)))
    return found, run.loss**0.5 / float(weighted.target.norm())


def main():
    """Print the table."""
    torch.set_num_threads(1)
    print(f"pace with {' / '.join(RULES)}, residual / data")
    ahead = {lam: [] for lam in LAMS}
    for name, m, seeds in PROBLEMS:
        known = regtools.simulated_problem(name, m, seeds=seeds)
        for lam in LAMS:
            found, share = paces(known.problem, known.w0, lam)
            ahead[lam].append(found[1] - found[0])
            said = "  ".join(f"{pace:5.2f}" for pace in found)
            print(f"{name:15s} {seeds}  λ = {lam:4g} widths  {said}   {share:.3f}")
    for title, lams in (("up to", LAMS[:-1]), ("at", LAMS[-1:])):
        gaps = [gap for lam in lams for gap in ahead[lam]]
        kaufman, full = (sum(sign * gap > 0.05 for gap in gaps) for sign in (1, -1))
        print(f"λ {title} {lams[-1]:g}: ahead by more than 0.05 of {len(gaps)}:", end=" ")
        print(f"kaufman {kaufman}, implicit {full}")


if __name__ == "__main__":
    main()
