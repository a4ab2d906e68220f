"""Images: array convention, domains, licences, the drawn pair, the paper's pair offline."""

import dataclasses
import hashlib
import http.server
import io
import os
import socket
import threading

import numpy as np
import PIL.Image
import pooch
import pytest
import scipy.ndimage
import scipy.optimize
import skimage.data
import torch

from regtools.images import DATASETS, Image, Pair, _phantom, datasets, load

SINGLE = ("retina", "cells", "camera", "microaneurysms")
OFFLINE = ("hands-phantom", *SINGLE)


def images(item):
    return (item.template, item.reference) if isinstance(item, Pair) else (item.data,)


# ---- what holds for every image that needs no download


def test_names():
    assert set(DATASETS) == {*OFFLINE, "hands"}


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("name", OFFLINE)
@pytest.mark.parametrize(("m", "shape"), [((24, 36), (24, 36)), (20, (20, 20))])
def test_shape_type_range_and_terms(name, m, shape, no_network):
    item = load(name, m)
    assert isinstance(item, Pair if name == "hands-phantom" else Image)
    for data in images(item):
        assert data.shape == shape
        assert data.dtype == torch.float64
        assert data.is_contiguous()
        assert data.min() >= 0
        assert 100 < data.max() <= 255
    assert item.domain.m == shape
    assert item.name == name
    assert len(item.credit) > 10
    assert len(item.licence) > 10


@pytest.mark.parametrize(
    ("name", "m", "omega"),
    [
        ("hands-phantom", (128, 128), (0, 20, 0, 25)),
        ("retina", (256, 256), (0, 1411, 0, 1411)),
        ("cells", (210, 252), (0, 58.85, 0, 70.62)),
        ("camera", (256, 256), (0, 512, 0, 512)),
        ("microaneurysms", (102, 102), (0, 102, 0, 102)),
    ],
)
def test_default_size_and_domain(name, m, omega):
    item = load(name)
    assert item.domain.m == m
    assert images(item)[0].shape == m
    assert item.domain.omega == pytest.approx(omega, rel=1e-12)
    assert load(name, (16, 24)).domain.omega == item.domain.omega


@pytest.mark.parametrize("name", OFFLINE)
def test_two_loads_are_equal_and_independent(name):
    first, second = images(load(name, 16)), images(load(name, 16))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    for a in first:
        a.zero_()
    assert all(torch.equal(a, b) for a, b in zip(images(load(name, 16)), second, strict=True))


@pytest.mark.parametrize("name", SINGLE)
def test_licence_is_what_the_docstring_of_the_picture_says(name):
    licence = load(name, 8).licence
    terms, function = licence.split(" (stated in the docstring of skimage.data.")
    docstring = " ".join(getattr(skimage.data, function.rstrip(")")).__doc__.split())
    assert terms in docstring
    assert "CC0" in terms


# ---- orientation of the real images


@pytest.mark.parametrize(
    ("name", "function"),
    [("cells", "cell"), ("camera", "camera"), ("microaneurysms", "microaneurysms")],
)
def test_axis_0_runs_to_the_right_and_axis_1_upwards(name, function):
    picture = getattr(skimage.data, function)()
    rows, columns = picture.shape
    data = load(name, (columns, rows)).data.numpy()
    for i, j in [(0, 0), (3, 50), (100, 7), (columns - 1, rows - 1)]:
        assert data[i, j] == pytest.approx(picture[rows - 1 - j, i], abs=1e-9)
    # as on the screen: imshow(data.T, origin="lower") puts the last column of data on top
    np.testing.assert_allclose(np.flipud(data.T), picture, atol=1e-9)


def test_colour_becomes_luminance():
    red, green, blue = np.moveaxis(skimage.data.retina().astype(float), -1, 0)
    picture = 0.2125 * red + 0.7154 * green + 0.0721 * blue
    data = load("retina", 1411).data.numpy()
    np.testing.assert_allclose(data[:, 700], picture[710, :], atol=1e-9)


def test_a_resized_image_shows_the_same_place():
    """The bright cell keeps its physical centre, also with cells that are not square."""
    centres = []
    for m in [(550, 660), (110, 132), (60, 132)]:
        item = load("cells", m)
        weight = torch.clamp(item.data - 150, min=0).reshape(-1, 1)
        centres.append((weight * item.domain.cell_centers()).sum(0) / weight.sum())
    pixel = 0.107
    np.testing.assert_allclose(centres[1], centres[0], atol=pixel)
    np.testing.assert_allclose(centres[2], centres[0], atol=3 * pixel)


