"""MovieLens sets: from folders and archives, and from a server that misbehaves in every way."""

from __future__ import annotations

import hashlib
import http.server
import io
import socket
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mixmend.datasets import fetch_movielens, movielens
from mixmend.datasets.data import data_folder
from mixmend.errors import DataError, FileFormatError, MixmendError, OutputError


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


FLAGS = "0|0|0|0|0|1|0|0|1|0|0|0|0|0|0|0|0|0|0"  # Comedy, Drama


def archive_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return out.getvalue()


FILES_100K = {
    "__MACOSX/ml-100k/._u.data": b"resource fork",
    "ml-100k/": b"",
    "ml-100k/README": b"Read me.",
    "ml-100k/u.data": b"1\t20\t5\t881250949\n1\t3\t4\t881250950\n7\t3\t1\t881250951\n",
    "ml-100k/u.item": (
        f"3|Cit\u00e9 des enfants perdus, La (1995)|01-Jan-1995||http://x|{FLAGS}\n"
        f"20|Angels and Insects (1995)|01-Jan-1995||http://x|{FLAGS.replace('1', '0')}\n"
    ).encode("latin-1"),
}
FILES_1M = {
    "ml-1m/README": b"Read me.",
    "ml-1m/ratings.dat": b"1::1193::5::978300760\n2::661::3::978302109\n",
    "ml-1m/movies.dat": (
        "661::James :: the Giant Peach (1996)::Animation|Children's\n1193::Amélie (2001)::Drama\n"
    ).encode("latin-1"),
}
FILES_SMALL = {
    "ml-latest-small/README.txt": b"Read me.",
    "ml-latest-small/ratings.csv": (
        b"userId,movieId,rating,timestamp\n1,5,4.5,964982703\n1,8,0.5,964982224\n2,9,3.0,1\n"
    ),
    "ml-latest-small/movies.csv": (
        'movieId,title,genres\n5,"Amélie, or: ""Le Fabuleux destin"" (2001)",Comedy|Romance\n'
        "8,Nothing (2003),(no genres listed)\n"
    ).encode(),
    "ml-latest-small/genome-scores.csv": b"large and not needed",
}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append((self.path, self.headers["User-Agent"]))
        content = self.server.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(self.server.claimed or len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.asked, server.claimed = {}, [], None
    server.address = f"http://127.0.0.1:{server.server_port}/datasets/movielens"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def publish(server, monkeypatch, name, files):
    known = movielens._SETS[name]
    content = archive_of(files)
    server.files[f"/datasets/movielens/{known.archive}"] = content
    if known.md5 is not None:
        changed = known._replace(md5=hashlib.md5(content).hexdigest(), n_ratings=None)
        monkeypatch.setitem(movielens._SETS, name, changed)
    return content


def test_a_set_is_downloaded_once_and_read_from_the_folder_later(server, monkeypatch, tmp_path):
    publish(server, monkeypatch, "100k", FILES_100K)
    folder = tmp_path / "not" / "there" / "yet"
    data = fetch_movielens("100k", folder, address=server.address + "/")
    assert data.name == "MovieLens 100K"
    assert data.ratings.row_labels.tolist() == [1, 7]
    assert data.ratings.column_labels.tolist() == [3, 20]
    np.testing.assert_array_equal(data.ratings.dense, [[4, 5], [1, np.nan]])
    assert data.ratings.dtype == np.float32
    assert data.titles.tolist() == [
        "Cité des enfants perdus, La (1995)",
        "Angels and Insects (1995)",
    ]
    assert data.genres == (("Comedy", "Drama"), ())
    assert "no redistribution without permission" in data.licence
    assert data.source == str(folder / "ml-100k" / "u.data")
    assert data.truth is None
    ((path, agent),) = server.asked
    assert path == "/datasets/movielens/ml-100k.zip"
    assert agent.startswith("mixmend/")
    assert left_in(folder) == ["ml-100k"]  # neither the archive nor scraps
    assert left_in(folder / "ml-100k") == ["README", "u.data", "u.item"]
    again = fetch_movielens("ml-100K", folder, download=False)
    np.testing.assert_array_equal(again.ratings.dense, data.ratings.dense)
    assert len(server.asked) == 1
    within = fetch_movielens("100k", folder / "ml-100k", download=False)
    assert within.source == data.source


def test_the_folder_comes_from_the_environment(server, monkeypatch, tmp_path):
    publish(server, monkeypatch, "latest-small", FILES_SMALL)
    monkeypatch.setenv("MIXMEND_DATA", str(tmp_path / "mine"))
    data = fetch_movielens("latest-small", address=server.address)
    np.testing.assert_array_equal(data.ratings.dense, [[4.5, 0.5, np.nan], [np.nan, np.nan, 3.0]])
    assert data.titles.tolist() == ['Amélie, or: "Le Fabuleux destin" (2001)', "Nothing (2003)", ""]
    assert data.genres == (("Comedy", "Romance"), (), ())
    assert "redistribution under the same conditions" in data.licence
    assert "genome-scores.csv" not in left_in(tmp_path / "mine" / "ml-latest-small")


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x/cache"}, "/x/cache/mixmend"),
        ("linux", {}, "/home/me/.cache/mixmend"),
        ("darwin", {}, "/home/me/Library/Caches/mixmend"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/mixmend"),
        ("win32", {}, "/home/me/AppData/Local/mixmend"),
        ("linux", {"MIXMEND_DATA": "~/data", "XDG_CACHE_HOME": "/x"}, "/home/me/data"),
    ],
)
def test_each_system_has_its_place_for_data(monkeypatch, platform, environment, expected):
    for name in ("MIXMEND_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert data_folder() == Path(expected)


def test_an_archive_in_the_folder_is_used_and_kept(monkeypatch, tmp_path):
    content = archive_of(FILES_1M)
    known = movielens._SETS["1m"]
    monkeypatch.setitem(
        movielens._SETS,
        "1m",
        known._replace(md5=hashlib.md5(content).hexdigest(), n_ratings=None),
    )
    (tmp_path / "ml-1m.zip").write_bytes(content)
    data = fetch_movielens("1m", tmp_path, download=False)
    assert data.titles.tolist() == ["James :: the Giant Peach (1996)", "Amélie (2001)"]
    assert data.genres == (("Animation", "Children's"), ("Drama",))
    assert left_in(tmp_path) == ["ml-1m", "ml-1m.zip"]


def test_without_its_file_of_films_a_set_has_no_titles(tmp_path):
    (tmp_path / "ratings.csv").write_bytes(FILES_SMALL["ml-latest-small/ratings.csv"])
    data = fetch_movielens("latest-small", tmp_path, download=False)
    assert data.titles is None
    assert data.genres is None


def test_published_checksums_are_well_formed():
    for name, known in movielens._SETS.items():
        if name == "latest-small":
            assert known.md5 is None
        else:
            assert len(known.md5) == 32
            assert set(known.md5) <= set("0123456789abcdef")


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "folder", "shape", "observed", "first"),
    [
        ("100k", "movielens_100k", (943, 1682), 100_000, "Toy Story (1995)"),
        ("latest-small", "movielens_latest_small_2018", (610, 9724), 100_836, "Toy Story (1995)"),
    ],
)
def test_the_real_sets_are_read(shared_path, name, folder, shape, observed, first):
    data = fetch_movielens(name, shared_path(f"data/ratings/{folder}"), download=False)
    assert data.ratings.shape == shape
    assert data.ratings.n_observed == observed
    assert data.titles[0] == first
    assert all(len(title) > 0 for title in data.titles)
    assert len(data.genres) == shape[1]


