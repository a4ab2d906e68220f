"""The page of messages: each is one that the package prints, and each recipe works."""

import ast
import io
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import regtools
from problems import DOMAIN, LogShift, two_blobs
from regtools import (
    Affine,
    Domain,
    NoDerivative,
    RegistrationProblem,
    SplineImage,
    SuperResolutionProblem,
    conjugate_gradient,
    newton,
    predictor_corrector,
    register,
    register_frames,
    simulated_problem,
    varpro,
)

PAGE = (Path(__file__).resolve().parents[1] / "book" / "faq.md").read_text()
QUOTED = [block.strip() for block in re.findall(r"```text\n(.*?)```", PAGE, re.S)]
RECIPES = [block.strip() for block in re.findall(r"```python\n(.*?)```", PAGE, re.S)]
NUMBER = r"[-+]?(?:\d+(?:\.\d+)?(?:e[-+]?\d+)?|nan|inf)"


def pattern(words):
    """A regular expression for a message with whatever numbers, and as long a list of them."""
    words = re.sub(r"\((\d+, )*\d+,?\)", "(1, 2)", words)  # a shape
    pieces = re.split(rf"(?<![\w.])({NUMBER}|\(1, 2\))(?![a-zA-Z])", words)
    found = [
        r"\([\d, ]+\)" if piece == "(1, 2)" else NUMBER if k % 2 else re.escape(piece)
        for k, piece in enumerate(pieces)
    ]
    return re.compile("".join(found), re.S)


