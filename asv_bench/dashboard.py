"""Make the dashboard of results/ in html/, so that it opens without a network: python dashboard.py

`asv publish` makes the pages; they load jQuery, Flot and others from content networks. This puts these libraries
beside the pages, from npm's packages. A file that is the network's own, byte for byte, keeps its integrity hash; the
others are the same release, or the nearest that npm has.
"""

import argparse
import base64
import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
# Where the page's addresses, and the part of them that counts, are found in npm's packages: package, version, file.
SOURCES = [
    (r"code\.jquery\.com/jquery-([\d.]+)\.min\.js", r"jquery@\1", "dist/jquery.min.js"),
    (r"cdn\.jsdelivr\.net/npm/([\w-]+@[\d.]+)/(.+)", r"\1", r"\2"),
    (r"cdnjs\.cloudflare\.com/ajax/libs/flot/([\d.]+)/(jquery\.flot[.\w]*?)\.min\.js", r"flot@\1", r"\2.js"),
    (r"cdnjs\.cloudflare\.com/ajax/libs/blueimp-md5/([\d.]+)/(.+)", r"blueimp-md5@\1", r"\2"),
    (r"cdnjs\.cloudflare\.com/ajax/libs/stupidtable/1\..+", "stupid-table-plugin@1.1.3", "stupidtable.min.js"),
]
ELSEWHERE = re.compile(r'<(?:script|link)\b[^>]*?(?:src|href)="https://([^"]+)"[^>]*>')


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--html-dir", type=Path, default=HERE / "html", help="where the pages go (default: html/)")
    folder = parser.parse_args().html_dir.resolve()
    publish = [sys.executable, "-m", "asv", "publish", "--html-dir", str(folder)]
    if subprocess.run(publish, cwd=HERE).returncode:
        sys.exit("dashboard: asv publish failed")
    bring_libraries(folder)
    print(f"{folder}/index.html; to look at it: python -m http.server --directory {folder}")


def bring_libraries(folder: Path) -> None:
    """Put the libraries of index.html beside it, and let it load them from there."""
    page = folder / "index.html"
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as downloads:
        for tag in ELSEWHERE.finditer(text):
            text = text.replace(tag[0], local(tag[0], tag[1], folder, Path(downloads)))
    page.write_text(text, encoding="utf-8")


def local(tag: str, address: str, folder: Path, downloads: Path) -> str:
    """The tag with the library's place beside the page for its address, and the library put there."""
    package, file = in_npm(address)
    content = member(packed(package, downloads), f"package/{file}")
    name = f"{package.partition('@')[0]}-{Path(file).name}"
    (folder / name).write_bytes(content)
    hashes = re.search(r'integrity="(sha\d+)-([^"]+)"', tag)
    if not hashes or base64.b64encode(hashlib.new(hashes[1], content).digest()).decode() != hashes[2]:
        tag = re.sub(r' integrity="[^"]*"', "", tag)
    return re.sub(r' (crossorigin|referrerpolicy)="[^"]*"', "", tag).replace(f"https://{address}", name)


def in_npm(address: str) -> tuple[str, str]:
    """Package@version and the file in it."""
    for pattern, package, file in SOURCES:
        if found := re.fullmatch(pattern, address):
            return found.expand(package), found.expand(file)
    sys.exit(f"dashboard: asv's page loads https://{address}, which dashboard.py does not know: add it to SOURCES")


def packed(package: str, downloads: Path) -> Path:
    """The archive of a package, downloaded once."""
    archive = downloads / f"{package.replace('@', '-')}.tgz"
    if not archive.exists():
        try:
            subprocess.run(["npm", "pack", package], cwd=downloads, check=True, capture_output=True, text=True)
        except FileNotFoundError:
            sys.exit("dashboard: npm is needed, for the page's JavaScript libraries")
        except subprocess.CalledProcessError as error:
            sys.exit(f"dashboard: npm cannot fetch {package}: {error.stderr.strip().splitlines()[-1]}")
    return archive


def member(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as files:
        found = files.extractfile(name)
        assert found is not None, f"{name} is a folder"
        return found.read()


if __name__ == "__main__":
    main()
