"""What is no picture, no path and no grid, for `read_image` and `write_image`."""

import tempfile
from pathlib import Path

import torch

from bad_arguments import bad, good
from bad_tensors import NUMBERS, TENSORS
from raw_files import mha
from regtools import read_frames, read_image, write_image

FOLDER = Path(tempfile.mkdtemp())
DATA = torch.arange(20.0, dtype=torch.float64).reshape(5, 4)


def stored(name, content):
    (FOLDER / name).write_bytes(content)
    return FOLDER / name


SIZES = {"NDims": 2, "DimSize": "5 4", "ElementSpacing": "1 2"}
PATH = stored("right.mha", mha(bytes(range(20)), **SIZES))
PICTURE = read_image(PATH)


def written(data=DATA, path=None, like=PICTURE, overwrite=True):
    path = FOLDER / "written.mha" if path is None else path
    write_image(path, data, like, overwrite=overwrite)
    return read_image(path).data


# More files stand in bad_pictures.py.
FILES = [stored("text.nii", b"no picture"), FOLDER, str(FOLDER)]
bad("read_image", "path", lambda v: read_image(v), None, 3, b"a.png", PATH.open, *FILES)
bad("read_image", "max_pixels", lambda v: read_image(PATH, max_pixels=v), 0, -1, 1.5, "a", None, 19)
MANY = [3, [], [PATH], [PATH, None], [PATH, b"a"]]
bad("read_frames", "paths", lambda v: read_frames(v), None, *MANY)


def twice(most):
    """The second of two frames, of 40 pixels in all."""
    return read_frames([PATH, PATH], max_pixels=most).data[1]


bad("read_frames", "max_pixels", twice, 0, 1.5, "a", None, 39)
good("read_frames", "as many pixels", lambda: twice(40), PICTURE.data)
good("read_image", "a string", lambda: read_image(str(PATH)).data, PICTURE.data)
good("read_image", "as many pixels", lambda: read_image(PATH, max_pixels=20).data, PICTURE.data)
bad("write_image", "like", lambda v: written(like=v), None, DATA, "a.mha", PICTURE.domain)
bad("write_image", "path", lambda v: written(path=v), FOLDER / "a.doc", FOLDER / "noend")
bad("write_image", "overwrite", lambda v: written(overwrite=v), 3, "yes", None)
good("write_image", "what is written", written, DATA)
TENSORS += [("write_image", "data", written, DATA, NUMBERS + " column single nan inf")]