def said(call):
    """What a call says: its result's message, its warning, or its error as Python prints it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = call()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
    for one in caught:
        if issubclass(one.category, RuntimeWarning):
            return f"{one.category.__name__}: {one.message}"
    return result if isinstance(result, str) else result.message


PAIR = two_blobs()
SIM = simulated_problem("hands-phantom", 20)
SMALL = simulated_problem("hands-phantom", 8, seeds=(2,))
DATA = PAIR.template.data
FLAT = SplineImage(torch.ones_like(DATA), DOMAIN)
BOX = Domain((0, 2, 0, 3), (20, 30))
MATRIX = torch.diag(torch.logspace(-9, 0, 20, dtype=torch.float64))


class Nowhere(NoDerivative):
    def tangents(self, setting, operator, projected):
        image, spent = super().tangents(setting, operator, projected)
        return image + torch.nan, spent


class Shift:
    """Not derived from Transform."""


def far(w0, entry):
    w0 = w0.clone()
    w0[entry] = 1e4
    return w0


def stop(state):
    raise KeyboardInterrupt


def inexact():
    return varpro(SIM.problem, SIM.w0, "kaufman", n_iter_cg=20)


def indefinite():
    path = predictor_corrector(PAIR, [100.0, 0.5], far_off(), max_iter=1)
    return path.steps[1].prediction.value


def far_off():
    w0 = PAIR.identity()
    w0[4:] += 1.5
    return w0


def single():
    frames = SIM.frames.float()
    problem = SuperResolutionProblem(frames, SIM.domain, 2, 1e-4)
    return problem.reconstruct(SIM.w_true.float())


def saved():
    file = io.BytesIO()
    torch.save(newton(PAIR, 0.5, PAIR.identity(), max_iter=1), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


START = PAIR.identity()
CALLS = [
    lambda: newton(PAIR, 0.5, far(START, 4)),
    lambda: varpro(SMALL.problem, far(SMALL.problem.identity(), 4)),
    indefinite,
    lambda: predictor_corrector(PAIR, [1.0, 0.5], START, max_iter=1),
    lambda: predictor_corrector(PAIR, [10.0, 1.0], START),
    inexact,
    lambda: newton(PAIR, 0.5, START, gtol=1e-18),
    lambda: conjugate_gradient(MATRIX, torch.ones(20).double(), tol=1e-14, max_iter=5),
    lambda: conjugate_gradient(-MATRIX, torch.ones(20).double(), n_iter=3),
    lambda: SuperResolutionProblem(SMALL.frames, SMALL.domain, 2, 0),
    single,
    lambda: SplineImage(torch.ones(30, 20), BOX),
    lambda: SuperResolutionProblem(torch.ones(4, 10, 8), Domain((0, 1, 0, 1), (20, 20)), 2, 1.0),
    lambda: SplineImage(torch.ones(20, 30, dtype=torch.uint8), BOX),
    lambda: SplineImage(torch.full((20, 30), torch.nan), BOX),
    lambda: SplineImage(torch.ones(20, 30).to_sparse(), BOX),
    lambda: register(DATA.masked_fill(DATA > 99, torch.nan), DATA, surround="zero"),
    lambda: varpro(SMALL.problem, SMALL.problem.identity(), Nowhere()),
    lambda: RegistrationProblem(FLAT, PAIR.reference, Affine(2)),
    lambda: newton(PAIR, 0.5, START.float()),
    lambda: predictor_corrector(PAIR, [0.1, 1.0], START),
    lambda: SIM.problem.reconstruct(torch.zeros(24).double()),
    lambda: newton(PAIR, 0.5, START.clone().requires_grad_()),
    lambda: two_blobs(Shift()),
    lambda: two_blobs(LogShift()).loss(torch.tensor([-1.0, 1.0]).double(), 0.5),
    lambda: newton(PAIR, 0.5, START, callback=stop),
    saved,
    lambda: torch.empty(2**60, dtype=torch.uint8),
    lambda: register_frames(torch.ones(2, 8, 8), Domain((0, 1, 0, 1), (8, 8))),
]


@pytest.fixture(scope="module")
def heard():
    return [said(call) for call in CALLS]


@pytest.mark.parametrize("words", QUOTED)
def test_a_quoted_message_is_printed(words, heard):
    wanted = pattern(words)
    assert any(map(wanted.search, heard)), "\n".join([words, wanted.pattern, *heard])


def test_a_message_that_nobody_prints_is_seen(heard):
    wrong = QUOTED[0].replace("does not meet", "never meets")
    assert not any(map(pattern(wrong).search, heard))
    assert any(map(pattern("no overlap after 7 iterations").search, heard))


# --- messages in running text: found among the words of the package ----------------------


def pieces():
    """All texts in the package, in each gap of an f-string a sign of its own."""
    for path in Path(regtools.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [getattr(part, "value", "\0") for part in node.values]
                yield "".join(part if isinstance(part, str) else "\0" for part in parts)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


TABLE = re.search(r"\| the message holds .*?\n\n", PAGE, re.S).group()
IN_TABLE = re.findall(r"^\| `(.*?)` \|", TABLE, re.M)


@pytest.mark.parametrize("words", IN_TABLE)
def test_a_message_of_the_table_is_in_the_package(words):
    texts = list(pieces())
    for part in words.split("…"):
        part = re.split(r"\d+", part.strip())
        held = "\0".join(part)
        assert any(held in text for text in texts), part


def test_the_page_has_what_is_looked_for():
    assert len(QUOTED) > 20 and len(IN_TABLE) > 5 and len(RECIPES) == 2
    assert not any("the loss stopped being infinite" in text for text in pieces())


# --- recipes -----------------------------------------------------------------------------


def test_the_recipe_turns_a_file_into_data():
    picture = np.arange(6.0, dtype=np.float32).reshape(2, 3)  # two rows, the first one on top
    names = {"torch": torch, "np": np, "picture": picture}
    exec(RECIPES[0], names)
    data = names["data"]
    assert data.dtype == torch.float64 and tuple(data.shape) == (3, 2)
    assert data[0].tolist() == [3.0, 0.0]  # to the left, from below
    names["picture"] = (10 * picture).astype(np.uint8)
    exec(RECIPES[0], names)
    assert names["data"].dtype == torch.float64
    with pytest.raises(ValueError, match="At least one stride in the given numpy array is neg"):
        torch.from_numpy(picture[::-1].T)
    assert "At least one stride in the given numpy array is negative" in PAGE


def test_the_recipe_saves_a_result(tmp_path):
    result = newton(PAIR, 0.5, START, max_iter=1)
    names = {"torch": torch, "result": result, "file": tmp_path / "result.pt"}
    exec(RECIPES[1], names)
    assert torch.equal(names["saved"]["w"], result.w)
    assert names["saved"]["message"] == result.message
    torch.save(result, names["file"])
    again = torch.load(names["file"], weights_only=False)
    assert torch.equal(again.w, result.w) and again.status is result.status
    assert "weights_only=False" in PAGE
