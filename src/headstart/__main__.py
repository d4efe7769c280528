"""``python -m headstart`` and the command ``headstart``."""

import sys


def main() -> None:
    from headstart import launching

    launching.share_cores()
    if launching.left_alone():
        from headstart.errors import HeadstartError

        try:
            sys.exit(launching.launch_all())
        except HeadstartError as problem:
            sys.exit(f"error: {problem}")
    from headstart.cli import run

    run()


if __name__ == "__main__":
    main()
