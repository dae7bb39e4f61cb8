"""The command `fastops`, also `python -m fastops`: reads the arguments and hands them to one module of fastops.cli.

Exit codes: 0 good, 1 a result is wrong, 2 bad arguments (or something the command needs is missing), 130 interrupted.
"""

import argparse
import os
import sys
from collections.abc import Sequence

import fastops
from fastops.cli import UsageError, clear_cache, compare, info, report, run, warmup


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; argparse itself exits with 2 on arguments it cannot read."""
    parser = argparse.ArgumentParser(
        prog="fastops",
        description="Compiled operators of convolutional networks for NumPy arrays.",
        epilog="Exit codes: 0 good, 1 a result is wrong, 2 bad arguments, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"fastops {fastops.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    modules = {
        "run": run,
        "compare": compare,
        "report": report,
        "info": info,
        "warmup": warmup,
        "clear-cache": clear_cache,
    }
    for name, module in modules.items():
        summary = (module.__doc__ or "").partition("\n")[0]
        command = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    arguments = parser.parse_args(argv)
    try:
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except UsageError as error:
        print(f"fastops {arguments.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"fastops {arguments.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has left, as in `fastops compare | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13


if __name__ == "__main__":
    sys.exit(main())
