"""Compile what a run of `fastops compare` needs before it measures: in as many processes as there are cores, once."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import fastops
from fastops import _jit
from fastops.cli.processes import cores, in_processes
from fastops.yardstick.work import of_gradient, of_layer, of_operator, with_precision

Jobs = Sequence[Any]  # compare.Job
MakeJobs = Callable[[argparse.Namespace], tuple[Any, Jobs]]  # their functions cannot be sent to another process


def not_compiled(jobs: Jobs, precision: str) -> list[int]:
    """The numbers of the jobs with kernels that are not in the cache."""
    missing = []
    for number, job in enumerate(jobs):
        try:
            with _jit.compiled_before():
                run_once(job, precision)
        except _jit.NotCompiled:
            missing.append(number)
    return missing


def compile_ahead(numbers: Sequence[int], jobs: Jobs, make_jobs: MakeJobs, arguments: argparse.Namespace) -> None:
    """Run these jobs once, elsewhere; those of a family in one process, since they have kernels in common."""
    families: dict[str, list[tuple[str, int]]] = {}
    for number in numbers:
        operator = jobs[number].case.operator
        families.setdefault(getattr(fastops, operator).__module__, []).append((str(jobs[number]), number))
    in_processes(partial(_elsewhere, make_jobs, arguments), sorted(families.values(), key=len, reverse=True), cores())


def run_once(job: Any, precision: str) -> None:
    """fastops's side of a job. An error is told where the job is measured; here only a kernel that is not compiled."""
    try:
        arrays = job.case.inputs(job.input())
        ops = with_precision(fastops, precision)
        (of_gradient if job.backward else of_operator)(job.case, arrays, ops, None).ours()
        layer = of_layer(job.case, arrays, ops) if job.family and not job.backward else None
        if layer:
            layer()
    except _jit.NotCompiled:
        raise
    except Exception:
        return


_jobs: Jobs = ()  # of a process that compiles, made once


def _elsewhere(make_jobs: MakeJobs, arguments: argparse.Namespace, name: str, number: int) -> None:
    global _jobs
    _jobs = _jobs or make_jobs(arguments)[1]
    run_once(_jobs[number], arguments.precision)
