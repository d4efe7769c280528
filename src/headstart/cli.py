"""The command line: every file in ``verbs`` is a verb."""

from __future__ import annotations

from typing import Annotated

import typer

from headstart import __version__, plugins

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
    """Entry point of the command."""
    app()
