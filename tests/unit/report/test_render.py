"""The report: shows what the run folder says, escapes every name, needs no network and no script."""

import html
import json
import re
import stat
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from headstart.errors import RunError
from headstart.report.render import render, write

EVIL = ["<script>alert(1)</script>", '"& onload="alert(2)', "$x_1$ {{ 7 * 7 }} שלום", "long " * 60]
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def example(classes: list[str] = EVIL) -> dict[str, Any]:
    size = len(classes)
    confusion = [[9 if i == j else int(j == (i + 1) % size) for j in range(size)] for i in range(size)]
    scores = {"precision": 0.9, "recall": 0.9, "f1": 0.9, "support": 10}
    return {
        "headstart": "0.1.0",
        "run": "runs/1",
        "task": "classification",
        "modality": "image",
        "model": "embedded:image",
        "approach": "probe",
        "reasons": ["probe reached 0.71 on validation in 3 s"],
        "data": {
            "origin": "photos/",
            "classes": classes,
            "counts": {"train": dict.fromkeys(classes, 40), "test": dict.fromkeys(classes, 10)},
            "notes": ["12 near-duplicates were moved"],
        },
        "scores": {
            "accuracy": 0.874,
            "accuracy_interval": [0.841, 0.902],
            "precision": 0.871,
            "recall": 0.862,
            "f1": 0.866,
            "calibration_error": 0.043,
            "per_class": dict.fromkeys(classes, scores),
            "confusion": confusion,
        },
        "validation": {"accuracy": 0.881},
        "candidates": [{"approach": "probe", "valid_accuracy": 0.71, "seconds": 3.1}],
        "baselines": {"scratch": {"accuracy": 0.761, "seconds": 250, "f1": 0.7, "what": "fresh weights"}},
        "verdict": {
            "answer": "helped",
            "summary": "helped: +11.3 points over training from scratch [8.9, 13.6]",
            "comparisons": [
                {
                    "baseline": "scratch",
                    "title": "the same from scratch",
                    "gain": 0.113,
                    "interval": [0.089, 0.136],
                }
            ],
            "per_class": {
                classes[0]: {"answer": "hurt", "gain": -0.2, "interval": [-0.35, -0.06], "support": 10},
            },
            "confidence": 0.95,
        },
        "seconds": {"total": 12.5},
        "config": {"approach": {"name": "probe"}},
        "environment": {"python": "3.11.7"},
        "card": {"license": "Apache-2.0", "origin": "https://example.org/<b>", "mean": [0.5, 0.5]},
        "files": {"model/head.safetensors": "ab" * 32},
    }


HISTORY = [
    {
        "stage": stage,
        "epoch": e,
        "train_loss": None if e == 0 else 1 / e,
        "valid_loss": 1.5,
        "valid_accuracy": e / 4,
    }
    for stage in ("finetune", "<script>")
    for e in range(3)
]


def folder_with(path: Path, result: Any, history: Any = None, mistakes: Any = None) -> Path:
    (path / "result.json").write_text(json.dumps(result))
    if history is not None:
        (path / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in history))
    if mistakes is not None:
        (path / "mistakes.json").write_text(json.dumps(mistakes))
    return path


def mistakes(preview: Any = PIXEL) -> list[dict[str, Any]]:
    return [{"name": EVIL[0], "actual": EVIL[1], "predicted": EVIL[0], "confidence": 0.99, "preview": preview}]


