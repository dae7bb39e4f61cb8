"""The documentation: nothing is left out, nothing points nowhere, every example runs.

`pytest --doctest-glob='*.rst' docs` runs the examples and `sphinx-build -W` builds the pages (CONTRIBUTING.md); here is
what neither of them would notice.
"""

import doctest
import importlib.util
import re
from pathlib import Path

import pytest

import fastops
from fastops import nn
from fastops.nn import mindspore

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [path for path in sorted(DOCS.rglob("*.rst")) if "_build" not in path.parts]
MARKDOWN = [*ROOT.glob("*.md"), *ROOT.glob("*/README.md")]

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="the documentation is in a checkout alone")


def script(name: str):
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(f"docs_{name}", DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


# ------------------------------------------------------------------------------------------------ the reference


def documented(directive: str) -> list[str]:
    """The names that the reference documents, in its order."""
    return [
        name
        for path in sorted((DOCS / "api").glob("*.rst"))
        for name in re.findall(rf"^\.\. {directive}:: (fastops\.\S+)$", path.read_text(), re.MULTILINE)
    ]


def test_every_function_is_in_the_reference_once():
    assert sorted(documented("autofunction")) == [f"fastops.{name}" for name in fastops.__all__ if name != "nn"]


def test_a_gradient_stands_beside_its_operator():
    names = documented("autofunction")
    for name, following in zip(names[::2], names[1::2], strict=True):
        assert following == f"{name}_backward"


def test_every_layer_is_in_the_reference_once():
    text = (DOCS / "api" / "nn.rst").read_text()
    assert sorted(re.findall(r"^\.\. auto(?:class|function):: (\w+)$", text, re.MULTILINE)) == sorted(nn.__all__)
    text = (DOCS / "api" / "nn-mindspore.rst").read_text()
    own = [name for name in mindspore.__all__ if getattr(mindspore, name) is not getattr(nn, name)]
    assert sorted(re.findall(r"^\.\. autoclass:: (\w+)$", text, re.MULTILINE)) == sorted(own)
    assert all(f"``fastops.nn.mindspore.{name}``" in text for name in set(mindspore.__all__) - set(own))


# ------------------------------------------------------------------------------------- what is made by scripts


def test_the_drawings_are_those_of_the_script():
    pytest.importorskip("dask", reason="the extra docs is not installed")  # two of them show what its blocks read
    pytest.importorskip("onnx", reason="the extra docs is not installed")  # a third one the plan of a network
    drawings = script("drawings")
    assert {path.stem for path in drawings.IMAGES.glob("*.svg")} == set(drawings.FIGURES)
    for name, draw in drawings.FIGURES.items():
        assert (drawings.IMAGES / f"{name}.svg").read_text() == str(draw()), "run python docs/drawings.py"


def test_the_table_of_sources_is_that_of_the_script():
    sources = script("sources")
    assert (DOCS / "sources.csv").read_text() == sources.text(), "run python docs/sources.py"
    rows = {row[0].strip("`").partition(" ")[0]: row[1:] for row in sources.rows()}
    assert set(rows) == {name for name in fastops.__all__ if name != "nn" and "_backward" not in name}
    for name, (family, cpu, cuda, benchmark, tests) in rows.items():
        assert getattr(fastops, name).__module__ == f"fastops.{family}"
        assert benchmark == f"{sources.GUESTS.get(family, family)}.{name}"
        for room, files in (("fastops/cpu", cpu), ("fastops/cuda", cuda), ("tests", tests)):
            for file in files.removeprefix("a view, or a copy by ").split(", "):
                assert (ROOT / room / f"{file}.py").is_file() or (ROOT / room / file / "__init__.py").is_file()
    assert "conv/winograd" in rows["conv2d"][1] and "conv/tiles" in rows["conv2d"][2]


def test_the_table_of_network_operators_is_that_of_the_script():
    pytest.importorskip("onnx")
    table = script("network_operators")
    assert table.FILE.read_text() == table.text(), "run python docs/network_operators.py"
    assert all((ROOT / file.strip("`")).is_file() for *_, file in table.rows())


# ------------------------------------------------------------------------------------------------------ examples


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_every_example_is_run(path):
    """All Python on a page has prompts, doctest sees each of them and skips none; else it says that it needs a GPU."""
    text = path.read_text()
    assert not re.search(r"\+\s*SKIP|^\.\. (testcode|testoutput|testsetup|doctest)::", text, re.MULTILINE)
    assert len(doctest.DocTestParser().get_examples(text)) == len(re.findall(r"^\s*>>>", text, re.MULTILINE))
    for indent, language, block in re.findall(
        r"^( *)\.\. (?:code-block|code|sourcecode|highlight):: *(\w*)\n((?:\1 +.*\n|\n)+)", text, re.MULTILINE
    ):
        if language in ("", "python", "python3", "pycon", "py"):
            assert ":caption: Needs a GPU\n" in block, "a block without prompts would not be run"
            code = block.partition("\n\n")[2]
            compile("\n".join(line[len(indent) + 3 :] for line in code.splitlines()), str(path), "exec")
            text = text.replace(block, "")
    assert not re.search(r"^ +(import|from) \w+", text, re.MULTILINE), "Python in a block without prompts"


@pytest.mark.parametrize("path", sorted((ROOT / "fastops").rglob("*.py")), ids=page_id)
def test_no_docstring_skips_an_example(path):
    assert not re.search(r"doctest:.*SKIP", path.read_text())


# --------------------------------------------------------------------------------------------------------- links


@pytest.mark.parametrize("path", MARKDOWN, ids=page_id)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if not re.match(r"https?://|mailto:|#", target):
            assert (path.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("path", [*PAGES, *MARKDOWN], ids=page_id)
def test_files_that_are_named_exist(path):
    folders = "fastops|tests|docs|examples|scripts|asv_bench"
    for name in re.findall(rf"`((?:{folders})/[\w./-]*\w)/?`", path.read_text()):
        assert "_build" in name or (ROOT / name).exists(), name


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_pictures_say_what_they_show(path):
    for block in re.findall(r"^\.\. (?:image|figure):: .*\n((?: +.*\n)*)", path.read_text(), re.MULTILINE):
        assert re.search(r":alt: .{20,}", block)


@pytest.mark.parametrize("path", [*PAGES, *MARKDOWN, *sorted((ROOT / "fastops").rglob("*.py"))], ids=page_id)
def test_nobody_is_sent_to_another_project(path):
    """In PyPI the name belongs to a toolkit for servers."""
    text = path.read_text().replace("may say `pip install fastops`", "")
    assert not re.search(r"pip install (-\S+ )*\"?fastops\b", text)
