"""The `hilserl` command: one file a subcommand.

A subcommand is a frozen dataclass derived from `Command` and named in `_commands`. Its
fields are its flags (a field's docstring is the flag's help, `tyro.conf.Positional[...]`
makes it an argument), its docstring is its help, and `run` does the work:

- `run` prints what people read and returns what programs read, a dict of plain values;
- `{"ok": False, ...}` in that dict, or an error of this package, ends it with status 1;
- with `--json` the last line on stdout is that dict, `ok` always in it, and after an error
  `{"ok": false, "error": message}`. Progress bars belong on stderr.

To keep `hilserl --help` quick, a subcommand's file imports at its top nothing that is slow
to load; `run` does.
"""

from __future__ import annotations

import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import gymnasium
import tyro

from hilserl_envs.errors import HilserlError


@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """What all subcommands share."""

    json: bool = False
    """Print the report as one line of JSON, the last on stdout."""

    @abstractmethod
    def run(self) -> dict:
        """Do the work, print it for people, and return the report."""


def _commands() -> dict[str, type[Command]]:
    from hilserl_envs.cli.classifier import Classifier
    from hilserl_envs.cli.demo import Demo
    from hilserl_envs.cli.doctor import Doctor
    from hilserl_envs.cli.eval import Eval
    from hilserl_envs.cli.export_dataset import Export
    from hilserl_envs.cli.import_demos import Import
    from hilserl_envs.cli.inspect import Inspect
    from hilserl_envs.cli.label import Label
    from hilserl_envs.cli.record import Record
    from hilserl_envs.cli.replay import Replay
    from hilserl_envs.cli.serve import Serve
    from hilserl_envs.cli.tasks import Tasks
    from hilserl_envs.cli.train import Train

    return {
        "classifier": Classifier,
        "demo": Demo,
        "doctor": Doctor,
        "eval": Eval,
        "export": Export,
        "import": Import,
        "inspect": Inspect,
        "label": Label,
        "record": Record,
        "replay": Replay,
        "serve": Serve,
        "tasks": Tasks,
        "train": Train,
    }


def main(args: Sequence[str] | None = None) -> int:
    """Run a subcommand; return the exit status: 0 done, 1 failed, 130 interrupted.

    Raises:
        SystemExit: status 0 after `--help`, 2 after arguments that make no sense.
    """
    try:
        try:
            return _main(args)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:  # before there was anything to stop
        print("hilserl: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `hilserl ... | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _main(args: Sequence[str] | None) -> int:
    command = tyro.extras.subcommand_cli_from_dict(
        _commands(),
        prog="hilserl",
        description="Human-in-the-loop reinforcement learning on a Franka arm, real or simulated.",
        args=args,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    try:
        report = {"ok": True} | command.run()
    except (HilserlError, gymnasium.error.Error) as error:
        print(f"hilserl: error: {error}", file=sys.stderr)
        report = {"ok": False, "error": str(error)}
    except ModuleNotFoundError as error:
        message = (
            f"the module {error.name!r} is not installed; `hilserl doctor` has the line that installs it"
        )
        print(f"hilserl: error: {message}", file=sys.stderr)
        report = {"ok": False, "error": message}
    except KeyboardInterrupt:
        print("hilserl: interrupted", file=sys.stderr)
        report = {"ok": False, "error": "interrupted"}
    except BrokenPipeError:
        raise
    except OSError as error:
        message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        print(f"hilserl: error: {message}", file=sys.stderr)
        report = {"ok": False, "error": message}
    if command.json:
        print(json.dumps(report), flush=True)
    if report.get("error") == "interrupted":
        return 130
    return 0 if report["ok"] else 1
