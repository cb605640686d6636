"""Fetching checkpoints from a server of this machine that misbehaves on demand."""

from __future__ import annotations

import hashlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xxhash

from napari_sam.models import fetch
from napari_sam.models.specs import SPECS, ModelSpec

SIZE, SOME = 2_400_000, 1_000_000
CONTENT = np.random.default_rng(0).bytes(SIZE)
HASHES = {
    "sha256": hashlib.sha256(CONTENT).hexdigest(),
    "xxh128": xxhash.xxh128(CONTENT).hexdigest(),
}
QUICK = (2.0, 0.4)


class Handler(BaseHTTPRequestHandler):
    """Answers a question as the next of the server's manners says; the last of them stays."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(self.headers.get("Range"))
        manners = self.server.manners
        manner = manners.pop(0) if len(manners) > 1 else manners[0]
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        self.close_connection = True
        try:
            manner(self, int(found[1]) if found else 0)
        except OSError:
            self.server.left.set()

    def head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def head_from(self, start, said=None):
        """Announce everything from a byte on."""
        if start >= SIZE:
            self.head(416, Content_Range=f"bytes */{SIZE}", Content_Length=0)
        elif start:
            span = f"bytes {start if said is None else said}-{SIZE - 1}/{SIZE}"
            self.head(206, Content_Range=span, Content_Length=SIZE - start)
        else:
            self.head(200, Content_Length=SIZE)

    def log_message(self, *args):
        pass


def honest(to, start):
    to.head_from(start)
    to.wfile.write(CONTENT[start:])


def no_ranges(to, start):
    honest(to, 0)


def wrong_start(to, start):
    to.head_from(start, said=start + 7 if start else None)
    to.wfile.write(CONTENT[start + 7 if start else 0 :])


def truncates(to, start):
    to.head_from(start)
    to.wfile.write(CONTENT[start : start + SOME])


def stalls(to, start):
    truncates(to, start)
    to.wfile.flush()
    to.server.released.wait(20)


def drips(to, start):
    to.head_from(start)
    for position in range(start, SIZE, 50_000):
        to.wfile.write(CONTENT[position : position + 50_000])
        time.sleep(0.01)


def lies(to, start):
    to.head_from(start)
    to.wfile.write(bytes(SIZE - start))


def too_small(to, start):
    to.head(200, Content_Length=SOME)
    to.wfile.write(CONTENT[:SOME])


def part_of_the_rest(to, start):
    end = min(start + SOME, SIZE)
    to.head(206, Content_Range=f"bytes {start}-{end - 1}/{SIZE}", Content_Length=end - start)
    to.wfile.write(CONTENT[start:end])


def no_length(to, start):
    to.head(200, Connection="close")
    to.wfile.write(CONTENT)


def no_length_truncates(to, start):
    to.head(200, Connection="close")
    to.wfile.write(CONTENT[:SOME])


def chunked(to, start):
    to.head(200, Transfer_Encoding="chunked")
    for piece in (CONTENT[:SOME], CONTENT[SOME:], b""):
        to.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))


def chunked_truncates(to, start):
    to.head(200, Transfer_Encoding="chunked")
    to.wfile.write(b"%x\r\n%s\r\n" % (SOME, CONTENT[:SOME]))


def hangs_up(to, start):
    pass


def answers(status):
    return lambda to, start: to.head(status, Content_Length=0)


def moved(to, start):
    if to.path == "/elsewhere":
        honest(to, start)
    else:
        to.head(302, Location="/elsewhere", Content_Length=0, Connection="close")


def moved_to_a_file(to, start):
    to.head(302, Location="file:///etc/hostname", Content_Length=0)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("NAPARI_SAM_OFFLINE", raising=False)
    monkeypatch.setattr(fetch, "PAUSE", 0.0)
    monkeypatch.setattr(fetch, "CHUNK", 100_000)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.manners, server.asked = [honest], []
    server.released, server.left = threading.Event(), threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "models"


@pytest.fixture
def place(server, folder):
    """The spec of a file on the server, and the paths that belong to it."""
    spec = make_spec(f"http://127.0.0.1:{server.server_port}/model.pth")
    return SimpleNamespace(
        spec=spec, final=folder / "tiny.pth", part=folder / "tiny.pth.part", folder=folder
    )


def make_spec(url, algorithm="sha256", size=SIZE, exact_size=True):
    digest = f"{algorithm}:{HASHES[algorithm]}"
    return ModelSpec(
        "tiny", "vit", url, digest, size, "none", 64, "for tests", exact_size=exact_size
    )


def changed(spec, **fields):
    return ModelSpec(**{**vars(spec), **fields})


def drive(steps):
    """Exhaust a generator; return what it returned and what it yielded."""
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return end.value, seen


def steps_of(place, **options):
    return fetch.fetch(place.spec, place.folder, **{"timeouts": QUICK, **options})


def fetched(place, **options):
    path, seen = drive(steps_of(place, **options))
    assert path == place.final
    assert path.read_bytes() == CONTENT
    left = [found for found in place.folder.iterdir() if found.suffix != ".lock"]
    assert left == [path]
    return seen


def refused(place, sentence, **options):
    with pytest.raises(ValueError, match=sentence) as caught:
        drive(steps_of(place, **options))
    assert not place.final.exists()
    text = str(caught.value)
    assert "\n" not in text
    return text


def advance(steps, done):
    """Drive a generator until so many bytes are there."""
    while next(steps).done < done:
        pass


def leave_part(place, content):
    place.folder.mkdir()
    place.part.write_bytes(content)


@pytest.mark.parametrize("algorithm", ["sha256", "xxh128"])
def test_a_file_is_fetched_once(server, place, algorithm):
    place.spec = make_spec(place.spec.url, algorithm)
    assert not fetch.is_here(place.spec, place.folder)
    seen = fetched(place)
    assert fetch.is_here(place.spec, place.folder)
    assert drive(steps_of(place)) == (place.final, [])
    assert server.asked == [None]
    done = [progress.done for progress in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, SIZE)
    assert {progress.total for progress in seen} == {SIZE}
    assert re.fullmatch(r"tiny: \d of 2 MB, [\d,.]+ MB/s", seen[1].text)


def test_what_arrives_is_told_at_once(server, place, monkeypatch):
    monkeypatch.setattr(fetch, "CHUNK", 10 * SIZE)
    server.manners = [drips]
    assert len(fetched(place)) > 10


def test_progress_is_told_ten_times_a_second(server, place, monkeypatch):
    monkeypatch.setattr(fetch, "PAUSE", 0.1)
    server.manners = [drips]
    began = time.monotonic()
    seen = fetched(place)
    assert 4 <= len(seen) <= (time.monotonic() - began) / 0.1 + 3


@pytest.mark.parametrize("manner", [no_ranges, moved, no_length, chunked])
def test_other_good_servers(server, place, manner):
    server.manners = [manner]
    assert fetched(place)[-1].done == SIZE


@pytest.mark.parametrize("size", [SOME, 2 * SIZE])
@pytest.mark.parametrize("manner", [honest, no_length])
def test_an_estimated_size_gives_way_to_the_real_one(server, place, manner, size):
    server.manners = [manner]
    place.spec = make_spec(place.spec.url, size=size, exact_size=False)
    seen = fetched(place)
    assert all(progress.done <= progress.total for progress in seen)
    assert (seen[-1].done, seen[-1].total) == (SIZE, SIZE)
    assert ("about" in seen[1].text) == (manner is no_length)


def test_a_closed_generator_leaves_a_part_that_the_next_one_goes_on_from(server, place):
    server.manners = [stalls, honest]
    steps = steps_of(place)
    advance(steps, SOME)
    steps.close()
    assert place.part.read_bytes() == CONTENT[:SOME]
    assert not place.final.exists()
    seen = fetched(place)
    assert server.asked == [None, f"bytes={SOME}-"]
    assert seen[1].done > SOME


def test_closing_hangs_up(server, place):
    server.manners = [drips]
    steps = steps_of(place)
    advance(steps, 1)
    steps.close()
    assert server.left.wait(5)


@pytest.mark.parametrize(
    ("manner", "sentence", "times"),
    [
        (truncates, "broke off; 1 MB are here", 2),
        (stalls, "127.0.0.1 sent nothing for 0.4 s; 1 MB", 2),
        (chunked_truncates, "broke off; 1 MB", 1),
    ],
)
def test_what_breaks_off_is_gone_on_with(server, place, manner, sentence, times):
    server.manners = [manner]
    assert "try again: the download continues where it stopped" in refused(place, sentence)
    for _ in range(times - 1):
        refused(place, sentence.replace("1 MB", "2 MB"))
    server.manners = [honest]
    fetched(place)
    asked = [None, *(f"bytes={n * SOME}-" for n in range(1, times + 1))]
    assert server.asked == asked


def test_a_server_that_gives_the_rest_piece_by_piece(server, place):
    server.manners = [truncates, part_of_the_rest]
    refused(place, "broke off")
    refused(place, f"only {2 * SOME} of {SIZE} bytes")
    fetched(place)
    assert server.asked == [None, f"bytes={SOME}-", f"bytes={2 * SOME}-"]


@pytest.mark.parametrize("manner", [no_ranges, wrong_start])
def test_a_server_that_does_not_go_on_starts_over(server, place, manner):
    leave_part(place, CONTENT[:SOME])
    server.manners = [manner]
    fetched(place)
    assert server.asked[0] == f"bytes={SOME}-"
    assert server.asked[1:] == ([None] if manner is wrong_start else [])


def test_a_redirect_is_followed_when_going_on(server, place):
    leave_part(place, CONTENT[:SOME])
    server.manners = [moved]
    fetched(place)
    assert server.asked == [f"bytes={SOME}-"] * 2


def test_a_whole_part_is_only_put_in_place(server, place):
    leave_part(place, CONTENT)
    fetched(place)
    assert server.asked == [f"bytes={SIZE}-"]


@pytest.mark.parametrize("more", [b"", b"more"])
def test_a_part_that_is_long_and_wrong_is_replaced(server, place, more):
    leave_part(place, bytes(SIZE) + more)
    fetched(place)
    assert server.asked == [f"bytes={SIZE + len(more)}-", None]


def test_a_part_that_is_short_and_wrong_is_thrown_away(server, place):
    leave_part(place, bytes(SOME))
    refused(place, "not what was published, and was deleted; try again")
    assert not place.part.exists()
    fetched(place)


@pytest.mark.parametrize("algorithm", ["sha256", "xxh128"])
@pytest.mark.parametrize("manner", [lies, no_length_truncates])
def test_other_bytes_are_thrown_away(server, place, manner, algorithm):
    server.manners = [manner]
    place.spec = make_spec(place.spec.url, algorithm)
    assert "the path of a file" in refused(place, "tiny is not what was published")
    assert not place.part.exists()


def test_an_announcement_of_another_size_is_refused_before_the_part_is_lost(server, place):
    leave_part(place, CONTENT[: SOME // 2])
    server.manners = [too_small]
    refused(place, f"offers {SOME} bytes as tiny, but {SIZE}")
    assert place.part.read_bytes() == CONTENT[: SOME // 2]


def test_where_the_size_is_an_estimate_the_hash_tells_that_bytes_lack(server, place):
    place.spec = changed(place.spec, exact_size=False)
    server.manners = [too_small]
    refused(place, "not what was published")


@pytest.mark.parametrize(
    ("manner", "sentence"),
    [
        (answers(404), "127.0.0.1 answered 404 Not Found; try again later"),
        (answers(503), "answered 503"),
        (answers(416), "answered 416"),
        (answers(206), "answered 206"),
        (hangs_up, "cannot be reached or broke off"),
        (moved_to_a_file, "no usable answer"),
    ],
)
def test_errors_of_servers_leave_the_part_alone(server, place, manner, sentence):
    leave_part(place, CONTENT[:SOME])
    server.manners = [manner]
    assert "the path of a file that you have" in refused(place, sentence)
    assert place.part.read_bytes() == CONTENT[:SOME]


def test_nobody_there(server, place):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/model.pth"
        place.spec = make_spec(address)
        refused(place, "127.0.0.1 cannot be reached")


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/a.pth", "file:///etc/hostname", "a.pth"])
def test_other_addresses_are_refused(place, url):
    place.spec = make_spec(url)
    refused(place, re.escape(f"its address is {url}"))


def test_a_bundled_model_is_not_fetched(place):
    with pytest.raises(ValueError, match="pocket is part of this package"):
        drive(fetch.fetch(SPECS[0], place.folder))


def tamper(place):
    place.folder.mkdir()
    place.final.write_bytes(CONTENT[:-1] + b"x" if CONTENT[-1:] != b"x" else CONTENT[:-1] + b"y")


def test_a_tampered_file_is_not_used_but_replaced(server, place):
    tamper(place)
    with pytest.raises(ValueError, match="no intact file of tiny is on this machine"):
        drive(fetch.fetch(place.spec, place.folder, offline=True))
    fetched(place)
    assert place.final.read_bytes() == CONTENT


@pytest.mark.parametrize("manner", [answers(404), lies, truncates])
def test_a_tampered_file_stays_until_there_is_a_better_one(server, place, manner):
    tamper(place)
    before = place.final.read_bytes()
    server.manners = [manner]
    with pytest.raises(ValueError, match="tiny"):
        drive(steps_of(place))
    assert place.final.read_bytes() == before
    with pytest.raises(ValueError, match="no intact file"):
        drive(fetch.fetch(place.spec, place.folder, offline=True))


@pytest.mark.parametrize(("variable", "option"), [("1", None), ("0", True), ("yes", True)])
def test_downloads_that_are_switched_off(server, place, monkeypatch, variable, option):
    monkeypatch.setenv("NAPARI_SAM_OFFLINE", variable)
    text = refused(place, "downloads are switched off", offline=option)
    assert "unset NAPARI_SAM_OFFLINE" in text
    assert "the path of a file" in text
    assert server.asked == []
    assert not place.folder.exists()


@pytest.mark.parametrize(("variable", "option"), [("0", None), ("", None), ("1", False)])
def test_downloads_that_are_switched_on(place, monkeypatch, variable, option):
    monkeypatch.setenv("NAPARI_SAM_OFFLINE", variable)
    fetched(place, offline=option)


def test_a_file_that_is_here_needs_no_download(server, place):
    fetched(place)
    assert drive(steps_of(place, offline=True)) == (place.final, [])
    assert server.asked == [None]


def test_too_little_room(server, place, monkeypatch):
    leave_part(place, CONTENT[:SOME])
    free = SimpleNamespace(free=SIZE - SOME - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    assert "1 MB are free" in refused(place, "tiny needs 1 MB in .*models")
    assert place.part.read_bytes() == CONTENT[:SOME]
    free.free += 1
    fetched(place)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
def test_a_disk_that_fills_up(place):
    place.folder.mkdir()
    place.part.symlink_to("/dev/full")
    assert "try again: the download continues" in refused(place, "models is full; make room")


def test_a_folder_that_cannot_be_made(server, place):
    place.folder.write_text("a file")
    with pytest.raises(ValueError, match="cannot be kept in .*models.*set NAPARI_SAM_MODELS"):
        drive(steps_of(place))


def test_a_second_fetch_of_the_same_file_is_told_to_wait(server, place, monkeypatch):
    monkeypatch.setattr(fetch, "LOCK_WAIT", 0.05)
    server.manners = [stalls, honest]
    first = steps_of(place)
    advance(first, SOME)
    refused(place, "tiny is being fetched already")
    assert server.asked == [None]
    first.close()
    fetched(place)


def test_a_fetch_that_ends_in_another_thread_lets_go(server, place, monkeypatch):
    monkeypatch.setattr(fetch, "LOCK_WAIT", 0.05)
    server.manners = [stalls, honest]
    steps = steps_of(place)
    starter = threading.Thread(target=advance, args=(steps, SOME))
    starter.start()
    starter.join()
    with pytest.raises(KeyError) as kept:  # and with it the frames, so that nothing is collected
        steps.throw(KeyError("stop"))
    fetched(place)
    assert kept.tb is not None


def test_many_at_once_fetch_one_file(server, place, monkeypatch):
    monkeypatch.setattr(fetch, "LOCK_WAIT", 10.0)
    server.manners = [drips]
    paths = []
    threads = [
        threading.Thread(target=lambda: paths.append(drive(steps_of(place))[0])) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths == [place.final] * 4
    assert server.asked == [None]
    fetched(place)


OTHER = """
import sys
from pathlib import Path
from napari_sam.models import fetch
from napari_sam.models.specs import ModelSpec
url, digest, size, folder = sys.argv[1:]
assert "torch" not in sys.modules
spec = ModelSpec("tiny", "vit", url, digest, int(size), "none", 64, "for tests")
for progress in fetch.fetch(spec, Path(folder)):
    print(progress.done, flush=True)
