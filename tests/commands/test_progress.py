"""A bar shows how far a run is, where somebody looks on, and nothing of it stays."""

import io
import sys

import torch

from command_files import photographs
from moved_pairs import scene, turn
from regtools import register, super_resolve
from regtools.commands import main


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_each_scale_of_each_start_is_told():
    template, reference = scene(*turn(5))
    told = []
    found = register(
        template,
        reference,
        start=["identity", "angles"],
        thetas=[10.0, 1.0, 0.1],
        progress=lambda *state: told.append(state),
    )
    assert [state for state in told if state[0] == "identity"] == [
        ("identity", k, 3) for k in (1, 2, 3)
    ]
    followed = [one.name for one in found.starts if one.path is not None]
    assert {name for name, _, _ in told} == {"angles", *followed} and len(followed) > 1


def test_frames_and_rounds_are_told():
    generator = torch.Generator().manual_seed(0)
    frames = 100 * torch.rand(3, 10, 10, dtype=torch.float64, generator=generator)
    frames[1:] = frames[0] + frames[1:] / 50
    told = []
    found = super_resolve(frames, 2, max_rounds=2, progress=lambda *state: told.append(state))
    rounds = [("rounds", k + 1, 2) for k in range(len(found.history))]
    assert told == [("frames", 1, 2), ("frames", 2, 2), *rounds]


def test_the_bar_is_for_a_terminal(tmp_path, monkeypatch, capsys):
    fixed, moving, _ = photographs(tmp_path)

    def bar(stream, *options):
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", stream)
            out = str(tmp_path / "out")
            assert main(["register", fixed, moving, "-o", out, "--force", *options]) == 0
        return stream.getvalue()

    drawn = bar(Terminal())
    assert "identity" in drawn and "%|" in drawn
    assert not drawn.split("\r")[-1].strip(), "something of the bar stays"
    assert bar(io.StringIO()) == "" and bar(Terminal(), "--quiet") == ""
