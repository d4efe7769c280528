"""The command line: every file in ``verbs`` is a verb."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from headstart import __version__, plugins, verbs

app = typer.Typer(
    name="headstart",
    help="Adapt any pretrained model to your data, and learn honestly whether the transfer helped.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        print(f"headstart {__version__}")
        raise typer.Exit


for verb, module in sorted(
    ((name, plugins.load("verbs", name)) for name in plugins.names("verbs")), key=lambda entry: entry[1].ORDER
):
    if isinstance(group := getattr(module, "app", None), typer.Typer):
        app.add_typer(group, name=verb)
    else:
        app.command(verb, epilog=module.EPILOG)(getattr(module, verb))


def run() -> None:
    """Entry point of the command. With --json a usage error, too, ends with one JSON object on standard output."""
    if "--json" not in sys.argv[1:]:
        app()
        return
    try:
        status = app(standalone_mode=False)  # of a usage error Typer would print its own text only
    except Exception as problem:
        if not hasattr(problem, "format_message"):  # what all of Typer's usage errors have, under whatever name
            raise
        problem.show()  # type: ignore[attr-defined]
        verbs.print_error(problem.format_message())
        status = problem.exit_code  # type: ignore[attr-defined]
    sys.exit(status or 0)