@pytest.mark.shared
def test_a_set_with_a_few_missing_ratings_is_read_with_a_warning(shared_path):
    folder = shared_path("data/ratings/movielens_1m")
    with pytest.warns(UserWarning, match="1000203 ratings, but MovieLens 1M has 1000209: some"):
        data = fetch_movielens("1m", folder, download=False)
    assert data.ratings.shape == (6040, 3706)


# ------------------------------------------------------------------------- what goes wrong


def test_another_set_in_the_folder_is_refused(tmp_path):
    (tmp_path / "ratings.csv").write_bytes(FILES_SMALL["ml-latest-small/ratings.csv"])
    with pytest.raises(DataError) as caught:
        fetch_movielens("25m", tmp_path, download=False)
    assert str(caught.value) == (
        f"{tmp_path / 'ratings.csv'} holds 3 ratings, but MovieLens 25M has 25000095: "
        "it is another data set. Give the folder of the right one."
    )


def test_an_unknown_set():
    with pytest.raises(MixmendError) as caught:
        fetch_movielens("5k")
    assert str(caught.value) == (
        "there is no MovieLens set '5k'; there are 100k, 1m, 10m, 20m, 25m, latest-small."
    )


def test_absent_and_not_to_be_downloaded(tmp_path):
    with pytest.raises(MixmendError) as caught:
        fetch_movielens("10m", tmp_path, download=False)
    assert str(caught.value) == (
        f"MovieLens 10M is not in {tmp_path}: there is neither ml-10M100K/ratings.dat nor "
        "ml-10m.zip. Allow the download, or give the folder that holds it."
    )


