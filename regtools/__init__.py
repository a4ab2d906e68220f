"""Differentiable image registration in PyTorch: the package behind the book.

Where to start:

- register a pair: `load`, `register`, or step by step `RegistrationProblem.of`,
  `predictor_corrector`;
- derivatives of its loss: `gradient`, `hessian`, `second_order_model`, checked by `taylor_test`;
- one sharp image from coarse frames: `super_resolve`, or step by step `register_frames`,
  `SuperResolutionProblem`, `varpro`; `simulated_problem` to try these;
- an own map or rule: subclass `Transform` or `Rule`.

The wings, each of which imports only from those before it: `images` (boxes, splines, data),
`solvers` (conjugate gradients, damped least squares), `registration` (maps, problem, derivatives,
path), `superresolution` (frames, rules, variable projection), `verify` (the tests of derivatives
and adjoints). `explorers` draws, `commands` is the command line; nothing here imports them.
"""

from .images import (
    Domain,
    SplineImage,
    load,
    random_maps,
    read_frames,
    read_image,
    write_image,
)
from .registration import (
    Affine,
    NeuralODE,
    RegistrationProblem,
    Rigid,
    Similarity,
    Tikhonov,
    Transform,
    Translation,
    choose_surround,
    gauss_newton_hessian,
    gradient,
    hessian,
    jacobian,
    levenberg_marquardt,
    mixed_derivative,
    newton,
    predictor_corrector,
    register,
    second_order_model,
)
from .solvers import Status, conjugate_gradient, differentiate_cg
from .superresolution import (
    Implicit,
    Kaufman,
    NoDerivative,
    Rule,
    SuperResolutionProblem,
    Unrolled,
    choose_lam,
    enlarged_frame,
    follow_gradient,
    joint_gauss_newton,
    projection_jacobian,
    register_frames,
    simulate_frames,
    simulated_problem,
    super_resolve,
    varpro,
)
from .verify import adjoint, dot_product_test, relative_error, taylor_test

__all__ = [
    "Affine",
    "Domain",
    "Implicit",
    "Kaufman",
    "NeuralODE",
    "NoDerivative",
    "RegistrationProblem",
    "Rigid",
    "Rule",
    "Similarity",
    "SplineImage",
    "Status",
    "SuperResolutionProblem",
    "Tikhonov",
    "Transform",
    "Translation",
    "Unrolled",
    "adjoint",
    "choose_lam",
    "choose_surround",
    "conjugate_gradient",
    "differentiate_cg",
    "dot_product_test",
    "enlarged_frame",
    "follow_gradient",
    "gauss_newton_hessian",
    "gradient",
    "hessian",
    "jacobian",
    "joint_gauss_newton",
    "levenberg_marquardt",
    "load",
    "mixed_derivative",
    "newton",
    "predictor_corrector",
    "projection_jacobian",
    "random_maps",
    "read_frames",
    "read_image",
    "register",
    "register_frames",
    "relative_error",
    "second_order_model",
    "simulate_frames",
    "simulated_problem",
    "super_resolve",
    "taylor_test",
    "varpro",
    "write_image",
]
__version__ = "0.1.0"
