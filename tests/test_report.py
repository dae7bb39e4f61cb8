"""`fastops report`: the files it takes and refuses, what the page says, and how the page works in a browser."""

import json
import re
import sys
from html import unescape
from pathlib import Path

import pytest
from browser import troubles

from fastops.__main__ import main
from fastops.cli import report_figures
from fastops.cli.report_figures import Run
from fastops.yardstick.measure import Row

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

HOSTILE = "<script>alert('x')</script> & \"$\\foo$\""


def row(operator, case="", ratio=2.0, **more):
    """What `fastops compare --json` writes of one result."""
    found = {
        "operator": operator,
        "case": case,
        "batch": "1x3x32x32",
        "shape": [1, 3, 32, 32],
        "error": 1e-7,
        "allowed_share": 0.01,
        "problem": None,
        "fastops_seconds": 1e-3,
        "torch_seconds": ratio and 1e-3 * ratio,
        "ratio": ratio,
        "pairs": 3,
        "onnx_seconds": None,
        "onnx_ratio": None,
        "family": None,
        "dtype": "float32",
        "operations": None,
        "bytes_moved": 20_000_000,
        "kernels": [f"cpu.elementwise._{operator}"],
    }
    return {**found, **more}


def photograph(*rows, **more):
    found = {
        "schema": 1,
        "date": "2026-01-02T03:04:05+00:00",
        "machine": {"system": "Linux", "cpu": "A processor", "llvm_cpu": "znver5", "cores": 8, "vector_bits": 512},
        "load_average": 0.25,
        "versions": {"fastops": "0.1.0", "torch": "2.13.0", "cupy-cuda13x": None},
        "threads": 4,
        "threading_layer": "omp",
        "size": "full",
        "dtype": "float32",
        "device": "cpu",
        "precision": "exact",
        "pages": None,
        "suite": None,
        "picture": "photograph",
        "limits": {"operations_per_second": 1e12, "bytes_per_second": 4e10},
        "rows": list(rows) or [row("relu"), row("relu", "large", 8.0), row("sigmoid", ratio=0.5)],
    }
    return {**found, **more}


def suite(*rows, **more):
    conv = {"family": "conv2d-3x3", "operations": 500_000_000, "kernels": ["cpu.conv.direct._convolve"]}
    found = rows or [
        row("conv2d", "3x3", 1.5, onnx_seconds=5e-4, onnx_ratio=0.5, **conv),
        row("conv2d", "3x3 wide", 0.75, dtype="float64", **conv),
        row("relu", ratio=4.0, family="small", onnx_seconds=2e-3, onnx_ratio=2.0),
    ]
    families = {
        "conv2d-3x3": {"target": {"mean": 1.2, "worst": 1.0, "onnx": 0.9}},
        "small": {"target": {"mean": 2, "worst": 0.9, "onnx": None}},
    }
    return photograph(*found, **{"suite": ["conv2d-3x3", "small"], "dtype": None, "families": families, **more})


@pytest.fixture
def made(tmp_path, capsys):
    """made(report, …): the path of the page of these reports."""

    def make(*reports) -> Path:
        files = []
        for number, report in enumerate(reports):
            files.append(tmp_path / f"run{number}.json")
            files[-1].write_text(json.dumps(report))
        page = tmp_path / "page.html"
        assert main(["report", *map(str, files), "--output", str(page)]) == 0
        printed = capsys.readouterr()
        assert str(page) in printed.out and printed.err == ""
        return page

    return make


def section(page: Path, name: str) -> str:
    """The text of a section, without marks and with single spaces."""
    html = page.read_text(encoding="utf-8")
    inside = re.search(rf'<section id="{name}".*?</section>', html, re.DOTALL)
    assert inside, name
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", inside[0])).split())


