"""Embeddings on disk: whatever happens to the files, an answer is right or missing."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from safetensors.numpy import save_file

from napari_sam.predict import cache
from napari_sam.predict.cache import DiskCache, Usage, cache_folder

KEYS = [f"{k:064x}" for k in range(8)]


def arrays(seed=0, count=3000):
    rng = np.random.default_rng(seed)
    return {
        "codes": rng.integers(0, 256, count).astype(np.uint8),
        "low": rng.normal(size=(1, 4, 1, 1)).astype(np.float32),
        "size": np.array([3, 4]),
    }


def assert_same(found, expected):
    assert found is not None
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.fixture
def disk(tmp_path):
    return DiskCache(tmp_path / "deep" / "cache")


def path_of(disk, key=KEYS[0]):
    return disk.folder / f"{key}.safetensors"


def set_time(path, seconds_ago):
    os.utime(path, (time.time() - seconds_ago,) * 2)


def test_what_was_put_comes_back(disk):
    assert disk.get(KEYS[0]) is None
    disk.put(KEYS[0], arrays())
    disk.put(KEYS[1], arrays(1))
    assert_same(disk.get(KEYS[0]), arrays())
    assert_same(DiskCache(disk.folder).get(KEYS[1]), arrays(1))  # another program's
    assert disk.get(KEYS[2]) is None
    assert disk.notice == ""


def test_only_the_user_can_read_it(disk):
    disk.put(KEYS[0], arrays())
    assert stat.S_IMODE(disk.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(path_of(disk).stat().st_mode) == 0o600


def test_usage_and_clear_touch_only_our_files(disk):
    assert disk.usage() == disk.clear() == Usage(0, 0)
    for key in KEYS[:3]:
        disk.put(key, arrays())
    others = [disk.folder / name for name in ("notes.txt", "weights.safetensors", "x.part")]
    for other in others:
        other.write_bytes(b"mine")
    total = sum(path_of(disk, key).stat().st_size for key in KEYS[:3])
    assert disk.usage() == Usage(3, total)
    assert disk.clear() == Usage(3, total)
    assert disk.usage() == Usage(0, 0)
    assert sorted(disk.folder.iterdir()) == sorted(others)
    disk.put(KEYS[0], arrays())
    assert disk.usage().planes == 1


def test_damage_of_any_byte_is_noticed(disk):
    disk.put(KEYS[0], arrays(count=200))
    sound = path_of(disk).read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.permutation(len(sound)):
        damaged = bytearray(sound)
        damaged[position] ^= 1 << rng.integers(8)
        path_of(disk).write_bytes(damaged)
        found = disk.get(KEYS[0])
        if found is not None:  # a byte that means nothing, as the padding of the header
            assert_same(found, arrays(count=200))
        else:
            assert not path_of(disk).exists()


@pytest.mark.parametrize("length", [0, 1, 8, 100, -1])
def test_a_file_cut_short_is_replaced(disk, length):
    disk.put(KEYS[0], arrays())
    path_of(disk).write_bytes(path_of(disk).read_bytes()[:length])
    assert disk.get(KEYS[0]) is None
    assert not path_of(disk).exists()
    disk.put(KEYS[0], arrays())
    assert_same(disk.get(KEYS[0]), arrays())


def test_a_foreign_file_is_replaced(disk):
    disk.put(KEYS[1], arrays(1))
    for place in (
        lambda path: path.write_text("hello"),
        lambda path: save_file({"codes": np.zeros(3)}, path),
        lambda path: save_file({"seal": np.zeros(32, np.uint8)}, path),
        lambda path: shutil.copy(path_of(disk, KEYS[1]), path),  # sound, but another plane's
    ):
        place(path_of(disk))
        assert disk.get(KEYS[0]) is None
        assert not path_of(disk).exists()
        place(path_of(disk))
        disk.put(KEYS[0], arrays())
        assert_same(disk.get(KEYS[0]), arrays())


def test_a_kill_while_writing_leaves_the_former_file_and_no_rubbish(disk, monkeypatch):
    class Killed(BaseException):
        pass

    def kill(self, target):
        raise Killed

    disk.put(KEYS[0], arrays())
    with monkeypatch.context() as patch:
        patch.setattr(cache.Path, "replace", kill)
        patch.setattr(cache.Path, "unlink", lambda self, missing_ok=False: None)
        with pytest.raises(Killed):
            disk.put(KEYS[0], arrays(1))
    (part,) = disk.folder.glob("*.part")
    assert_same(disk.get(KEYS[0]), arrays())
    assert disk.usage().planes == 1
    assert disk.usage().nbytes > path_of(disk).stat().st_size
    DiskCache(disk.folder).put(KEYS[1], arrays())
    assert part.exists()  # may be another program's that is just being written
    set_time(part, 2 * cache.ABANDONED)
    DiskCache(disk.folder).put(KEYS[2], arrays())
    assert not part.exists()


def test_the_plane_used_longest_ago_goes_first(disk):
    disk.put(KEYS[0], arrays())
    size = path_of(disk).stat().st_size
    small = DiskCache(disk.folder, int(3.3 * size))
    for k in (1, 2):
        small.put(KEYS[k], arrays())
    for k, age in ((0, 300), (1, 200), (2, 100)):
        set_time(path_of(disk, KEYS[k]), age)
    assert small.get(KEYS[0]) is not None  # it is used now
    small.put(KEYS[3], arrays())
    kept = [path_of(disk, key).exists() for key in KEYS[:4]]
    assert kept == [True, False, True, True]
    assert small.usage().nbytes <= small.quota_bytes


def test_the_quota_holds_over_many_planes(disk):
    disk.put(KEYS[0], arrays())
    small = DiskCache(disk.folder, 50 * path_of(disk).stat().st_size)
    for k in range(1, 140):
        small.put(f"{k:064x}", arrays())
        assert small.usage().nbytes <= small.quota_bytes
        assert path_of(small, f"{k:064x}").exists()
    assert small.usage().planes >= 45


def test_what_exceeds_the_quota_alone_is_not_kept(disk):
    disk.put(KEYS[0], arrays())
    DiskCache(disk.folder, 100).put(KEYS[1], arrays())
    assert disk.get(KEYS[0]) is not None
    assert disk.get(KEYS[1]) is None


def test_no_folder_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    disk = DiskCache(tmp_path / "file" / "cache")
    disk.put(KEYS[0], arrays())
    assert re.fullmatch(r"embeddings are not kept in .*cache: Not a directory; .*", disk.notice)
    assert disk.get(KEYS[0]) is None
    assert disk.usage() == disk.clear() == Usage(0, 0)


def test_a_full_disk_is_no_error_and_is_forgotten_when_it_is_over(disk, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(cache.Path, "replace", full)
        disk.put(KEYS[0], arrays())
    assert "No space left on device" in disk.notice
    assert disk.get(KEYS[0]) is None
    assert list(disk.folder.iterdir()) == []
    disk.put(KEYS[0], arrays())
    assert disk.notice == ""
    assert disk.get(KEYS[0]) is not None


def test_files_that_cannot_be_removed_are_told(disk, monkeypatch):
    disk.put(KEYS[0], arrays())

    def refuse(self, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cache.Path, "unlink", refuse)
    assert disk.clear() == Usage(0, 0)
    assert "cannot be removed: Permission denied" in disk.notice
    path_of(disk).write_text("damaged")
    assert disk.get(KEYS[0]) is None


def test_another_folder_chosen_while_a_plane_is_written_is_for_the_next_one(
    disk, monkeypatch, tmp_path
):
    former, other, make = disk.folder, tmp_path / "other", cache.Path.mkdir

    def choose(self, **how):
        make(self, **how)
        monkeypatch.undo()
        disk.use(other, disk.quota_bytes)

    monkeypatch.setattr(cache.Path, "mkdir", choose)
    disk.put(KEYS[0], arrays())
    assert (disk.notice, disk.usage()) == ("", Usage(0, 0))
    assert_same(DiskCache(former).get(KEYS[0]), arrays())
    disk.put(KEYS[1], arrays())
    assert disk.usage().planes == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_no_error(tmp_path):
    tmp_path.chmod(0o500)
    disk = DiskCache(tmp_path / "cache")
    disk.put(KEYS[0], arrays())
    assert "Permission denied" in disk.notice
    tmp_path.chmod(0o700)


def test_files_dated_in_the_future_go_first(disk):
    disk = DiskCache(disk.folder, 12_000)
    disk.put(KEYS[0], arrays())
    os.utime(path_of(disk, KEYS[0]), (time.time() + 1e9,) * 2)
    part = disk.folder / f"{KEYS[1]}.abc.part"
    part.write_bytes(b"left by a killed program")
    os.utime(part, (time.time() + 1e9,) * 2)
    for k in range(2, 8):
        disk.put(KEYS[0][:-2] + f"{k:02x}", arrays(k))
    assert not path_of(disk, KEYS[0]).exists()
    assert not part.exists()


def test_threads_may_share_a_folder(disk):
    faults = []

    def work(seed):
        own = DiskCache(disk.folder, 40_000)  # ten planes: they also remove each other's
        for k in range(40):
            key = f"{k % 13:064x}"
            found = own.get(key)
            if found is not None and not np.array_equal(found["low"], arrays(k % 13)["low"]):
                faults.append(key)
            own.put(key, arrays(k % 13))
        faults.extend([own.notice] if own.notice else [])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert faults == []


def test_the_folder_is_the_users_choice(monkeypatch, tmp_path):
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path))
    assert DiskCache().folder == cache_folder() == tmp_path
    monkeypatch.setenv(cache.FOLDER_VARIABLE, "~/here")
    assert "~" not in str(cache_folder())
    monkeypatch.delenv(cache.FOLDER_VARIABLE)
    assert cache_folder().name == "embeddings"


def test_what_is_put_later_is_written_once_the_answer_had_its_time(disk, monkeypatch):
    monkeypatch.setattr(cache, "QUIET", 0.8)
    calls = []

    def pack():
        calls.append(time.monotonic())
        return arrays()

    start = time.monotonic()
    disk.put_later(KEYS[0], pack)
    assert time.monotonic() - start < 0.7
    disk.wait()
    assert calls[0] - start >= 0.8
    assert_same(disk.get(KEYS[0]), arrays())
    assert not [t for t in threading.enumerate() if t.name == "planes to disk"]
    disk.put_later(KEYS[1], arrays)  # it begins anew
    disk.wait()
    assert disk.usage().planes == 2


def test_no_more_planes_wait_than_there_is_room_for(disk, monkeypatch):
    monkeypatch.setattr(cache, "MOST_WAITING", 3)
    for seed, key in enumerate(KEYS):
        disk.put_later(key, lambda seed=seed: arrays(seed))
    disk.wait()
    assert [disk.get(key) is not None for key in KEYS] == [False] * 5 + [True] * 3
    assert_same(disk.get(KEYS[-1]), arrays(7))


def test_clear_forgets_what_waits_too(disk, monkeypatch):
    monkeypatch.setattr(cache, "QUIET", 0.0)
    begun, released = threading.Event(), threading.Event()

    def pack():
        begun.set()
        assert released.wait(timeout=20)
        return arrays()

    disk.put_later(KEYS[0], pack)
    assert begun.wait(timeout=20)
    disk.put_later(KEYS[1], arrays)
    clearing = threading.Thread(target=disk.clear)
    clearing.start()
    time.sleep(0.05)
    released.set()
    clearing.join(timeout=20)
    disk.wait()
    assert disk.usage() == Usage(0, 0)


def test_features_that_cannot_be_packed_are_told_and_others_still_kept(disk):
    def pack():
        raise RuntimeError("CUDA out of memory")

    disk.put_later(KEYS[0], pack)
    disk.wait()
    assert disk.notice == "an embedding is not kept: CUDA out of memory"
    disk.put_later(KEYS[1], arrays)
    disk.wait()
    assert disk.notice == ""
    assert disk.usage().planes == 1


def test_a_program_that_ends_writes_what_waits(tmp_path):
    program = (
        "import sys, numpy, pathlib; from napari_sam.predict.cache import DiskCache; "
        "disk = DiskCache(pathlib.Path(sys.argv[1])); "
        f"disk.put_later('{KEYS[0]}', lambda: {{'a': numpy.ones(2)}})"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=60)
    assert_same(DiskCache(tmp_path).get(KEYS[0]), {"a": np.ones(2)})
