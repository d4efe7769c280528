"""``report.html``: one self-contained page that shows what a run folder holds, and computes nothing anew.

The page needs no network and no script; its content security policy forbids both. Names of classes, files and
models come from whoever made the data, so every one of them is escaped.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path
from typing import Any

from headstart.errors import RunError
from headstart.report import figures, several, wording

READABLE = 30  # classes: the largest confusion matrix whose cells can still be read
NUM_MISTAKES = 30  # thumbnails shown
EXCERPTS = ("text", "table")  # the modalities whose previews are words
MAX_EXCERPT = 400  # characters
PREVIEW = re.compile(r"data:image/(?:jpeg|png);base64,[A-Za-z0-9+/]+={0,2}")


def write(folder: Path) -> Path:
    """Render the run in ``folder`` to its ``report.html``; a reader never sees half of it.

    Raises:
        RunError: the folder has no readable ``result.json``, or cannot be written.
    """
    return put(folder, render(folder))


def put(folder: Path, text: str) -> Path:
    """``report.html`` in the folder, whole.

    Raises:
        RunError: it cannot be written.
    """
    path, draft = folder / "report.html", folder / f".report.html.{os.getpid()}"
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
        draft.replace(path)
    except OSError as problem:
        draft.unlink(missing_ok=True)
        raise RunError(f"The report cannot be written to {path}: {problem}. Is the folder writable?") from problem
    return path


def render(folder: Path) -> str:
    """The page as text; the same files give the same bytes. What a file does not say is left out.

    Raises:
        RunError: the folder has no readable ``result.json``, or another of its files is damaged.
    """
    return page("report.html.j2", _view(folder))


def page(template: str, view: dict[str, Any]) -> str:
    """A page from a template of this package; everything that the view holds is escaped."""
    from jinja2 import ChainableUndefined, Environment, FileSystemLoader

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for way in (wording.percent, wording.points, wording.bracket, wording.duration, wording.plain, wording.plain_bracket,
                wording.in_words):  # fmt: skip
        environment.filters[way.__name__] = way
    text = environment.get_template(template).render(view)
    return text.encode("utf-8", "replace").decode("utf-8")  # a file name may hold bytes that are no text


def _view(folder: Path) -> dict[str, Any]:
    result = _result(folder)
    data = _table(result, "data")
    counts = {split: _whole_numbers(entry) for split, entry in _table(data, "counts").items() if entry}
    classes = [str(name) for name in data.get("classes") or _names(counts)]
    scores, verdict = _table(result, "scores"), _table(result, "verdict")
    mistakes = [
        _mistake(entry, result.get("modality"))
        for entry in _rows(folder / "mistakes.json", _json(folder / "mistakes.json"))
    ]
    toml = _text(folder / "run.toml")
    return {
        "result": result,
        "run": result.get("run") or folder.name,
        "headline": wording.headline(result),
        "hurt": _hurt(_table(verdict, "per_class")),
        "forest": figures.forest(verdict.get("comparisons")),
        "bars": figures.bars(result, counts),
        "scores": _cards(scores),
        "candidates": [row for row in result.get("candidates") or [] if isinstance(row, dict)],
        "curves": figures.curves(_history(folder / "history.jsonl"), wording.metric_of(result)),
        "metric": wording.metric_of(result),
        "per_output": _table(scores, "per_output"),
        **several.view(result, _cards),
        "confusion": figures.confusion(scores.get("confusion"), classes, READABLE),
        "classes": classes,
        "per_class": _per_class(_table(scores, "per_class"), _table(verdict, "per_class")),
        "mistakes": mistakes[:NUM_MISTAKES],
        "num_mistakes": len(mistakes),
        "counts": counts,
        "count_rows": [(name, [counts[split].get(name, 0) for split in counts]) for name in _names(counts, classes)],
        "card": _flat(_table(result, "card")),
        "command": f"headstart rerun {shlex.quote(str(result.get('run') or folder.name))}",
        "toml": toml or "\n".join(f"{name} = {value}" for name, value in _flat(_table(result, "config"))),
        "toml_title": "run.toml" if toml else "configuration",
        "environment": _flat(_table(result, "environment")),
        "seconds": list(_table(result, "seconds").items()),
        "files": list(_table(result, "files").items()),
    }


def _result(folder: Path) -> dict[str, Any]:
    path = folder / "result.json"
    result = _json(path)
    if result is None:
        raise RunError(f"{path} does not exist, so there is nothing to report. Expected the folder of a finished run.")
    if not isinstance(result, dict):
        raise RunError(f"{path} is damaged: expected a JSON object, got {type(result).__name__}. Run it again.")
    return result


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as problem:
        raise RunError(f"{path} cannot be read: {problem}. Restore the file or run it again.") from problem


def _json(path: Path) -> Any:
    text = _text(path)
    return None if text is None else _parsed(text, path)


def _parsed(text: str, where: Path | str) -> Any:
    try:
        return json.loads(text)
    except ValueError as problem:
        raise RunError(f"{where} is damaged: {problem}. Expected JSON; restore the file or run it again.") from None


def _history(path: Path) -> list[dict[str, Any]]:
    lines = (_text(path) or "").splitlines()
    return _rows(path, [_parsed(line, f"{path}, line {i}") for i, line in enumerate(lines, 1) if line.strip()])


def _rows(path: Path, value: Any) -> list[dict[str, Any]]:
    if not isinstance(value or [], list) or not all(isinstance(row, dict) for row in value or []):
        raise RunError(f"{path} is damaged: expected only JSON objects in it. Restore the file or run it again.")
    return value or []


def _table(value: dict[str, Any], name: str) -> dict[str, Any]:
    entry = value.get(name)
    return entry if isinstance(entry, dict) else {}


def _whole_numbers(entry: Any) -> dict[str, int]:
    found = entry.items() if isinstance(entry, dict) else ()
    return {str(name): int(n) for name, count in found if (n := wording.number(count)) is not None}


def _names(counts: dict[str, dict[str, int]], first: list[str] | None = None) -> list[str]:
    every = [*(first or []), *(name for split in counts.values() for name in split)]
    return list(dict.fromkeys(every)) if counts else []


def _cards(scores: dict[str, Any]) -> list[dict[str, str]]:
    cards = []
    for name, (title, short, long) in wording.SCORES.items():
        if wording.number(scores.get(name)) is not None:
            plain = name in wording.PLAIN
            bracket = (wording.plain_bracket if plain else wording.bracket)(scores.get(f"{name}_interval"))
            value = (wording.plain if plain else wording.percent)(scores[name])
            cards.append({"title": title, "value": value, "bracket": bracket, "short": short, "long": long})
    return cards


def _per_class(scores: dict[str, Any], verdicts: dict[str, Any]) -> list[dict[str, Any]]:
    """The worst first: what needs a look is on top."""
    rows = []
    for name, entry in scores.items():
        verdict = _table(verdicts, name)
        sign = wording.ANSWERS.get(str(verdict.get("answer")), ("",))[0]
        kind = str(verdict.get("answer", "")).replace(" ", "-") if sign else "none"
        rows.append({**entry, "name": name, "verdict": verdict, "sign": sign, "kind": kind})
    return sorted(rows, key=lambda row: wording.number(row.get("f1")) or 0.0)


def _hurt(verdicts: dict[str, Any]) -> list[str]:
    return [name for name in verdicts if _table(verdicts, name).get("answer") == "hurt"]


def _mistake(entry: dict[str, Any], modality: Any) -> dict[str, Any]:
    """The preview as an inline picture, or, of texts and rows, as an excerpt that the template escapes."""
    preview = entry.get("preview")
    if modality in EXCERPTS:
        excerpt = preview[:MAX_EXCERPT].strip() if isinstance(preview, str) else ""
        return {**entry, "preview": None, "excerpt": excerpt or None}
    harmless = isinstance(preview, str) and PREVIEW.fullmatch(preview)
    return {**entry, "preview": preview if harmless else None, "excerpt": None}


def _flat(table: dict[str, Any], path: str = "") -> list[tuple[str, str]]:
    """Nested entries as lines of (dotted name, value); entries without a value are left out."""
    lines: list[tuple[str, str]] = []
    for name, entry in table.items():
        if isinstance(entry, dict):
            lines += _flat(entry, f"{path}{name}.")
        elif entry is not None and entry != "" and entry != []:
            shown = ", ".join(map(str, entry)) if isinstance(entry, (list, tuple)) else str(entry)
            lines.append((f"{path}{name}", shown))
    return lines
