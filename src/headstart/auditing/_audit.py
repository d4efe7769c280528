"""Audit: everything that was found, to be printed, saved, shown and acted on."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.auditing._evidence import Finding, Suspect
from headstart.auditing._plan import Change, changes, cleaned
from headstart.config import to_dict
from headstart.data.dataset import Dataset

if TYPE_CHECKING:
    from rich.table import Table

    from headstart.auditing._cleaning import Cleaned

SEVERITIES = ("error", "warning", "info")
SHOWN = 3  # samples of a finding that the table names
STYLES = {"error": "bold red", "warning": "yellow", "info": "cyan", "ok": "green", "skipped": "dim"}


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        dataset: what was audited.
        findings: errors first, then in the order of the checks.
        checks: names of the checks that ran, with the seconds each took.
        skipped: names of the checks that could not run, with the reason.
        model: reference of the model whose features were used; "" where none was.
        seconds: wall-clock time of the whole audit.
        source: the file or folder that was read; None for data from memory.
        reading: how it was read: the arguments of ``hs.read``.
    """

    dataset: Dataset
    findings: tuple[Finding, ...]
    checks: dict[str, float]
    skipped: dict[str, str]
    model: str = ""
    seconds: float = 0.0
    source: Path | None = None
    reading: tuple[tuple[str, str | None], ...] = ()

    @property
    def errors(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "error"]

    def of(self, check: str) -> list[Finding]:
        """The findings of one check."""
        return [finding for finding in self.findings if finding.check == check]

    @property
    def changes(self) -> list[Change]:
        """What cleaning changes: at most one entry a sample and column, with every reason for it."""
        return changes(self.dataset, self.findings)

    def cleaned(self) -> Dataset:
        """The data set in memory with the changes made; nothing is written."""
        return cleaned(self.dataset, self.changes)

    def clean(self, folder: str | Path) -> Cleaned:
        """Write the cleaned data set into a new folder, in the format of the original, with ``changes.json``.

        The original is only read. The folder appears when all of it is written, or not at all.

        Raises:
            DataError: the data came from memory or a hub, nothing would be left, or the folder is not empty, lies
                in the data or holds the data.
        """
        from headstart.auditing._cleaning import clean

        return clean(self, Path(folder))

    def save(self, folder: str | Path) -> Path:
        """Write ``audit.json`` and the page ``audit.html`` with previews of the samples; the path of the page."""
        from headstart.auditing._page import save

        return save(self, Path(folder))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; samples carry their names."""
        names, labels = self.dataset.names, self.dataset.labels

        def suspect(entry: Suspect) -> dict[str, Any]:
            plain = {name: value for name, value in to_dict(entry).items() if value not in ("", None)}
            label = {} if labels is None else {"label": labels[entry.index]}
            beside = {} if entry.beside is None else {"beside_name": names[entry.beside]}
            return {"name": names[entry.index], **label, **plain, **beside}

        found = [{**to_dict(finding), "samples": [suspect(s) for s in finding.samples]} for finding in self.findings]
        counts = {level: sum(finding.severity == level for finding in self.findings) for level in SEVERITIES}
        return {
            "data": self.dataset.origin,
            "modality": self.dataset.modality,
            "samples": len(self.dataset),
            "classes": len(self.dataset.classes),
            "model": self.model,
            "counts": counts,
            "findings": found,
            "checks": self.checks,
            "skipped": self.skipped,
            "changes": len(self.changes),
            "notes": list(self.dataset.notes),
            "seconds": self.seconds,
        }

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=min(140, shutil.get_terminal_size((110, 24)).columns), color_system=None)
        with console.capture() as text:
            console.print(self.__rich__())
        return "\n".join(line.rstrip() for line in text.get().splitlines())

    def __rich__(self) -> Table:
        """A row a finding, then what is in order, then what could not be checked."""
        from rich.table import Table
        from rich.text import Text

        table = Table("", "check", "what was found", title=self._title(), title_justify="left", title_style="bold")
        table.columns[0].no_wrap = table.columns[1].no_wrap = True

        def row(level: str, check: str, text: str) -> None:
            table.add_row(Text(level, STYLES[level]), check, Text(_printable(text)))

        for finding in self.findings:
            row(finding.severity, finding.check, self._described(finding))
        if in_order := [name for name in self.checks if not self.of(name)]:
            row("ok", "", ", ".join(in_order))
        for name, reason in self.skipped.items():
            row("skipped", name, reason)
        return table

    def _title(self) -> Any:
        from rich.text import Text

        dataset = self.dataset
        classes = f", {len(dataset.classes)} classes" if dataset.labels is not None else ""
        model = f"; features of {self.model}" if self.model else ""
        return Text(_printable(f"{dataset.origin or 'the data'}: {len(dataset)} samples{classes}{model}"))

    def _described(self, finding: Finding) -> str:
        names = self.dataset.names
        lines = [finding.message]
        for entry in finding.samples[:SHOWN]:
            lines.append(f"  {names[entry.index]}{f': {entry.why}' if entry.why else ''}")
        if len(finding.samples) > SHOWN:
            lines.append(f"  and {len(finding.samples) - SHOWN} more")
        return "\n".join([*lines, f"→ {finding.fix}"] if finding.fix else lines)


def _printable(text: str) -> str:
    """Without control characters: a file name may hold some that move the cursor."""
    return "".join(sign if sign.isprintable() or sign == "\n" else "\N{REPLACEMENT CHARACTER}" for sign in text)
