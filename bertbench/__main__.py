"""The front door: a command goes to its room, anything else is Hydra."""

import os
import sys
from importlib import import_module

from bertbench.errors import UserError

COMMANDS = {  # each has main(arguments) -> exit code
    name: f"bertbench.commands.{name}"
    for name in ("card", "data", "inspect", "pretrain", "report", "status", "store", "sync")
}
SETTINGS = ("hydra", "omegaconf")  # packages whose errors say that settings cannot be composed


def main() -> None:
    """Run what the command line says; bad input is one sentence and exit code 2."""
    try:
        code = _answer(sys.argv[1:])
    except UserError as error:
        print(f"bertbench: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("bertbench: interrupted; the same command goes on from here", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:  # of a command that takes settings; imports nothing of theirs
        if type(error).__module__.partition(".")[0] not in SETTINGS:
            raise
        sentence = import_module("bertbench.door").sentence(error)
        visible = import_module("bertbench.inspection.columns").visible
        print(f"bertbench: {visible(sentence)}", file=sys.stderr)
        code = 2
    sys.exit(code)


def _answer(arguments: list[str]) -> int:
    if arguments and arguments[0] in ("-h", "--help", "help"):
        print(import_module("bertbench.commands.help").text())
        return 0
    if arguments and arguments[0] == "--version":
        print(import_module("bertbench").__version__)
        return 0
    if arguments and arguments[0] in COMMANDS:
        return import_module(COMMANDS[arguments[0]]).main(arguments[1:])
    return import_module("bertbench.door").run()


if __name__ == "__main__":
    main()
