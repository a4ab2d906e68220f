"""The paper's pair: from a folder, from the cache, downloaded, refused; and itself."""

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

from paper_pair import on_the_papers_pair
from regtools.images import datasets, load


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


@on_the_papers_pair
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


@on_the_papers_pair
def test_hands_of_the_paper_default_to_their_own_size():
    pair = load("hands")
    assert pair.domain.m == pair.template.shape == pair.reference.shape == (128, 128)
    # upright in the reference (the bright wrist below), turned in the template (above)
    assert pair.reference[:, :32].max() > 230
    assert pair.template[:, 96:].max() > 230