# ---- the drawn pair


def block_mean(data, m):
    m0, m1 = m
    return data.reshape(m0, data.shape[0] // m0, m1, data.shape[1] // m1).mean(axis=(1, 3))


@pytest.mark.parametrize(("fine", "coarse"), [((128, 128), (32, 32)), ((250, 160), (50, 40))])
def test_phantom_is_a_cell_average_at_every_resolution(fine, coarse):
    averaged = [block_mean(a.numpy(), coarse) for a in images(load("hands-phantom", fine))]
    drawn = [b.numpy() for b in images(load("hands-phantom", coarse))]
    for a, b in zip(averaged, drawn, strict=True):
        assert np.linalg.norm(a - b) < 0.005 * np.linalg.norm(b)


@pytest.mark.parametrize("m", [(32, 32), (128, 128), (40, 90)])
def test_phantom_stays_inside_on_a_black_background(m):
    item = load("hands-phantom", m)
    x = item.domain.cell_centers().numpy()
    margin = np.minimum(x - [0, 0], [20, 25] - x).min(axis=1) < 0.8
    for data in images(item):
        assert data.flatten()[margin].abs().max() == 0


def test_phantom_has_the_grey_levels_of_an_x_ray():
    for data in images(load("hands-phantom")):
        background = (data < 20).double().mean()
        tissue = ((data > 70) & (data < 125)).double().mean()
        bone = (data > 140).double().mean()
        assert 0.5 < background < 0.8
        assert 0.05 < tissue < 0.3
        assert 0.05 < bone < 0.2
        assert 200 < data.max() < 240


@pytest.mark.parametrize(("height", "runs"), [(2.6, 1), (8.0, 1), (14.0, 2), (19.0, 4), (22.5, 1)])
def test_phantom_reference_stands_upright(height, runs):
    """Along a horizontal line: wrist, palm, thumb and palm, four fingers, one fingertip."""
    item = load("hands-phantom", 256)
    j = int(height / item.domain.h[1])
    line = item.reference[:, j] > 20
    found = int(line[0]) + int((line[1:] & ~line[:-1]).sum())
    assert found == runs


def test_phantom_thumb_is_on_the_left():
    reference = load("hands-phantom", 256).reference
    left, right = reference[:50, 128:192], reference[-50:, 128:192]  # the outer fifths
    assert left.max() > 100
    assert right.max() < 20


def relative_residual(w, template, reference):
    """||T(A x + b) - R|| / ||R|| on [0, 20] x [0, 25], linear interpolation."""
    h = np.array([20, 25]) / template.shape
    # index i stands for the point (i + 1/2) h, so the map is conjugated with that
    matrix = np.diag(1 / h) @ w[:4].reshape(2, 2) @ np.diag(h)
    offset = w[4:] / h + matrix @ [0.5, 0.5] - 0.5
    warped = scipy.ndimage.affine_transform(template, matrix, offset, order=1)
    return (warped - reference).ravel() / np.linalg.norm(reference)


def best_affine(template, reference, start):
    """Coarse to fine: blurred images first, so that a good start finds its way."""
    w = start
    for sigma in (1.5, 0.0):
        args = [scipy.ndimage.gaussian_filter(a, sigma) for a in (template, reference)]
        w = scipy.optimize.least_squares(
            relative_residual, w, args=args, x_scale=[0.1] * 4 + [1] * 2, diff_step=1e-3
        ).x
    return np.linalg.norm(relative_residual(w, template, reference))


def test_no_affine_map_solves_the_phantom_but_the_rotation_helps():
    m = (40, 50)
    angle = np.radians(155)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = np.array(_phantom.TEMPLATE.wrist) - turn @ _phantom.REFERENCE.wrist
    rotation = np.append(turn.ravel(), shift)
    identity = np.array([1.0, 0, 0, 1, 0, 0])
    pair = load("hands-phantom", m)
    template, reference = pair.template.numpy(), pair.reference.numpy()

    # control: the same pose, only turned, is solved by that rotation up to interpolation
    turned = _phantom.render(
        m, dataclasses.replace(_phantom.TEMPLATE, bones=_phantom.REFERENCE.bones)
    )
    control = np.linalg.norm(relative_residual(rotation, turned, reference))
    at_identity = np.linalg.norm(relative_residual(identity, template, reference))
    at_rotation = np.linalg.norm(relative_residual(rotation, template, reference))
    # start also a little beside the rotation, so that the bound does not hang on one local minimum
    rng = np.random.default_rng(0)
    starts = [rotation] + [
        rotation + rng.normal(size=6) * [0.08, 0.08, 0.08, 0.08, 0.8, 0.8] for _ in range(4)
    ]
    best = min(best_affine(template, reference, w) for w in starts)

    assert control < 0.15
    assert best < 0.7 * at_identity
    assert best < at_rotation
    assert best > 2 * control
    assert best > 0.3


# ---- arguments


@pytest.mark.parametrize("name", ["hand", "", None, ["hands"]])
def test_unknown_name_lists_the_allowed_ones(name):
    with pytest.raises(ValueError, match=r"^name must be one of .*hands-phantom, retina, .*hands;"):
        load(name)


@pytest.mark.parametrize("name", ["hands-phantom", "camera", "hands"])
@pytest.mark.parametrize(
    ("m", "error"),
    [
        (3, ValueError),
        (-8, ValueError),
        ((16, 3), ValueError),
        ((16,), ValueError),
        ((16, 16, 16), ValueError),
        (16.0, TypeError),
        ((16, 16.5), TypeError),
        (True, TypeError),
        ("ab", TypeError),
    ],
)
def test_bad_m_is_named(name, m, error):
    with pytest.raises(error, match=r"^m must be a whole number or a pair .* at least 4; got"):
        load(name, m)


def test_m_may_be_any_kind_of_whole_number():
    assert load("hands-phantom", np.int64(8)).domain.m == (8, 8)
    assert load("hands-phantom", torch.Size([8, 10])).domain.m == (8, 10)


# ---- the paper's pair, with stand-ins for its files


def jpg_like(seed):
    """A small grey picture with 6 rows and 9 columns, losslessly stored; its bytes and pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 9), dtype=np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, format="png")
    return buffer.getvalue(), pixels


@pytest.fixture
def stand_ins(monkeypatch):
    """Stand-ins for the two files, known to `datasets` by their hashes; file name -> pixels."""
    made = {"hands-R.jpg": jpg_like(0), "hands-T.jpg": jpg_like(1)}
    hashes = {file: hashlib.sha256(content).hexdigest() for file, (content, _) in made.items()}
    monkeypatch.setattr(datasets, "_HANDS_SHA256", hashes)
    return made


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty download cache, and no folder given by the user."""
    monkeypatch.delenv("REGTOOLS_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.setenv("NO_PROXY", "*")
    return tmp_path / "cache" / "regtools"


@pytest.fixture
def server(monkeypatch, stand_ins):
    """A local server of the stand-ins; `.files` may be changed, `.asked` lists the requests."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            file = self.path.rpartition("/")[2]
            self.server.asked.append(file)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.server.files[file])

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.files = {file: content for file, (content, _) in stand_ins.items()}
        httpd.asked = []
        monkeypatch.setattr(
            datasets, "_HANDS_URL", f"http://127.0.0.1:{httpd.server_port}/kernel/data/"
        )
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield httpd
        httpd.shutdown()
        thread.join()


def put(stand_ins, folder):
    for file, (content, _) in stand_ins.items():
        (folder / file).write_bytes(content)


def check_orientation(pair, stand_ins):
    """The paper's: data = rows x columns transposed, then one axis of each image is reversed."""
    reference, template = stand_ins["hands-R.jpg"][1], stand_ins["hands-T.jpg"][1]
    assert pair.domain.omega == (0, 20, 0, 25)
    assert pair.reference.shape == pair.template.shape == pair.domain.m == (9, 6)
    for i in range(9):
        for j in range(6):
            assert pair.reference[i, j] == reference[5 - j, i]
            assert pair.template[i, j] == template[j, 8 - i]


def test_hands_from_a_folder_need_no_network(stand_ins, monkeypatch, tmp_path, no_network):
    put(stand_ins, tmp_path)
    monkeypatch.setenv("REGTOOLS_DATA", str(tmp_path))
    check_orientation(load("hands", (9, 6)), stand_ins)


def test_hands_in_a_folder_with_another_content_are_refused_and_left(
    stand_ins, monkeypatch, tmp_path
):
    put(stand_ins, tmp_path)
    wrong = tmp_path / "hands-T.jpg"
    wrong.write_bytes(b"something else")
    monkeypatch.setenv("REGTOOLS_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="not the paper's image") as error:
        load("hands", 8)
    for part in (
        "hands-T.jpg",
        hashlib.sha256(b"something else").hexdigest(),
        datasets._HANDS_SHA256["hands-T.jpg"],
    ):
        assert part in str(error.value)
    assert wrong.read_bytes() == b"something else"


def test_hands_missing_from_the_folder_names_file_and_folder(stand_ins, monkeypatch, tmp_path):
    put(stand_ins, tmp_path)
    (tmp_path / "hands-T.jpg").unlink()
    monkeypatch.setenv("REGTOOLS_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError) as error:
        load("hands", 8)
    assert str(error.value).startswith(f"hands-T.jpg is not in {tmp_path}")
    assert "REGTOOLS_DATA" in str(error.value)


def test_hands_are_downloaded_once(stand_ins, cache, server):
    check_orientation(load("hands", (9, 6)), stand_ins)
    assert sorted(server.asked) == ["hands-R.jpg", "hands-T.jpg"]
    assert sorted(path.name for path in cache.iterdir()) == ["hands-R.jpg", "hands-T.jpg"]
    check_orientation(load("hands", (9, 6)), stand_ins)
    assert len(server.asked) == 2


def test_a_wrong_download_is_refused_and_not_kept(cache, server):
    server.files["hands-R.jpg"] = b"a login page"
    with pytest.raises(ValueError, match="not the paper's image and was not kept") as error:
        load("hands", 8)
    assert hashlib.sha256(b"a login page").hexdigest() in str(error.value)
    assert datasets._HANDS_SHA256["hands-R.jpg"] in str(error.value)
    assert list(cache.iterdir()) == []


def test_a_damaged_file_in_the_cache_is_replaced(stand_ins, cache, server):
    load("hands", 8)
    (cache / "hands-R.jpg").write_bytes(b"damaged")
    check_orientation(load("hands", (9, 6)), stand_ins)
    assert (cache / "hands-R.jpg").read_bytes() == stand_ins["hands-R.jpg"][0]


def test_offline_says_what_to_do(cache, monkeypatch):
    with socket.socket() as free:  # bound but not listening: a connection is refused at once
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/kernel/data/"
        monkeypatch.setattr(datasets, "_HANDS_URL", url)
        with pytest.raises(ConnectionError) as error:
            load("hands", 8)
    for part in ("REGTOOLS_DATA", "connect to the internet", "hands-R.jpg", "hands-T.jpg", url):
        assert part in str(error.value)
    assert "Traceback" not in str(error.value)
    assert "HTTPConnection" not in str(error.value)
    assert isinstance(error.value.__cause__, OSError)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_hands_are_asked_for_at_the_pinned_commit():
    assert datasets._HANDS_URL == (
        "https://raw.githubusercontent.com/C4IR/FAIR.m/975edeb/kernel/data/"
    )


# ---- the paper's pair itself

needs_hands = pytest.mark.skipif(
    not os.environ.get("REGTOOLS_DATA"),
    reason="the paper's pair is not redistributed: set REGTOOLS_DATA to the folder that holds it",
)


@needs_hands
@pytest.mark.parametrize("m", [(128, 128), (64, 64), (40, 56)])
def test_hands_of_the_paper_have_the_orientation_of_the_paper(m):
    pair = load("hands", m)
    stored = {}
    for key in "RT":
        with PIL.Image.open(os.path.join(os.environ["REGTOOLS_DATA"], f"hands-{key}.jpg")) as file:
            stored[key] = np.asarray(file.resize((m[0], m[1])), dtype=float)
    i, j = np.meshgrid(range(m[0]), range(m[1]), indexing="ij")
    np.testing.assert_array_equal(pair.reference, stored["R"][m[1] - 1 - j, i])
    np.testing.assert_array_equal(pair.template, stored["T"][j, m[0] - 1 - i])
    assert pair.domain.omega == (0, 20, 0, 25)
    assert "Amit" in pair.credit
    assert pair.licence.startswith("none stated")


@needs_hands
def test_hands_of_the_paper_default_to_their_own_size():
    pair = load("hands")
    assert pair.domain.m == pair.template.shape == pair.reference.shape == (128, 128)
    # upright in the reference (the bright wrist below), turned in the template (above)
    assert pair.reference[:, :32].max() > 230
    assert pair.template[:, 96:].max() > 230
