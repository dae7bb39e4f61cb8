"""The command `fastops`: exit codes, what it prints and writes, and what it says where something is missing."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import entry_points

import numpy as np
import pytest

import fastops
from fastops import _jit
from fastops.__main__ import main
from fastops.cli import compare, processes, warmup
from fastops.cli.photograph import batches
from fastops.yardstick import measure, timing
from fastops.yardstick.cases import CASES
from fastops.yardstick.measure import judge
from fastops.yardstick.operators import OPERATORS
from fastops.yardstick.timing import Effort

WITH_GRADIENT = [case for case in CASES if case.has_gradient]
COMMAND = [sys.executable, "-m", "fastops"]
NO_TIME = Effort(untimed=0, timed=0, case=0)


@pytest.fixture
def without(monkeypatch):
    """without("torch"): as if it were not installed."""
    return lambda *modules: [monkeypatch.setitem(sys.modules, module, None) for module in modules]


@pytest.fixture(autouse=True)
def in_no_time(monkeypatch):
    monkeypatch.setattr(timing, "QUIET", 0)
    monkeypatch.setitem(timing.EFFORT, "small", NO_TIME)


def run(*arguments, **options) -> subprocess.CompletedProcess:
    return subprocess.run([*COMMAND, *arguments], check=False, capture_output=True, text=True, timeout=300, **options)


# ------------------------------------------------------------------------------------------------ arguments


def test_version():
    done = run("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"fastops {fastops.__version__}")


def test_installed_command_is_main():
    installed = entry_points(group="console_scripts", name="fastops")
    if not installed:
        pytest.skip("fastops is not installed, only importable")
    assert next(iter(installed)).load() is main


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no_such_command"],
        ["compare", "--op", "no_such_operator"],
        ["compare", "--dtype", "float16"],
        ["compare", "--size", "huge"],
        ["info", "extra"],
        ["report"],
    ],
    ids=" ".join,
)
def test_bad_arguments_exit_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--json", "--plot"])
@pytest.mark.parametrize("name", ["no/such/folder/file.png", "folder.png"])
def test_unwritable_file_is_refused_before_the_run(option, name, tmp_path, monkeypatch, capsys):
    if option == "--plot":
        pytest.importorskip("matplotlib")
    (tmp_path / "folder.png").mkdir()
    monkeypatch.setattr(compare, "measure", lambda *_: pytest.fail("the run has started"))
    assert main(["compare", option, str(tmp_path / name)]) == 2
    assert capsys.readouterr().err.startswith("fastops compare: cannot write ")


def test_plot_is_a_png(capsys):
    assert main(["compare", "--plot", "chart.bmp"]) == 2
    assert "must end in .png, got chart.bmp" in capsys.readouterr().err


# -------------------------------------------------------------------------------------------------- compare


@pytest.mark.parametrize("batch", ["photo", "crops"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_case_is_right(case, batch, dtype):
    torch = compare.optional("torch")
    x = batches("small", np.dtype(dtype).name)[1][batch]
    row = measure.measure(case, batch, x, fastops, torch, NO_TIME)
    assert row.problem is None
    assert row.fastops_seconds > 0 and row.pairs == 3
    assert (row.error is not None) == bool(case.expected or (torch and OPERATORS[case.operator].in_torch))
    assert (row.ratio is not None) == bool(torch and OPERATORS[case.operator].in_torch)


@pytest.mark.parametrize("batch", ["photo", "crops"])
@pytest.mark.parametrize("case", WITH_GRADIENT, ids=str)
def test_the_gradient_of_every_case_is_right(case, batch, dtype):
    torch = compare.optional("torch")
    x = batches("small", np.dtype(dtype).name)[1][batch]
    row = measure.measure(case, batch, x, fastops, torch, NO_TIME, backward=True)
    assert row.problem is None and row.operator == f"{case.operator}_backward"
    assert row.fastops_seconds > 0 and row.pairs == 3
    assert (row.error is not None) == bool(case.gradient or (torch and OPERATORS[case.operator].in_torch))
    assert (row.ratio is not None) == bool(torch and OPERATORS[case.operator].in_torch)


def test_every_operator_has_a_case():
    functions = {name for name in fastops.__all__ if callable(getattr(fastops, name))}
    assert {case.operator for case in CASES} == {name for name in functions if not name.endswith("_backward")}
    assert {f"{case.operator}_backward" for case in WITH_GRADIENT} == functions - {case.operator for case in CASES}


def test_json_holds_every_figure(tmp_path, capsys):
    file = tmp_path / "figures.json"
    assert main(["compare", "--size", "small", "--op", "relu", "--op", "roi_pool", "--json", str(file)]) == 0
    report = json.loads(file.read_text())
    assert report["schema"] == 1 and report["size"] == "small" and report["dtype"] == "float32"
    assert report["threads"] >= 1 and report["machine"]["vector_bits"] in (128, 256, 512)
    assert report["versions"]["fastops"] == fastops.__version__
    assert [row["operator"] for row in report["rows"]] == ["roi_pool", "roi_pool", "relu", "relu"]
    assert report["rows"][2]["shape"] == [1, 3, 256, 256] and report["rows"][2]["fastops_seconds"] > 0
    assert report["rows"][2]["dtype"] == "float32" and report["rows"][2]["bytes_moved"] == 2 * 4 * 3 * 256 * 256
    assert report["rows"][2]["kernels"] == ["cpu.elementwise._relu"]
    assert 1e8 < report["limits"]["operations_per_second"] < 1e15 and report["machine"]["cores"] >= 1
    assert 1e8 < report["limits"]["bytes_per_second"] < 1e14
    assert report["summary"]["wrong"] == 0
    printed = capsys.readouterr()
    assert "4 results, " in printed.out and "checked, 0 wrong." in printed.out and printed.err == ""


def test_backward_adds_the_gradients(tmp_path, capsys):
    file = tmp_path / "figures.json"
    arguments = ["--op", "max_pool2d", "--op", "roi_pool", "--backward", "--json", str(file)]
    assert main(["compare", "--size", "small", *arguments]) == 0
    rows = json.loads(file.read_text())["rows"]
    assert [row["operator"] for row in rows[::2]] == [
        *["max_pool2d"] * 4,
        "roi_pool",
        *["max_pool2d_backward"] * 3,  # the indices that were asked for have no gradient
        "roi_pool_backward",
    ]
    assert all(row["fastops_seconds"] > 0 for row in rows)
    assert "max_pool2d_backward 3x3 stride 2 " in (printed := capsys.readouterr().out) and "18 results" in printed


@pytest.mark.parametrize(
    "more",
    [pytest.param([], id="operators"), pytest.param(["--backward"], id="gradients too", marks=pytest.mark.wide)],
)
def test_plot_draws_a_picture(more, tmp_path):
    image = pytest.importorskip("matplotlib.image")
    pytest.importorskip("torch")
    file = tmp_path / "chart.png"
    arguments = [word for operator in ("conv2d", "max_pool2d", "relu") for word in ("--op", operator)]
    assert main(["compare", "--size", "small", *arguments, *more, "--plot", str(file)]) == 0
    height, width, _ = image.imread(file).shape
    assert height > 400 and width > 800


@pytest.mark.parametrize(
    "wrong, problem",
    [
        (lambda x: x, "elements differ"),
        (lambda x: fastops.flatten(x), "in place of float32"),
        (lambda x: x.astype(np.float64), "float64 (1, 3, 256, 256) in place of float32"),
        (lambda x: 1 / 0, "raised ZeroDivisionError: division by zero"),
    ],
)
def test_wrong_result_exits_with_1(wrong, problem, tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    monkeypatch.setattr(compare, "agree_on_threads", lambda torch: 1)  # it calls relu
    monkeypatch.setattr(fastops, "relu", wrong)
    file = tmp_path / "figures.json"
    assert main(["compare", "--size", "small", "--op", "relu", "--json", str(file)]) == 1
    assert problem in json.loads(file.read_text())["rows"][0]["problem"]
    assert "WRONG" in (printed := capsys.readouterr().out) and "2 results, 2 checked, 2 wrong." in printed


@pytest.mark.parametrize(
    "operator, wrong, problem",
    [
        ("relu", lambda g, x: np.where(x >= 0.1, g, 0).astype(g.dtype), "elements differ"),
        ("relu", lambda g, x: g[0], "in place of float32"),
        ("mse_loss", lambda g, x, target: x, "1 arrays in place of 2"),
        ("mse_loss", lambda g, x, target: (x, x), "times the difference allowed"),
        ("dropout", lambda g, p, rng: 2 * g, "elements differ"),
        ("roi_pool", lambda g, x, boxes, size: np.zeros_like(x), "times the difference allowed"),
        ("conv2d", lambda *args, **options: 1 / 0, "raised ZeroDivisionError: division by zero"),
    ],
)
def test_a_wrong_gradient_exits_with_1(operator, wrong, problem, tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    monkeypatch.setattr(fastops, f"{operator}_backward", wrong)
    file = tmp_path / "figures.json"
    assert main(["compare", "--size", "small", "--op", operator, "--backward", "--json", str(file)]) == 1
    problems = [row["problem"] for row in json.loads(file.read_text())["rows"] if "_backward" in row["operator"]]
    assert problems and all(problem in (found or "") for found in problems)
    assert f"{len(problems)} wrong." in capsys.readouterr().out


def test_dropout_that_drops_too_much_is_wrong(monkeypatch):
    monkeypatch.setattr(fastops, "dropout", lambda x, p: np.where(np.arange(x.shape[-1]) % 10 < 4, 2 * x, 0))
    monkeypatch.setattr(compare, "agree_on_threads", lambda torch: 1)
    assert main(["compare", "--size", "small", "--op", "dropout"]) == 1


def test_judge_allows_what_the_tolerance_does():
    want = np.array([1, 100], np.float32)  # allowed: 1e-4 + 1e-3 beside 1, 1e-2 + 1e-3 beside 100
    assert judge(want + np.array([1.0e-3, 0.0], np.float32), want, exact=False).problem is None
    assert judge(want + np.array([1.2e-3, 0.0], np.float32), want, exact=False).problem is not None
    assert judge(want + np.array([0.0, 1.0e-2], np.float32), want, exact=False).problem is None
    assert judge(want + np.array([0.0, 1.2e-2], np.float32), want, exact=False).problem is not None
    assert judge(np.nextafter(want, 2, dtype=np.float32), want, exact=True).problem == "2 of 2 elements differ"
    assert judge((want, want * 2), (want, want), exact=False).problem is not None
    assert judge(want, (want, want), exact=False).problem == "1 arrays in place of 2"
    assert judge(want * np.nan, want, exact=False).problem is not None
    assert judge(want * np.nan, want * np.nan, exact=True).problem is None


# ---------------------------------------------------------------------------------------- where something is missing


def test_without_torch_own_columns(without, tmp_path, capsys):
    without("torch")
    file = tmp_path / "figures.json"
    assert main(["compare", "--size", "small", "--op", "sigmoid", "--backward", "--json", str(file)]) == 0
    printed = capsys.readouterr().out
    assert "Not installed: torch" in printed and "To install: pip install torch" in printed
    rows = json.loads(file.read_text())["rows"]
    assert [row["operator"] for row in rows[::2]] == ["sigmoid", "sigmoid_backward"]
    for row in rows:
        assert row["fastops_seconds"] > 0 and row["torch_seconds"] is row["ratio"] is row["error"] is None


def test_without_any_extra(without, capsys):
    without("torch", "skimage", "skimage.data", "rich", "matplotlib")
    assert main(["compare", "--size", "small", "--op", "flatten"]) == 0
    printed = capsys.readouterr().out
    assert "Not installed: torch, scikit-image, rich." in printed and "computed picture" in printed


@pytest.mark.parametrize("missing", ["torch", "matplotlib"])
def test_plot_needs_what_it_draws_with(missing, without, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    without(missing)
    assert main(["compare", "--plot", str(tmp_path / "chart.png")]) == 2
    assert "pip install torch scikit-image matplotlib" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_nothing_to_plot(tmp_path, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    assert main(["compare", "--op", "roi_pool", "--plot", str(tmp_path / "chart.png")]) == 2
    assert "lacks this operator" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------- the terminal


def test_no_bar_and_no_colours_in_a_pipe():
    done = run("compare", "--size", "small", "--op", "relu", env={**os.environ, "FORCE_COLOR": "1"})
    assert done.returncode == 0
    assert "\033" not in done.stdout + done.stderr and "\r" not in done.stdout + done.stderr


def test_bar_on_a_terminal():
    pytest.importorskip("rich")
    pty = pytest.importorskip("pty")
    mine, its = pty.openpty()
    with subprocess.Popen([*COMMAND, "compare", "--size", "small", "--op", "relu"], stdout=its, stderr=its) as process:
        os.close(its)
        seen = b""
        try:
            while chunk := os.read(mine, 4096):
                seen += chunk
        except OSError:  # how Linux says that the other end is closed
            pass
        assert process.wait() == 0
    os.close(mine)
    assert b"0/2" in seen and b"1/2" in seen and b"relu on crops" in seen
    assert b"2 results, " in seen


@pytest.mark.parametrize(
    "arguments, first, cached",
    [
        pytest.param(["compare"], "Kernels of ", False, id="compare that compiles"),
        pytest.param(["warmup"], "Compiling ", False, id="warmup"),
        pytest.param(["compare", "--op", "flatten"], "operator ", True, id="compare that measures"),
    ],
)
def test_interrupted(arguments, first, cached, tmp_path):
    env = {**os.environ} if cached else {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # where this process ignores it
    code = f"{heard}; import sys; from fastops.__main__ import main; sys.exit(main())"
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], env=env, start_new_session=True, **pipes)
    try:
        while not (line := process.stdout.readline()).startswith(first):
            assert line, process.stderr.read()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
        _, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 130
    assert errors.strip() == f"fastops {arguments[0]}: interrupted"


def test_reader_that_leaves():
    with subprocess.Popen([*COMMAND, "info"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


# --------------------------------------------------------------------------------------------- info and warmup


def test_info(capsys):
    assert main(["info"]) == 0
    printed = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert printed["fastops"] == fastops.__version__ and printed["numpy"] == np.__version__
    assert printed["vectors"] in ("128 bits", "256 bits", "512 bits")
    assert printed["cache"].startswith(str(_jit.cache_folder() or "none"))
    assert printed["cuda"].startswith("no: ")


def test_info_without_a_cache():
    done = run("info", env={**os.environ, "FASTOPS_CACHE": "0"})
    assert done.returncode == 0 and "none (FASTOPS_CACHE=0" in done.stdout


def test_info_reads_versions_without_importing():
    code = "import sys; from fastops.__main__ import main; main(['info']); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=300)


def test_warmup_reaches_every_kernel():
    """A kernel that is named here needs an example in the table of operators.

    In a process that has called nothing else.
    """
    code = """
