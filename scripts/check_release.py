"""Build the wheel and the source distribution into dist/, and hold them to what a release must be.

    python scripts/check_release.py             # what is here now
    python scripts/check_release.py --tag v1.2.3   # that tag: version, changelog and a clean tree, too

It ends with the first thing that is wrong. Needs the packages of the extra `release`.
"""

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).parents[1]
LARGEST_WHEEL = 600_000  # bytes
LARGEST_SOURCE = 3_000_000
CALL = """
import numpy as np, fastops
out = fastops.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)))
assert (out == 4).all(), out
print(fastops.__version__)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tag", help="the tag of the release, v and the version")
    parser.add_argument("--output-dir", type=Path, default=ROOT / "dist", help="where both go (default: dist/)")
    arguments = parser.parse_args()
    version = version_in_source()
    if arguments.tag:
        check_tag(arguments.tag, version)
    wheel, source = build(arguments.output_dir.resolve(), version)
    check_wheel(wheel)
    check_source(source, version)
    run(sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(source))
    check_installed(wheel, version)
    check_installed(source, version)
    print(f"fastops {version} can be released:")
    for path in (wheel, source):
        print(f"  {path.name}  {path.stat().st_size / 1000:.0f} kB")


def refuse(sentence: str) -> NoReturn:
    sys.exit(f"check_release: {sentence}")


def run(*command: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        refuse(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def version_in_source() -> str:
    """The one place of the version; setup.cfg reads it there, too."""
    found = re.search(r'^__version__ = "([^"]+)"$', (ROOT / "fastops" / "__init__.py").read_text("utf-8"), re.MULTILINE)
    if not found:
        refuse("fastops/__init__.py has no __version__")
    return found[1]


def check_tag(tag: str, version: str) -> None:
    if tag != f"v{version}":
        refuse(f"the tag is {tag}, but fastops/__init__.py says {version}")
    heading = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$"
    if not re.search(heading, (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE):
        refuse(f"CHANGELOG.md has no heading '## [{version}] - YYYY-MM-DD'")
    if run("git", "status", "--porcelain"):
        refuse("there are changes that are not committed")
    if run("git", "rev-parse", f"{tag}^{{commit}}") != run("git", "rev-parse", "HEAD"):
        refuse(f"{tag} is not the commit that is checked out")


def build(folder: Path, version: str) -> tuple[Path, Path]:
    run(sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT))
    wheel, source = folder / f"fastops-{version}-py3-none-any.whl", folder / f"fastops-{version}.tar.gz"
    for path in (wheel, source):
        if not path.is_file():
            refuse(f"the build made no {path.name}")
    return wheel, source


def check_wheel(wheel: Path) -> None:
    """The package and its metadata; no tests, no caches, no compiled kernels."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    foreign = [name for name in names if not re.match(r"fastops(-[\d.]+\w*\.dist-info)?/", name)]
    foreign += [name for name in names if re.search(r"__pycache__|\.(pyc|nbi|nbc|so)$|/tests?/", name)]
    if foreign:
        refuse(f"the wheel holds {', '.join(foreign[:5])}")
    missing = {"fastops/py.typed", "fastops/cpu/conv/choose.py", "fastops/cli/templates/report.html"} - set(names)
    if missing:
        refuse(f"the wheel lacks {', '.join(sorted(missing))}")
    if wheel.stat().st_size > LARGEST_WHEEL:
        refuse(f"the wheel has {wheel.stat().st_size} bytes, more than {LARGEST_WHEEL}")


def check_source(source: Path, version: str) -> None:
    """All that the tests need, nothing that was built."""
    with tarfile.open(source) as archive:
        names = {name.removeprefix(f"fastops-{version}/") for name in archive.getnames()}
    missing = {"tests/conftest.py", "tests/oracle.py", "docs/index.rst", "asv_bench/asv.conf.json", "LICENSE"} - names
    if missing:
        refuse(f"the source distribution lacks {', '.join(sorted(missing))}")
    built = [n for n in names if re.search(r"__pycache__|\.(pyc|nbi|nbc)$|docs/_build|asv_bench/(env|html|kernels)", n)]
    if built or source.stat().st_size > LARGEST_SOURCE:
        refuse(
            f"the source distribution has {source.stat().st_size} bytes and holds {', '.join(built[:5]) or 'too much'}"
        )


def check_installed(distribution: Path, version: str) -> None:
    """It installs by itself, and computes, in an environment that has nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = next(path for path in Path(folder).glob("*/python*") if path.stem == "python")
        run(str(python), "-m", "pip", "install", "--quiet", str(distribution))
        found = run(str(python), "-W", "error", "-c", CALL, cwd=Path(folder))
        if found != version:
            refuse(f"{distribution.name}, installed, says that it is {found}")


if __name__ == "__main__":
    main()
