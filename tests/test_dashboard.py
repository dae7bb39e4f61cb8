"""asv's pages of asv_bench/results, as a reader sees them: from the grid by a click to a plot with both lines."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browser import served, troubles

ROOT = Path(__file__).parents[1]
HERE = ROOT / "asv_bench"
TRACKED = subprocess.run(["git", "ls-files", "asv_bench/results"], cwd=ROOT, capture_output=True, text=True).stdout
MACHINES = [(ROOT / name).parent for name in TRACKED.split() if name.endswith("/machine.json")]


@pytest.fixture(scope="module")
def pages(tmp_path_factory, browser):
    """The dashboard, made without a network but npm's packages."""
    if importlib.util.find_spec("asv") is None or shutil.which("npm") is None:
        pytest.skip("asv or npm is not installed")
    if subprocess.run(["git", "rev-parse", "--verify", "main"], cwd=ROOT, capture_output=True).returncode:
        pytest.skip("no branch main: not in a clone")
    folder = tmp_path_factory.mktemp("dashboard")
    command = [sys.executable, "dashboard.py", "--html-dir", str(folder)]
    made = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stdout + made.stderr
    with served(folder) as address:
        yield folder, address


def wait_for(browser, script, *arguments):
    """What the script returns, as soon as it is something."""
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(browser, 20).until(lambda b: b.execute_script(f"return {script}", *arguments))


LINES = "window.jQuery && $('#main-graph').data('plot') && $('#main-graph').data('plot').getData().length"
DRAWN = """
    const plot = $('#main-graph').data('plot');
    const canvas = plot.getCanvas();
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    const near = (a, b) => Math.abs(a - b) < 8;
    return plot.getData().map(line => {
        const colour = $.color ? $.color.parse(line.color) : {r: 0, g: 0, b: 0};
        let count = 0;
        for (let i = 0; i < pixels.length; i += 4)
            count += pixels[i + 3] > 0 && near(pixels[i], colour.r) && near(pixels[i + 1], colour.g)
                && near(pixels[i + 2], colour.b);
        return {label: line.label, points: line.data.filter(p => p && p[1] !== null).length, pixels: count};
    });
"""


def test_no_library_is_asked_of_another_host(pages):
    folder, _ = pages
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "<script" in page and 'src="https://' not in page and '<link href="https://' not in page


def test_from_the_grid_to_a_plot(pages, browser):
    _, address = pages
    troubles(browser)
    browser.get(address)
    chosen = "elementwise.relu.time_call"
    link = wait_for(browser, "document.querySelector(`a[href^='#${arguments[0]}']`)", chosen)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", link)
    link.click()
    assert wait_for(browser, LINES) >= 2
    lines = browser.execute_script(DRAWN)
    for library in ("fastops", "torch"):
        (found, *_) = [line for line in lines if f"library-{library}" in line["label"]]
        assert found["points"] > 1, f"a history of {library}"
        assert found["pixels"] > 50, f"no line of {library} is drawn"
    assert not [t for t in troubles(browser) if "/graphs/summary/" not in t]  # of benchmarks without results


def test_shares_of_torchs_time_are_plotted(pages, browser):
    _, address = pages
    browser.get(f"{address}/#beside_torch.conv2d_3x3.track_share")
    browser.refresh()
    assert wait_for(browser, LINES) >= 2
    label = browser.execute_script("return $('#main-graph').data('plot').getOptions().yaxis.axisLabel")
    assert label == "fastops / torch"
    assert all(line["points"] > 1 and line["pixels"] > 50 for line in browser.execute_script(DRAWN))


def test_the_list_names_every_benchmark_that_has_results(pages, browser):
    _, address = pages
    browser.get(f"{address}/#summarylist")
    browser.refresh()
    cells = "[...document.querySelectorAll('#summarylist-body tr td:first-child')]"
    wait_for(browser, f"{cells}.length > 10")
    rows = browser.execute_script(f"return {cells}.map(e => e.innerText)")
    assert any(row.startswith("relu: time of a call") for row in rows)
    assert any(row.startswith("depthwise: fastops's time / torch's") for row in rows)


# ------------------------------------------------------------------------------------------------ the results


@pytest.mark.parametrize("machine", MACHINES, ids=lambda path: path.name)
def test_results_are_of_commits_of_this_repository(machine):
    files = [path for path in machine.glob("*.json") if path.name != "machine.json"]
    assert len(files) >= 5 and sum(path.stat().st_size for path in files) < 2 << 20
    for path in files:
        commit = json.loads(path.read_text())["commit_hash"]
        assert not subprocess.run(["git", "merge-base", "--is-ancestor", commit, "HEAD"], cwd=ROOT).returncode, commit
        assert str(ROOT) not in path.read_text()