# ------------------------------------------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    "text, problem",
    [
        ("", "is not JSON"),
        ("{" * 100_000, "is not JSON"),
        ("[]", "is not a report of `fastops compare --json`"),
        ('{"schema": 1}', "is not a report of `fastops compare --json`"),
        (json.dumps(photograph(schema=2)), "has schema 2; this fastops reads schema 1"),
        (json.dumps(photograph(machine=None)), "it has no machine"),
        (json.dumps(photograph() | {"rows": []}), "has no results"),
        (json.dumps(photograph() | {"rows": [3]}), "row 1 is not a result"),
        (json.dumps(photograph(row("relu"), {"operator": "relu"})), "row 2 has no case"),
        (json.dumps(photograph(row("relu") | {"ratio": "fast"})), "row 1: ratio is 'fast'"),
        (json.dumps(photograph(row("relu") | {"ratio": float("nan")})), "row 1: ratio is nan"),
        (json.dumps(photograph(row("relu", operations=10**400))), "row 1: operations is 1000"),
        (json.dumps(photograph(row("relu", onnx_ratio=-1))), "row 1: onnx_ratio is -1"),
        (json.dumps(photograph(row("relu", kernels="cpu"))), "row 1: kernels is 'cpu'"),
    ],
)
def test_what_is_no_report_is_refused_in_a_sentence(text, problem, tmp_path, capsys):
    file = tmp_path / "run.json"
    file.write_text(text)
    assert main(["report", str(file), "--output", str(tmp_path / "page.html")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"fastops report: {file}") and problem in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_is_not_text(tmp_path, capsys):
    file = tmp_path / "chart.png"
    file.write_bytes(b"\x89PNG\r\n\xff\xfe")
    assert main(["report", str(file)]) == 2
    assert capsys.readouterr().err == f"fastops report: {file} is not JSON\n"


def test_a_file_that_is_not_there(tmp_path, capsys):
    assert main(["report", str(tmp_path / "none.json")]) == 2
    assert capsys.readouterr().err.startswith(f"fastops report: cannot read {tmp_path / 'none.json'}: ")


@pytest.mark.parametrize("name", ["no/such/folder/page.html", "."])
def test_a_page_that_cannot_be_written(name, tmp_path, capsys):
    file = tmp_path / "run.json"
    file.write_text(json.dumps(photograph()))
    assert main(["report", str(file), "--output", str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.startswith("fastops report: cannot write ")


def test_a_run_is_not_overwritten(tmp_path, capsys):
    file = tmp_path / "run.json"
    file.write_text(before := json.dumps(photograph()))
    assert main(["report", str(file), "--output", str(file)]) == 2
    assert "would be overwritten" in capsys.readouterr().err and file.read_text() == before


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_what_makes_the_page_may_be_missing(missing, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["report", str(tmp_path / "run.json")]) == 2
    assert "to install: pip install torch scikit-image matplotlib jinja2" in capsys.readouterr().err


def test_the_page_has_a_name_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("run.json").write_text(json.dumps(photograph()))
    assert main(["report", "run.json"]) == 0
    assert Path("fastops-report.html").stat().st_size > 10_000


# ------------------------------------------------------------------------------------------- what the page says


def test_a_photograph(made):
    page = made(photograph())
    html = page.read_text()
    assert (
        "3 results, 3 checked, none wrong; 2.00 times as fast as PyTorch in the geometric mean, 0.50 at worst" in html
    )
    machine = section(page, "machine")
    for words in ("A processor", "cores 8", "threads 4 (omp)", "load average 0.2", "fastops 0.1.0, torch 2.13.0"):
        assert words in machine
    assert "cupy" not in machine and "1000 billion operations a second" in machine and "Busy" not in html
    ratios = section(page, "ratios")
    assert "relu 2 0 5.00 4.00 2.00 relu on 1x3x32x32 sigmoid 1 0 0.50 0.50 0.50" in ratios
    assert "target" not in ratios.partition("Geometric mean, median")[2] and "ONNX" not in ratios
    worst = section(page, "worst")
    assert worst.index("sigmoid") < worst.index("relu")
    assert "sigmoid 1x3x32x32 0.50 1.00 0.500 – 50 % fastops/cpu/elementwise.py" in worst
    assert 'id="wrong"' not in html and "No result is wrong." in section(page, "accuracy")
    assert section(page, "all").count("fastops/cpu/elementwise.py") == 3


def test_a_suite_has_targets_and_onnx_runtime(made):
    page = made(suite())
    ratios = section(page, "ratios")
    assert "Ratios by family" in ratios and "Ratios by operator" not in ratios
    assert "conv2d-3x3 2 0 1.12 1.06 1.20 0.75 1.00 0.50 0.90 0.50 – – ✗ missed: mean, worst, ONNX Runtime" in ratios
    assert "small 1 0 4.00 4.00 2.00 4.00 0.90 2.00 – 2.00 – – ✓ met" in ratios
    assert "target of the mean" in ratios and "beside ONNX Runtime" in ratios


def test_an_operator_aside_is_judged_by_its_own_target(made):
    rows = [row("relu_backward", ratio=2.0, family="backward"), row("dropout_backward", ratio=0.5, family="backward")]
    of = {"target": {"mean": 1, "worst": 0.95}, "aside": {"dropout_backward": {"worst_ratio": 0.5, "target": 0.6}}}
    ratios = section(made(suite(*rows, families={"backward": of})), "ratios")
    assert "backward 2 0 1.25 1.00 1.00 2.00 0.95 ✗ missed: dropout_backward" in ratios
    assert "relu_backward on 1x3x32x32" in ratios


def test_shares_of_the_limits():
    shares = {
        found.row.case: (found.arithmetic, found.memory)
        for found in report_figures.results(Run("", "", suite(), [Row(**each) for each in suite()["rows"]]))
    }
    # 5e8 operations in 1 ms beside 1e12 a second, in float64 beside half of that; 2e7 bytes in 1 ms beside 4e10
    assert shares == {"3x3": (0.5, 0.5), "3x3 wide": (1.0, 0.5), "": (None, 0.5)}


def test_several_runs_stand_side_by_side(made):
    busy = suite(load_average=3.5, limits=None)
    page = made(suite(), busy, photograph())
    html, ratios = page.read_text(), section(page, "ratios")
    assert html.count('class="verdict"') == 3 and "run0.json" in html and "run2.json" in html
    assert "the machine of run B had other work (load average 3.5)" in " ".join(unescape(html).split())
    assert "Ratios by family" in ratios and "Ratios by operator" in ratios
    assert ratios.index("A conv2d-3x3") < ratios.index("B conv2d-3x3") < ratios.index("A small 1")
    assert "Not of every run: A, C alone measured the limits." in section(page, "limits")
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]*)', html)) <= set(ids)


def test_without_pytorch(made):
    page = made(photograph(row("relu", ratio=None, error=None, allowed_share=None)))
    assert "no times of PyTorch to compare with" in page.read_text()
    assert "There are no ratios" in section(page, "ratios") and "<svg" in page.read_text()  # of the limits
    assert "no times of PyTorch" in section(page, "worst")
    assert "relu 1 0 0 0 – – –" in section(page, "accuracy")


def test_wrong_results_come_first(made):
    wrong = row("softmax", ratio=100.0, problem="3.1 times the difference allowed", allowed_share=3.1, error=0.1)
    broken = row("dropout", ratio=None, problem="raised ZeroDivisionError: division by zero", fastops_seconds=None)
    page = made(photograph(row("relu"), wrong, broken | {"error": None, "allowed_share": None}))
    html = page.read_text()
    assert "3 results, 3 checked, 2 wrong; 2.00 times as fast" in html  # the wrong one's 100 counts for nothing
    assert html.index('id="wrong"') < html.index('id="machine"')
    found = section(page, "wrong")
    assert "2 wrong results" in found and "softmax 1x3x32x32 3.1 times the difference allowed" in found
    assert "raised ZeroDivisionError" in found and "fastops/cpu/elementwise.py" in found
    accuracy = section(page, "accuracy")
    assert accuracy.index("softmax 1 1 0 ✗ 1 1.0e-01") < accuracy.index("relu 1 1 0 0 1.0e-07")
    assert "No result is wrong" not in accuracy and "✗ WRONG" in section(page, "all")


def test_a_file_of_before_the_limits(made):
    old = photograph()
    del old["limits"], old["machine"]["cores"]
    for each in old["rows"]:
        for name in ("dtype", "operations", "bytes_moved", "kernels", "onnx_seconds", "onnx_ratio", "family"):
            del each[name]
    page = made(old)
    assert "This file does not tell the limits of the machine" in section(page, "limits")
    assert "fastops/elementwise.py" in section(page, "worst") and "cores" not in section(page, "machine")


@pytest.mark.filterwarnings("error")
def test_hostile_strings_are_text(made):
    machine = {"cpu": HOSTILE, "system": HOSTILE, "llvm_cpu": HOSTILE, "vector_bits": HOSTILE}
    texts = {"batch": HOSTILE, "problem": HOSTILE, "kernels": [HOSTILE], "shape": [HOSTILE]}
    rows = [row(HOSTILE, HOSTILE, **texts), row(HOSTILE + "\x00", "\ud800", family=f"{HOSTILE}\x00")]
    versions = {HOSTILE: HOSTILE}
    page = made(suite(*rows, machine=machine, versions=versions, date=HOSTILE, picture=HOSTILE, suite=[HOSTILE]))
    html = page.read_text(encoding="utf-8")
    assert html.count("<script") == 1 and "&lt;script&gt;alert" in html
    assert HOSTILE in section(page, "machine") and HOSTILE in section(page, "wrong")


def test_nothing_comes_from_elsewhere(made):
    html = made(suite(), photograph()).read_text()
    addresses = set(re.findall(r'(?:href|src)="([^"#][^"]*)"', html))
    assert addresses == {"data:,"} and "url(http" not in html and "@import" not in html


# ---------------------------------------------------------------------------------------------- in the browser


@pytest.fixture
def opened(made, browser):
    """The page of two runs, from a file."""
    browser.set_window_size(1400, 1000)
    page = made(suite(), photograph())
    browser.get(page.as_uri())
    yield browser
    assert troubles(browser) == []


def column(browser, number):
    return browser.execute_script(
        "return [...document.querySelectorAll('#cases tbody tr:not([hidden])')]"
        ".map(r => r.cells[arguments[0]].innerText)",
        number,
    )


def test_the_plots_are_there(opened):
    sizes = opened.execute_script(
        "return [...document.querySelectorAll('svg')].map(s => [s.getBoundingClientRect().width,"
        " s.getBoundingClientRect().height, s.querySelectorAll('[id*=dots] use, [id*=dots] path').length,"
        " s.getAttribute('aria-label'), s.querySelectorAll('text').length])"
    )
    assert [each[3].partition(":")[0] for each in sizes] == [
        *("Ratios by family", "Ratios by operator"),
        *("Shares of the limits", "Shares of the difference allowed"),
    ]
    for width, height, dots, _, texts in sizes:
        assert width > 600 and height > 80 and dots >= 3 and texts > 5
    titles = opened.execute_script("return [...document.querySelectorAll('svg title')].map(t => t.textContent)")
    assert "conv2d 3x3 wide on 1x3x32x32: 0.75" in titles
    colours = opened.execute_script(
        "return [...document.querySelectorAll('svg [id*=dots] use')].map(u => getComputedStyle(u).fill)"
    )
    assert len(set(colours)) == 2 and "rgb(0, 0, 0)" not in colours


def test_a_click_sorts(opened):
    heads = opened.find_elements("css selector", "#cases thead th")
    names = [head.text.strip(" ↕↑↓") for head in heads]
    ratio, case = names.index("ratio"), names.index("case")
    before = column(opened, case)
    heads[ratio].find_element("css selector", "button").click()
    assert column(opened, ratio) == ["0.50", "0.75", "1.50", "2.00", "4.00", "8.00"]
    assert heads[ratio].get_attribute("aria-sort") == "ascending"
    heads[ratio].find_element("css selector", "button").click()
    assert column(opened, ratio) == ["8.00", "4.00", "2.00", "1.50", "0.75", "0.50"]
    heads[case].find_element("css selector", "button").click()
    heads[case].find_element("css selector", "button").click()
    assert column(opened, case) == sorted(before, reverse=True)
    onnx = names.index("its ratio")
    heads[onnx].find_element("css selector", "button").click()
    assert column(opened, onnx) == ["0.50", "2.00", "–", "–", "–", "–"]
    heads[onnx].find_element("css selector", "button").click()
    assert column(opened, onnx) == ["2.00", "0.50", "–", "–", "–", "–"]


def test_the_box_filters(opened):
    box = opened.find_element("id", "filter")
    box.send_keys("WIDE conv2d")
    assert column(opened, 2) == ["conv2d 3x3 wide"]
    assert opened.find_element("id", "count").text == "1 of 6 cases"
    box.clear()
    box.send_keys("no such case")
    assert column(opened, 2) == []


@pytest.mark.parametrize("width", [390, 1400])
def test_the_page_does_not_scroll_sideways(width, opened):
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        wide, inner = opened.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert inner == width and wide <= width
        assert opened.execute_script(
            "return [...document.querySelectorAll('h1, h2, p')]"
            ".every(e => e.getBoundingClientRect().right <= innerWidth)"
        )
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_without_javascript_it_is_a_plain_page(opened):
    opened.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        opened.refresh()
        assert not opened.find_element("id", "filter").is_displayed()
        assert len(opened.find_elements("css selector", "#cases tbody tr")) == 6
        assert not opened.find_elements("css selector", "#cases button")
    finally:
        opened.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