import json
from fastops import _jit
from fastops.cli import warmup
for share in warmup.shared_out(1):
    for call in share:
        warmup.compile_one(*call)
found = {f"{kernel.name} {build}": list(map(str, getattr(kernel, build).signatures))
         for kernel in _jit.kernels for build in warmup.BUILDS}
print(json.dumps(found))
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=600)
    found = json.loads(done.stdout)
    assert len(found) == 2 * len(_jit.kernels)
    for name, signatures in found.items():
        assert 1 <= len(signatures) <= len(warmup.DTYPES), name
        seen = str(signatures)
        assert ("Array(float32" in seen) <= ("Array(float64" in seen), name


@pytest.mark.parametrize("processes", [1, 2, 4, 8, 64])
def test_warmup_shares_out_every_call_once(processes):
    shares = warmup.shared_out(processes)
    calls = [call for share in shares for call in share]
    assert sorted(calls) == sorted(set(calls)) and len(calls) == len(warmup.NAMES) * 4
    assert len(shares) <= max(2, processes) and all(shares)
    assert all(len({dtype for _, dtype, _ in share}) == 1 for share in shares)  # whose two builds share their callees


def test_compare_compiles_first_what_it_needs_and_clear_cache_removes_it(tmp_path):
    """In other processes: the one that measures finds every kernel in the cache."""
    arguments = ["compare", "--size", "small", "--op", "relu"]
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = run(*arguments, env=env)
    assert done.returncode == 0 and "Kernels of 2 of them are compiled first, in" in done.stdout
    assert "of them are compiled first" not in run(*arguments, env=env).stdout
    assert "(0 kernels, " not in run("info", env=env).stdout
    done = run("clear-cache", env=env)
    assert done.returncode == 0 and done.stdout.startswith("Removed 0.") and str(tmp_path) in done.stdout
    assert "(0 kernels, " in run("info", env=env).stdout


