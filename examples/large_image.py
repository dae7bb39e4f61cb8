"""A convolutional network over an image that does not fit into memory: Dask, Zarr and fastops.

The image is made of tiles of a photograph and written as a Zarr array, chunk by chunk; a network of convolutions runs
over it on a cluster of two processes; the result goes to a second Zarr array, and a thumbnail is drawn.

    pip install -e ".[dask,examples]"
    python examples/large_image.py                    # 4096 x 4096, about a minute
    python examples/large_image.py --size 24000       # 6.9 GB, more than the two processes may hold
    python examples/large_image.py --scaling          # 1 x 1, 2 x 1 and 1 x 2 workers x threads, beside torch
"""

import argparse
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
from fastops import nn

MEMORY = "1.5GB"  # of a worker
HALO, PHASE = 12, 2  # of `network`: 1 + 2 * 1 + 2 * 2 * 2 + 1 pixels of the image


def network() -> nn.Sequential:
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


def by_fastops(image: da.Array) -> da.Array:
    return fastops.dask.by_blocks(network(), image, halo=HALO, phase=PHASE)


def by_torch(image: da.Array) -> da.Array:
    """The same with torch, as one would write it by hand: overlap, compute, trim; the border is another one's."""
    import torch

    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 3, stride=2, padding=1),
        torch.nn.ReLU(), torch.nn.Conv2d(16, 16, 5, padding=2), torch.nn.SiLU(), torch.nn.Upsample(scale_factor=2),
        torch.nn.Conv2d(16, 3, 3, padding=1),
    ).eval()  # fmt: skip
    model.load_state_dict({name: torch.from_numpy(array) for name, array in network().state_dict().items()})

    def run(block: np.ndarray) -> np.ndarray:
        torch.set_num_threads(1)
        with torch.inference_mode():
            return model(torch.from_numpy(np.ascontiguousarray(block))).numpy()

    return da.map_overlap(run, image, depth={2: HALO, 3: HALO}, boundary=0, dtype=np.float32, meta=image._meta)


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


def run(function: Any, source: Path, target: Path, workers: int, threads: int, quiet: bool) -> dict[str, Any]:
    """Time and memory of a network over the image, on a cluster of its own."""
    options = {"n_workers": workers, "threads_per_worker": threads, "memory_limit": MEMORY, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        fastops.dask.warmup(client, network(), np.zeros((1, 3, 256, 256), np.float32))
        if function is by_torch:
            client.run(import_torch)
        image = da.from_zarr(source)
        result = function(image)
        chunks = tuple(max(each) for each in result.chunks)
        store = zarr.create_array(target, shape=result.shape, chunks=chunks, dtype=result.dtype, overwrite=True)
        start = time.perf_counter()
        future = client.compute(da.store(result, store, lock=False, compute=False))
        if not quiet:
            progress(future, notebook=False)
        future.result()
        seconds = time.perf_counter() - start
        return {"workers": workers, "threads": threads, "seconds": round(seconds, 2),
                "peak memory of a worker in GB": round(max(client.run(peak_memory).values()), 2)}  # fmt: skip


def thumbnail(path: Path, target: Path, size: int = 512) -> None:
    """A picture of every so many pixels."""
    array = da.from_zarr(path)
    step = max(1, array.shape[2] // size)
    small = np.clip(array[0, :, ::step, ::step].compute(scheduler="threads"), 0, None)
    small = small / max(float(small.max()), 1e-6)
    io.imsave(target, (np.moveaxis(small, 0, -1) * 255).astype(np.uint8), check_contrast=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=4096, help="height and width of the image (24000 is 6.9 GB)")
    parser.add_argument("--chunk", type=int, default=1024, help="height and width of a chunk, a multiple of 2")
    parser.add_argument("--folder", type=Path, help="where the arrays go; without it a temporary folder")
    parser.add_argument("--thumbnail", type=Path, default=Path("large_image.png"))
    parser.add_argument("--scaling", action="store_true", help="compare numbers of workers and threads, and torch")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="large-image-"))
    source, target = folder / "image.zarr", folder / "result.zarr"
    try:
        if not source.exists() or zarr.open_array(source, mode="r").shape[2] != arguments.size:
            with dask.config.set(scheduler="threads"):
                write_image(source, arguments.size, arguments.chunk)
        runs = [("fastops", by_fastops, 2, 1)]
        if arguments.scaling:
            runs = [("fastops", by_fastops, *each) for each in ((1, 1), (2, 1), (1, 2))]
            runs += [("torch and map_overlap", by_torch, 2, 1)]
        for name, function, workers, threads in runs:
            print(json.dumps({"by": name, **run(function, source, target, workers, threads, arguments.scaling)}))
        thumbnail(target, arguments.thumbnail)
        print(f"{arguments.thumbnail}: the result, made smaller")
    finally:
        if arguments.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