def test_offline(tmp_path):
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(MixmendError) as caught:
            fetch_movielens("100k", tmp_path, address=address)
    assert str(caught.value) == (
        f"Cannot download {address}/ml-100k.zip: Connection refused. Check the connection "
        f"and try again, or get ml-100k.zip on another machine and put it into {tmp_path}."
    )
    assert "\n" not in str(caught.value)
    assert left_in(tmp_path) == []


def test_not_on_the_server(server, tmp_path):
    with pytest.raises(MixmendError) as caught:
        fetch_movielens("1m", tmp_path, address=server.address)
    assert str(caught.value).startswith(
        f"Cannot download {server.address}/ml-1m.zip: the server answered 404 Not Found. Check"
    )


def test_an_address_that_is_none(tmp_path):
    with pytest.raises(MixmendError, match=r"^Cannot download nowhere/ml-1m\.zip: unknown url"):
        fetch_movielens("1m", tmp_path, address="nowhere")


def test_a_connection_that_breaks_off(server, monkeypatch, tmp_path):
    content = publish(server, monkeypatch, "100k", FILES_100K)
    server.claimed = len(content) + 10
    with pytest.raises(MixmendError) as caught:
        fetch_movielens("100k", tmp_path, address=server.address)
    assert str(caught.value).startswith(
        f"Cannot download {server.address}/ml-100k.zip: the connection ended after "
        f"{len(content)} of {len(content) + 10} bytes. Check"
    )
    assert left_in(tmp_path) == []


def test_a_changed_archive(server, monkeypatch, tmp_path):
    content = bytearray(publish(server, monkeypatch, "100k", FILES_100K))
    content[40] ^= 1
    server.files["/datasets/movielens/ml-100k.zip"] = bytes(content)
    with pytest.raises(FileFormatError) as caught:
        fetch_movielens("100k", tmp_path, address=server.address)
    found, wanted = hashlib.md5(content).hexdigest(), movielens._SETS["100k"].md5
    assert str(caught.value).startswith(
        f"What came from {server.address}/ml-100k.zip has the MD5 checksum {found}, but {wanted} "
        "was published: it was damaged or changed on the way. Nothing was kept. Check"
    )
    assert left_in(tmp_path) == []


def test_a_damaged_archive_in_the_folder(tmp_path):
    (tmp_path / "ml-20m.zip").write_bytes(b"no archive")
    with pytest.raises(FileFormatError) as caught:
        fetch_movielens("20m", tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'ml-20m.zip'} has the MD5 checksum {hashlib.md5(b'no archive').hexdigest()}, "
        "but cd245b17a1ae2cc31bb14903e1204af3 was published: it is damaged or another version. "
        "Delete it and fetch it again."
    )
    assert left_in(tmp_path) == ["ml-20m.zip"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"no archive", "is not a whole zip archive (File is not a zip file)."),
        (archive_of({"other/ratings.csv": b"1"}), "holds no folder ml-latest-small;"),
        (archive_of({"ml-latest-small/README.txt": b"1"}), "holds no ratings.csv;"),
        (archive_of(FILES_SMALL)[:-30], "is not a whole zip archive (File is not a zip file)."),
    ],
)
def test_an_archive_without_checksum_is_looked_into(tmp_path, content, text):
    (tmp_path / "ml-latest-small.zip").write_bytes(content)
    with pytest.raises(FileFormatError) as caught:
        fetch_movielens("latest-small", tmp_path, download=False)
    assert str(caught.value).startswith(f"{tmp_path / 'ml-latest-small.zip'} {text}")
    assert str(caught.value).endswith("Delete it and fetch it again.")


def test_an_archive_cannot_write_outside_its_folder(tmp_path):
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    content = archive_of({**FILES_SMALL, "ml-latest-small/../../../evil.txt": b"x"})
    (inside / "ml-latest-small.zip").write_bytes(content)
    fetch_movielens("latest-small", inside, download=False)
    assert not list(tmp_path.rglob("../evil.txt"))
    assert [path.name for path in tmp_path.rglob("evil.txt") if path.parent == tmp_path] == []


def test_a_place_that_cannot_be_written(server, monkeypatch, tmp_path):
    publish(server, monkeypatch, "100k", FILES_100K)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError) as caught:
        fetch_movielens("100k", tmp_path / "file" / "data", address=server.address)
    assert str(caught.value) == (
        f"Cannot make the folder {tmp_path / 'file' / 'data'}: Not a directory. Give another one, "
        "or set MIXMEND_DATA to it."
    )
