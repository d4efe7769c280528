"""headstart models: list, show, fetch."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from headstart.verbs import Json, spoken

ORDER = 70
app = typer.Typer(help="Which models there are, what is known of them, and how to have one without the network.")


@app.callback(invoke_without_command=True, epilog="Examples:  headstart models --modality text --max-params 30M  |  "
                 "headstart models --search mobilenet --here")  # fmt: skip
def list_models(
    context: typer.Context,
    modality: Annotated[str | None, typer.Option(help="image, text or audio.")] = None,
    max_params: Annotated[str | None, typer.Option(help="At most so many parameters: 30M, 1.2B.")] = None,
    license: Annotated[str | None, typer.Option(help="Part of the licence's name: apache-2.0.")] = None,
    search: Annotated[str, typer.Option(help="Words; they also search timm's pretrained names.")] = "",
    here: Annotated[bool, typer.Option("--here", help="Only what is on this machine.")] = False,
    as_json: Json = False,
) -> None:
    """List the catalogue."""
    if context.invoked_subcommand:
        return
    from headstart.models import catalog, listing

    with spoken(as_json):
        limit = listing.count(max_params) if max_params else None
        wanted = catalog.Wanted(modality, limit, license, search, here)
        found = catalog.find(wanted)
        if as_json:
            print(json.dumps({"models": [listing.facts(entry) for entry in found]}, ensure_ascii=False))
        else:
            listing.table(found, wanted)


@app.command("show", epilog="Example:  headstart models show timm:resnet18.a1_in1k")
def show_model(
    reference: Annotated[str, typer.Argument(help="zoo:name, as headstart models lists it.")], as_json: Json = False
) -> None:
    """All that is known of one model, with sources, and the command that uses it."""
    from headstart.models import catalog, listing

    with spoken(as_json):
        entry = catalog.show(reference)
        print(json.dumps(listing.facts(entry), ensure_ascii=False) if as_json else listing.page(entry))


@app.command("fetch", epilog="Example:  headstart models fetch transformers:sentence-transformers/all-MiniLM-L6-v2")
def fetch_model(
    reference: Annotated[str, typer.Argument(help="zoo:name; with transformers, any repository of the hub.")],
    as_json: Json = False,
) -> None:
    """Download a model for offline use (safetensors only), or check the one that is there."""
    from headstart.models import catalog, listing

    with spoken(as_json):
        result = catalog.fetch(reference)
        if as_json:
            row = {"reference": reference, "place": str(result.place), "bytes": result.size, "new_bytes": result.new}
            print(json.dumps(row, ensure_ascii=False))
        else:
            print(listing.fetched(result))
