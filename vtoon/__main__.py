"""`vtoon` and `python -m vtoon`. Imports little: Ctrl-C must end the seconds of importing, too, without a traceback."""

import signal


def main() -> None:
    """Entry of the console script."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from vtoon.cli.main import main as run

    run()


if __name__ == "__main__":
    main()
