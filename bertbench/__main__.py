"""The front door: a command goes to its room, anything else is Hydra."""

import os
import sys
from importlib import import_module

from bertbench.errors import UserError

COMMANDS = {  # each has main(arguments) -> exit code
    name: f"bertbench.commands.{name}" for name in ("report", "status", "store", "sync")
}


def main() -> None:
    """Run what the command line says; bad input is one sentence and exit code 2."""
    arguments = sys.argv[1:]
    try:
        if arguments and arguments[0] in ("-h", "--help", "help"):
            print(import_module("bertbench.commands.help").text())
            code = 0
        elif arguments and arguments[0] == "--version":
            print(import_module("bertbench").__version__)
            code = 0
        elif arguments and arguments[0] in COMMANDS:
            code = import_module(COMMANDS[arguments[0]]).main(arguments[1:])
        else:
            code = import_module("bertbench.door").run()
    except UserError as error:
        print(f"bertbench: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("bertbench: interrupted; the same command goes on from here", file=sys.stderr)
        code = 130
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code)


if __name__ == "__main__":
    main()
