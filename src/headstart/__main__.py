"""``python -m headstart`` and the command ``headstart``."""


def main() -> None:
    from headstart.cli import run

    run()


if __name__ == "__main__":
    main()
