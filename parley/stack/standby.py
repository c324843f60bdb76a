"""A process that has imported its program and waits for the word to begin, so that a restart costs no start-up time.

`python -m parley.stack.standby MODULE ENTRY ARGUMENT…` imports MODULE, waits for a line on its standard input and then
calls ENTRY (`package.module:function`) with the arguments. The end of its input without a line ends it.
"""

import importlib
import pkgutil
import sys


def main() -> None:
    """Prepare, wait, begin."""
    module, entry, *arguments = sys.argv[1:]
    importlib.import_module(module)
    if sys.stdin.readline():
        sys.argv = [entry, *arguments]
        pkgutil.resolve_name(entry)()


if __name__ == "__main__":
    main()
