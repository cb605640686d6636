"""`everything --cluster`: one and two workers in turns, memory of a worker, the cost of 1 TB.

    python benchmarks/cluster.py scaling
    python benchmarks/cluster.py large --planes 2
    python benchmarks/cluster.py join

`scaling` draws planes and times the command with one worker and with two, in turns. `large` makes
an OME-Zarr of 1,000 planes of 3,200 x 3,200 pixels of 16 bit, 20 GB, of which planes are read and
decoded when they are asked for: the files of its chunks are links to those of one layer, so it
takes little disk. It does some of its planes with two workers of 2 GB, states the peak memory of
each process, and calculates from the processor time of a plane what 1 TB costs. `join` states the
memory and the time for joining as many planes with 1,024 drawn outlines each.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import psutil
import zarr
from distributed import Client, LocalCluster

from napari_sam.cli import main
from napari_sam.stack import linked
from napari_sam.steps import drive

LAYER = 8
"""Planes in a chunk."""
MEMORY = 2 * 10**9


def drawn(count: int, side: int, seed: int = 0) -> np.ndarray:
    """Return planes (count, side, side) uint16 with discs of 8 to 20 pixels on noise."""
    random = np.random.default_rng(seed)
    planes = random.normal(200, 20, (count, side, side)).astype(np.float32)
    y, x = np.mgrid[-20:21, -20:21]
    for row, column in random.integers(20, side - 21, (side * side // 20000, 2)):
        disc = np.hypot(y, x) <= random.uniform(8, 20)
        planes[:, row - 20 : row + 21, column - 20 : column + 21] += 300 * disc
    return planes.clip(0, 65535).astype(np.uint16)


def make(folder: Path, planes: np.ndarray, count: int, chunk: int) -> None:
    """Write an OME-Zarr of `count` planes: all layers of chunks are links to the first one."""
    group = zarr.open_group(folder, mode="w")
    shape = (count, *planes.shape[1:])
    array = group.create_array("0", shape=shape, chunks=(LAYER, chunk, chunk), dtype="uint16")
    array[:LAYER] = planes[:LAYER]
    axes = [{"name": one, "type": "space"} for one in "zyx"]
    scale = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    first = folder / "0" / "c" / "0"
    for layer in range(1, -(-count // LAYER)):
        for file in first.glob("*/*"):
            link = first.with_name(str(layer)) / file.relative_to(first)
            link.parent.mkdir(parents=True, exist_ok=True)
            os.link(file, link)


def peak() -> int:
    """Return the peak memory of this process in bytes; Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def busy() -> float:
    """Return the processor time of this process in seconds."""
    times = psutil.Process().cpu_times()
    return float(times.user + times.system)


def timed(image: Path, workers: int, *more: str) -> tuple[float, float, list[int]]:
    """Return the seconds of a run with workers that have been started, and of their processors.

    Both hold the time in which each worker loads the model. Last comes their peak memory.
    """
    with (
        tempfile.TemporaryDirectory(dir=image.parent) as folder,
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            memory_limit=MEMORY,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        arguments = ["everything", str(image), "-o", f"{folder}/labels.ome.zarr", *more]
        with Client(cluster, set_as_default=False) as client:
            before = sum(client.run(busy).values())
        begun = time.perf_counter()
        if main([*arguments, "--cluster", cluster.scheduler_address]):
            raise SystemExit("the run failed")
        seconds = time.perf_counter() - begun
        with Client(cluster, set_as_default=False) as client:
            used = sum(client.run(busy).values()) - before
            return seconds, used, list(client.run(peak).values())


def scaling(folder: Path, planes: int, side: int, turns: int) -> None:
    image = folder / "drawn.ome.zarr"
    make(image, drawn(LAYER, side), planes, side)
    found: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(turns):
        for workers in (1, 2):
            seconds, used, _ = timed(image, workers)
            found[workers].append(seconds)
            print(
                f"turn {turn}: {workers} workers, {planes} planes in {seconds:.1f} s, "
                f"{used:.1f} s of processors",
                flush=True,
            )
    ratios = sorted(one / two for one, two in zip(found[1], found[2], strict=True))
    print(f"two workers are {ratios[len(ratios) // 2]:.2f} times as fast as one: {ratios}")


def large(folder: Path, planes: int, side: int, count: int) -> None:
    image = folder / "large.ome.zarr"
    make(image, drawn(LAYER, side), count, side // 4)
    print(f"{count} planes of {side} x {side}: {count * side**2 * 2 / 1e9:.1f} GB", flush=True)
    Path("/proc/self/clear_refs").write_text("5")  # the peak of drawing does not count
    seconds, used, peaks = timed(image, 2, "--slices", f"0:{planes}")
    each = used / planes
    print(f"{planes} planes in {seconds:.1f} s: {each:.1f} s of a processor for a plane")
    print("peak memory of workers:", ", ".join(f"{one / 1e9:.2f} GB" for one in peaks))
    print(f"peak memory of the process that joins: {peak() / 1e9:.2f} GB")
    hours = 1e12 / (side**2 * 2) * each / 3600
    print(f"1 TB of such planes: {hours:,.0f} hours of a core, {hours / 100:,.1f} of 100 cores")


class Outlines(Mapping[int, np.ndarray]):
    """Planes of labels, drawn when they are read: cells of objects that last for 20 planes.

    Parameters
    ----------
    count, side : int
    """

    cell = 100
    lasting = 20

    def __init__(self, count: int, side: int) -> None:
        self.count, self.side = count, side // self.cell

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.count))

    def __getitem__(self, z: int) -> np.ndarray:
        full = np.random.default_rng(z // self.lasting).integers(20, 45, (self.side, self.side))
        height = ((z % self.lasting) + 0.5) / self.lasting * 2 - 1
        radii = full * np.sqrt(max(1 - height**2, 0.05))
        y, x = np.mgrid[: self.cell, : self.cell] - self.cell // 2
        inside = np.hypot(y, x).astype(np.float32)[None, :, None] < radii[:, None, :, None]
        names = np.arange(1, self.side**2 + 1, dtype=np.int32).reshape(self.side, 1, self.side, 1)
        whole = self.side * self.cell
        return (inside * names).reshape(whole, whole)


def join(count: int, side: int) -> None:
    begun = time.perf_counter()
    largest = drive(linked(Outlines(count, side)))
    seconds = time.perf_counter() - begun
    outlines = count * (side // Outlines.cell) ** 2
    print(f"{outlines} outlines in {count} planes: {largest} objects in {seconds:.0f} s")
    print(f"peak memory: {peak() / 1e9:.2f} GB")


def command() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("scaling", "large", "join"))
    parser.add_argument("--planes", type=int, default=32)
    parser.add_argument("--side", type=int)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--count", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if args.what == "scaling":
            scaling(Path(folder), args.planes, args.side or 512, args.turns)
        elif args.what == "join":
            join(args.count, args.side or 3200)
        else:
            large(Path(folder), args.planes, args.side or 3200, args.count)


if __name__ == "__main__":
    command()