"""


def test_another_process_that_is_killed_lets_go(server, place, monkeypatch):
    monkeypatch.setattr(fetch, "LOCK_WAIT", 0.05)
    server.manners = [stalls, honest]
    spec = place.spec
    command = [sys.executable, "-c", OTHER, spec.url, spec.hash, str(spec.size), str(place.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        for line in other.stdout:
            if int(line):
                break
        refused(place, "being fetched already")
        other.kill()
    received = place.part.stat().st_size
    assert 0 < received <= SOME
    fetched(place)
    assert server.asked == [None, f"bytes={received}-"]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://a.b/c/sam.pth", "tiny.pth"),
        ("https://a.b/sam.safetensors?x=1.zip", "tiny.safetensors"),
        ("https://a.b/vit.pt", "tiny.pt"),
        ("https://a.b/s/XYZ/download", "tiny.pt"),
        ("https://a.b/model.py", "tiny.pt"),
    ],
)
def test_names_of_files(tmp_path, url, name):
    assert fetch.cached_path(make_spec(url), tmp_path) == tmp_path / name


def test_the_folder_is_chosen_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("NAPARI_SAM_MODELS", str(tmp_path))
    assert fetch.models_folder() == tmp_path
    assert fetch.cached_path(make_spec("https://a.b/c.pt")) == tmp_path / "tiny.pt"
    monkeypatch.setenv("NAPARI_SAM_MODELS", "~/models")
    assert fetch.models_folder() == Path.home() / "models"
    monkeypatch.setenv("NAPARI_SAM_MODELS", "")
    assert fetch.models_folder().parts[-2:] == ("napari-sam-stack", "models")


def test_a_folder_of_an_unknown_user_ends_in_a_sentence(monkeypatch):
    monkeypatch.setenv("NAPARI_SAM_MODELS", "~no_such_user/models")
    spec = make_spec("https://a.b/c.pt")
    assert not fetch.is_here(spec)
    with pytest.raises(ValueError, match="unknown user; set NAPARI_SAM_MODELS"):
        drive(fetch.fetch(spec, offline=True))
