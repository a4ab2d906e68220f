import numpy as np
import pytest
import torch

from regtools.explorers import check_answer


@pytest.mark.parametrize(
    ("answer", "right", "said"),
    [
        (..., 1.0, "No answer yet"),
        (None, 1.0, "No answer yet"),
        (2.0, 2.0, "Right."),
        (2, torch.tensor(2.0), "Right."),
        ([1.0, 2.0], np.array([1.0, 2.0 + 1e-9]), "Right."),
        (" Newton ", "newton", "Right."),
        ("Gauss", "newton", "Not yet: it is not 'Gauss'."),
        (-2.0, 2.0, "Not yet: the sign is wrong."),
        (1.0, 2.0, "Not yet: too small, by a factor of 2."),
        (torch.tensor([2.0, 4.0]), [1.0, 2.0], "Not yet: too large, by a factor of 2."),
        ([1.0, 3.0], [1.0, 2.0], "Not yet: 1 of 2 entries differ."),
        ([1.0], [1.0, 2.0], "Not yet: the answer has shape (1,), the right one (2,)."),
        (float("nan"), 1.0, "Not yet: the answer is not finite."),
        ("two", 2.0, "Not yet: the answer is not a number, nor an array of numbers."),
        (0.0, 2.0, "Not yet."),
        (1.0, 0.0, "Not yet."),
        (1 + 1j, 1 - 1j, "Not yet."),
    ],
)
def test_an_answer_is_judged(answer, right, said, capsys):
    check_answer(answer, right)
    assert capsys.readouterr().out.startswith(said)


def test_the_tolerance_counts(capsys):
    check_answer(1.01, 1.0, rtol=0.02)
    check_answer(1e-3, 0.0, atol=2e-3)
    assert capsys.readouterr().out == "Right.\nRight.\n"
