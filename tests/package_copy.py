"""A copy of the package in a folder of its own, and fresh processes that import it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fastops

# Prefixed to what a process runs; report() is the last thing it prints.
PREAMBLE = """
import json, os, sys
import numpy as np
import fastops
from fastops import _jit

def report(**more):
    found = dict(file=fastops.__file__, folder=str(_jit.cache_folder() or ""), hits=0, misses=0)
    for kernel in _jit.kernels:
        for build in (kernel.parallel, kernel.serial):
            found["hits"] += sum(build.stats.cache_hits.values())
            found["misses"] += sum(build.stats.cache_misses.values())
    print(json.dumps({**found, **more}))

def small(dtype="float32"):
    return np.linspace(-1, 1, 5).astype(dtype)

def large(dtype="float32"):
    return np.linspace(-1, 1, 10**6).astype(dtype)
"""
RELU = "report(result=fastops.relu(small()).tolist())"
RECTIFIED = [0.0, 0.0, 0.0, 0.5, 1.0]
OPS = ("conv2d", "log_softmax", "cross_entropy", "mse_loss")  # which call loops that add up, some of them the same


class Copy:
    """A copy of the package; `run` starts a process that imports it."""

    def __init__(self, folder: Path):
        self.site, self.home = folder / "site", folder / "home"
        self.package = self.site / "fastops"
        shutil.copytree(Path(fastops.__file__).parent, self.package, ignore=shutil.ignore_patterns("__pycache__"))
        self.home.mkdir()

    def start(self, code: str, stdin: bool = False, **environment: str | None) -> subprocess.Popen:
        ours = {name: value for name, value in os.environ.items() if name not in ("FASTOPS_CACHE", "NUMBA_CACHE_DIR")}
        path = os.pathsep.join([str(self.site), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        ours |= dict(PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1", HOME=str(self.home), XDG_CACHE_HOME="")
        ours["OPENBLAS_NUM_THREADS"] = "1"  # numba imports scipy at the first load, and that its threads
        env = {name: value for name, value in {**ours, **environment}.items() if value is not None}
        command, pipes = [sys.executable, "-W", "error", "-c"], dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        pipes |= dict(stdin=subprocess.PIPE) if stdin else {}
        return subprocess.Popen([*command, PREAMBLE + code], cwd=self.site, env=env, text=True, **pipes)

    def run(self, code: str, **environment: str | None) -> dict:
        found = finish(self.start(code, **environment))
        assert Path(found["file"]).is_relative_to(self.site)
        return found

    def files(self) -> dict[Path, bytes]:
        """What the cache in the home folder holds of compiled kernels."""
        return {path: path.read_bytes() for path in sorted(self.home.glob(".cache/fastops/fastops-*/*.nbc"))}

    def everything(self) -> list[Path]:
        return sorted(self.site.parent.rglob("*"))


def finish(process: subprocess.Popen) -> dict:
    """What a process reported; it fails the test by ending badly or by printing a word of complaint."""
    try:
        output, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert (process.returncode, errors) == (0, ""), f"{process.returncode}\n{output}\n{errors}"
    return json.loads(output.splitlines()[-1])