def test_clear_cache_without_a_cache(monkeypatch, capsys):
    monkeypatch.setattr(_jit, "cache_folder", lambda: None)
    assert main(["clear-cache"]) == 2
    assert "there is no cache" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="an interrupt cannot wait")
def test_an_interrupt_while_processes_start_is_heard(monkeypatch):
    class Pool(ProcessPoolExecutor):
        def submit(self, *call, **options):
            os.kill(os.getpid(), signal.SIGINT)
            return super().submit(*call, **options)

    monkeypatch.setattr(processes, "ProcessPoolExecutor", Pool)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # where this process ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            processes.in_processes(time.sleep, [[(0.01,)]], 1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_warmup_runs_in_processes(monkeypatch, capsys):
    if _jit.cache_folder() is None:
        pytest.skip("no cache")
    monkeypatch.setattr(warmup, "compiled", lambda call, dtype, build: call != "relu 1")
    assert main(["warmup"]) == 0
    printed = capsys.readouterr().out
    assert f"Compiling {len(_jit.kernels)} kernels" in printed and "Done in" in printed


def test_warmup_without_a_cache(monkeypatch, capsys):
    monkeypatch.setattr(_jit, "cache_folder", lambda: None)
    assert main(["warmup"]) == 2
    assert "there is no cache to fill" in capsys.readouterr().err