class Tags(HTMLParser):
    """Every start tag with its attributes; fails on a tag that is closed out of turn."""

    VOID = frozenset({"meta", "br", "img"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"


def words(page: str) -> str:
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    return " ".join(text.split())


def test_the_verdict_is_shown_in_words_and_numbers(tmp_path: Path) -> None:
    page = words(render(folder_with(tmp_path, example(), HISTORY, mistakes())))
    assert "The pretrained model helped" in page
    assert "helped: +11.3 points over training from scratch [8.9, 13.6]" in page
    assert (
        "Of every 100 new pictures this model gets about 11 more right than the same from scratch; allowing "
        "for chance in the test, the true difference lies between 8.9 and 14 more (95% confidence)." in page
    )
    assert "it clearly got worse at 1 class" in page
    assert "−20.0 [−35.0, −6.0]" in page
    for shown in ("87.4%", "[84.1, 90.2]", "87.1%", "86.2%", "86.6%", "4.3%", "76.1%", "4 min 10 s", "88.1%"):
        assert shown in page


@pytest.mark.parametrize(
    ("answer", "gain", "interval", "expected"),
    [
        ("hurt", -0.042, [-0.071, -0.012], "about 4.2 fewer right than it; allowing for chance in the test, "
         "the true difference lies between 1.2 and 7.1 fewer. Prefer the baseline"),
        ("no clear gain", 0.006, [-0.018, 0.03], "about 0.6 more right than it, but that can be chance: "
         "the true difference may be anything between 1.8 fewer and 3.0 more. More test pictures"),
    ],
)  # fmt: skip
def test_the_other_verdicts(tmp_path: Path, answer: str, gain: float, interval: list[float], expected: str) -> None:
    comparisons = [
        {"baseline": "pixels", "title": "pixels", "gain": 0.3, "interval": [0.2, 0.4]},
        {"baseline": "scratch", "title": "it", "gain": gain, "interval": interval},
    ]
    result = example() | {"verdict": {"answer": answer, "summary": "", "comparisons": comparisons}}
    page = words(render(folder_with(tmp_path, result)))
    assert expected in page  # the sentence is about the comparison that the verdict rests on


@pytest.mark.parametrize("verdict", [None, {}, "absent"])
def test_without_a_baseline_no_verdict_is_claimed(tmp_path: Path, verdict: Any) -> None:
    result = example() | {"verdict": None, "baselines": {}}
    if verdict == "absent":
        del result["verdict"]
    page = words(render(folder_with(tmp_path, result)))
    assert "No verdict" in page
    assert "No baseline was trained beside this model, so nothing here shows whether" in page
    assert "helped:" not in page


@pytest.mark.parametrize("missing", sorted(example()))
def test_every_entry_may_be_missing_or_null(tmp_path: Path, missing: str) -> None:
    result = example()
    del result[missing]
    Tags(render(folder_with(tmp_path, result, HISTORY, mistakes())))
    Tags(render(folder_with(tmp_path, example() | {missing: None}, HISTORY, mistakes())))


@pytest.mark.parametrize("table", ["data", "scores", "verdict"])
def test_entries_within_may_be_missing_or_null(tmp_path: Path, table: str) -> None:
    for name in example()[table]:
        result = example()
        del result[table][name]
        Tags(render(folder_with(tmp_path, result)))
        result[table][name] = None
        Tags(render(folder_with(tmp_path, result)))


def test_what_was_tried_on_a_target_is_a_table_and_its_warnings_stand_on_top(tmp_path: Path) -> None:
    result = example()
    result["adaptation"] = {
        "candidates": [{"name": "source_only", "reverse": 0.657, "seconds": 0.4}, {"name": EVIL[0], "reverse": 0.773}],
        "warnings": ["the domains are far apart"],
    }
    result["reasons"] = ["source_only is kept", "also tried: adabn", "warning: the domains are far apart"]
    page = render(folder_with(tmp_path, result))
    assert page.index("the domains are far apart") < page.index("Scores on the test samples")
    assert page.count("the domains are far apart") == 1 and "also tried" not in page and "source_only is kept" in page
    assert "Tried on the target" in page and "65.7%" in page and "77.3%" in page and EVIL[0] not in page
    assert "Candidates, compared on the validation" in page and "validation samples, which choices were made on" in page
    result["data"]["target"] = {"origin": "clips", "samples": 40}
    page = render(folder_with(tmp_path, result))
    assert "Candidates, compared on the validation" not in page, "the validation samples are of the source"
    assert "which choices were made on" not in page and "The validation samples are of the source" in page


def test_an_empty_result_is_a_report(tmp_path: Path) -> None:
    page = render(folder_with(tmp_path, {}, history=[], mistakes=[]))
    assert [attributes["id"] for tag, attributes in Tags(page).found if tag == "section"] == [
        "verdict",
        "reproduce",
    ]


@pytest.mark.parametrize("classes", [EVIL[:2], EVIL, [*EVIL, *map(str, range(56))]])
def test_names_are_shown_as_text_and_nothing_runs(tmp_path: Path, classes: list[str]) -> None:
    page = render(folder_with(tmp_path, example(classes), HISTORY, mistakes()))
    assert "<script" not in page.lower()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    found = Tags(page).found
    assert not [name for _, attributes in found for name in attributes if name.startswith("on")]
    assert not {tag for tag, _ in found} & {
        "script",
        "iframe",
        "object",
        "embed",
        "link",
        "base",
        "form",
        "b",
    }
    if len(classes) > 2:
        assert "$x_1$ {{ 7 * 7 }} שלום" in page


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    page = render(folder_with(tmp_path, example(), HISTORY, mistakes()))
    found = Tags(page).found
    loaded = [a[name] or "" for _, a in found for name in ("src", "href", "srcset", "data") if name in a]
    assert loaded
    assert all(address.startswith(("#", "data:image/")) for address in loaded)
    assert "url(" not in page
    assert "@import" not in page
    policies = [a["content"] or "" for _, a in found if a.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")


@pytest.mark.parametrize(
    "preview",
    [
        "javascript:alert(1)",
        "https://example.org/x.png",
        "data:text/html;base64,AAAA",
        "data:image/svg+xml;base64,AAAA",
        PIXEL + '" onerror="alert(1)',
        PIXEL + "\n",
        None,
        7,
    ],
)
def test_a_preview_that_is_no_inline_picture_is_left_out(tmp_path: Path, preview: Any) -> None:
    page = render(folder_with(tmp_path, example(), mistakes=mistakes(preview)))
    assert "no preview" in page
    assert "<img" not in page
    assert not isinstance(preview, str) or preview not in page


def test_a_preview_that_is_one_is_shown(tmp_path: Path) -> None:
    pictures = [a for t, a in Tags(render(folder_with(tmp_path, {}, mistakes=mistakes()))).found if t == "img"]
    assert [(a["src"], a["alt"]) for a in pictures] == [(PIXEL, f"test sample {EVIL[0]}")]


@pytest.mark.parametrize("modality", ["text", "table"])
@pytest.mark.parametrize("excerpt", ["<script>alert(1)</script> & so on", PIXEL, "javascript:alert(1)"])
def test_an_excerpt_of_a_text_is_shown_as_text(tmp_path: Path, modality: str, excerpt: str) -> None:
    page = render(folder_with(tmp_path, example() | {"modality": modality}, mistakes=mistakes(excerpt)))
    assert "<img" not in page
    assert "no preview" not in page
    assert "<script>alert" not in page
    [block] = re.findall(r"<blockquote[^>]*>(.*?)</blockquote>", page)
    assert html.unescape(block) == excerpt


def test_many_classes_get_pairs_and_a_map_in_place_of_a_matrix(tmp_path: Path) -> None:
    few, many = (render(folder_with(tmp_path, example([f"class {i}" for i in range(n)]))) for n in (30, 31))
    assert 'class="heat"' in few
    assert 'class="map"' not in few
    assert 'class="heat"' not in many
    assert 'class="map"' in many
    assert "Most confused pairs (20 of 31)" in many


def test_a_confusion_matrix_that_does_not_fit_is_named(tmp_path: Path) -> None:
    result = example()
    result["scores"]["confusion"] = [[1, 2], [3]]
    assert "it does not fit the 4 classes" in render(folder_with(tmp_path, result))


def test_numbers_that_are_none_leave_a_gap(tmp_path: Path) -> None:
    nan = float("nan")
    history = [{"stage": "finetune", "epoch": e, "train_loss": nan, "valid_loss": 0.5} for e in range(2)]
    history.append({"stage": "other", "epoch": 0, "train_loss": None, "valid_loss": None})
    result = example()
    result["scores"]["accuracy"] = nan
    page = render(folder_with(tmp_path, result, history))
    assert "nan" not in words(page).lower()
    assert "best 0.5 at epoch 0" in page
    assert "Stage: <bdi>other" not in page


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, example(), HISTORY, mistakes())
    assert render(folder) == render(folder)
    assert write(folder).read_bytes() == render(folder).encode()


def test_write_replaces_the_old_report_and_leaves_no_draft(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, example())
    (folder / "report.html").write_text("old")
    path = write(folder)
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sorted(p.name for p in folder.iterdir()) == ["report.html", "result.json"]
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((folder / "result.json").stat().st_mode)


def test_a_report_that_cannot_be_written_is_refused_and_leaves_no_draft(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, example())
    (folder / "report.html").mkdir()
    with pytest.raises(RunError, match="cannot be written"):
        write(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["report.html", "result.json"]


def test_how_to_do_it_again(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, example() | {"run": "my runs/1; rm x"})
    assert "headstart rerun &#39;my runs/1; rm x&#39;" in render(folder)
    assert "approach.name = probe" in render(folder)
    (folder / "run.toml").write_text('model = "embedded:image"  # </code>')
    assert "model = &#34;embedded:image&#34;  # &lt;/code&gt;" in render(folder)


def test_bytes_that_are_no_text_in_a_name(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"data": {"origin": "caf\\udce9"}}')
    assert "caf?" in write(tmp_path).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("result.json", None, "does not exist"),
        ("result.json", "[1]", "expected a JSON object, got list"),
        ("result.json", '{"run', "is damaged"),
        ("history.jsonl", '{"epoch": 0}\n{"epo', "line 2 is damaged"),
        ("history.jsonl", "7\n", "expected only JSON objects"),
        ("mistakes.json", '{"name": 1}', "expected only JSON objects"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    folder = folder_with(tmp_path, example())
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    with pytest.raises(RunError, match=message):
        render(folder)


def test_tables_and_pictures_say_what_they_are(tmp_path: Path) -> None:
    found = Tags(render(folder_with(tmp_path, example(), HISTORY, mistakes()))).found
    assert found[0] == ("html", {"lang": "en"})
    assert all(a.get("scope") in ("col", "row") for tag, a in found if tag == "th")
    assert all(a.get("aria-label") or a.get("aria-hidden") for tag, a in found if tag == "svg")
    assert all("alt" in a for tag, a in found if tag == "img")
    ids = [a["id"] for _, a in found if "id" in a]
    assert len(ids) == len(set(ids))
    assert all((a["href"] or "")[1:] in ids for _, a in found if "href" in a)
