"""Run the README's two commands as they stand there, one after the other, in one clean clone with an empty cache.

Then uninstall the package, after which it must be gone, and install it beside a folder that earlier versions left.

    python scripts/readme_commands.py [--folder FOLDER]
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
USE = "import fastops, numpy; print(fastops.relu(numpy.array([-1.0, 1.0])))"


def commands(readme: str) -> list[str]:
    """The README's blocks that begin with making a virtual environment, without their indentation."""
    blocks = re.findall(r"^```\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
    return [block.strip() for block in blocks if re.match(r"python3\.\d+ -m venv ", block)]


def run(command: str, folder: Path, environment: dict[str, str], fails: bool = False) -> str:
    """Run it in a shell; its output, which is printed as it comes, unless it should fail."""
    print(f"\n$ {command}", flush=True)
    start = time.monotonic()
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, check=False, text=True, capture_output=fails
    )
    print(f"-- exit {done.returncode} after {time.monotonic() - start:.0f} s", flush=True)
    if (done.returncode != 0) != fails:
        sys.exit(f"{command}: exit code {done.returncode}")
    return done.stderr or ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="for the clone and the cache (default: a temporary one)")
    folder = parser.parse_args().folder or Path(tempfile.mkdtemp())
    clone, cache = folder / "fastops", folder / "cache"
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "NUMBA_CACHE_DIR", "FASTOPS_CACHE", "PYTHONDONTWRITEBYTECODE")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment |= {"XDG_CACHE_HOME": str(cache), "PIP_CACHE_DIR": str(folder / "pip")}
    found = commands((ROOT / "README.md").read_text())
    assert len(found) == 2, found
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    for command in found:
        run(command, clone, environment)

    python = ".venv/bin/python -I -c"  # -I: not from the working directory
    run(".venv/bin/pip uninstall --quiet --yes fastops", clone, environment)
    said = run(f'{python} "import fastops"', clone, environment, fails=True)
    assert "ModuleNotFoundError: No module named 'fastops'" in said, said

    (site,) = clone.glob(".venv/lib/python*/site-packages")
    (site / "fastops" / "__pycache__" / "fastops-0123456789abcdef").mkdir(parents=True)
    for editable in ("-e", ""):
        run(f".venv/bin/pip install --quiet --no-deps {editable} .", clone, environment)
        run(f'{python} "{USE}"', clone, environment)


if __name__ == "__main__":
    main()
