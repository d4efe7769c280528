"""What the numbers of a report are called and how they are said in plain English."""

from __future__ import annotations

import math
from typing import Any

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"  # stands where there is no number

ANSWERS = {  # answer -> (sign, headline); the sign says in shape what the colour says
    "helped": ("\N{BLACK UP-POINTING TRIANGLE}", "The pretrained model helped"),
    "no clear gain": ("\N{BLACK CIRCLE}", "No clear gain from the pretrained model"),
    "hurt": ("\N{BLACK DOWN-POINTING TRIANGLE}", "The pretrained model hurt"),
}
SAMPLES = {"image": "pictures", "text": "texts", "audio": "recordings", "table": "rows"}

SCORES = {  # name -> (title, explanation, long explanation)
    "accuracy": (
        "Accuracy",
        "How many of 100 new samples get the right answer.",
        "The share of test samples whose predicted class is the actual one. The bracket is the range in "
        "which the true accuracy probably lies, given how many test samples there were.",
    ),
    "precision": (
        "Precision",
        "When it names a class, how often that is right.",
        "Of the samples predicted to be of a class, the share that really are; averaged over the classes, "
        "each counting the same however rare it is.",
    ),
    "recall": (
        "Recall",
        "Of the samples of a class, how many it finds.",
        "Of the samples that really are of a class, the share predicted to be; averaged over the classes, "
        "each counting the same however rare it is.",
    ),
    "f1": (
        "F1",
        "Precision and recall in one number; low if either is.",
        "The harmonic mean of precision and recall of each class, averaged over the classes.",
    ),
    "calibration_error": (
        "Calibration error",
        "How far its stated confidence is from how often it is right; 0 is best.",
        "When the model says 90% sure it should be right 9 times in 10. This is the average distance between "
        "the confidence it states and the accuracy it has.",
    ),
}


def number(value: Any) -> float | None:
    """``value`` if it is a finite number, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def interval(value: Any) -> tuple[float, float] | None:
    """``value`` if it is a pair of finite numbers, else None."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return None
    low, high = number(value[0]), number(value[1])
    return None if low is None or high is None else (low, high)


def percent(value: Any, digits: int = 1) -> str:
    """0.8742 -> 87.4%"""
    share = number(value)
    return NONE if share is None else f"{100 * share:.{digits}f}%".replace("-", MINUS)


def points(value: Any) -> str:
    """0.113 -> +11.3"""
    gain = number(value)
    return NONE if gain is None else f"{100 * gain:+.1f}".replace("-", MINUS)


def bracket(value: Any) -> str:
    """(0.089, 0.136) -> [8.9, 13.6]"""
    pair = interval(value)
    if pair is None:
        return ""
    return f"[{100 * pair[0]:.1f}, {100 * pair[1]:.1f}]".replace("-", MINUS)


def duration(value: Any) -> str:
    """3.21 -> 3.2 s; 250 -> 4 min 10 s"""
    seconds = number(value)
    if seconds is None:
        return NONE
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def headline(result: dict[str, Any]) -> dict[str, str]:
    """The verdict as a sign, a title and a plain sentence; ``kind`` is its colour."""
    verdict = result.get("verdict")
    if not isinstance(verdict, dict):
        trained = bool(result.get("baselines"))
        why = (
            "Baselines were trained, but they were not compared with this model on the test samples"
            if trained
            else "No baseline was trained beside this model"
        )
        sentence = f"{why}, so nothing here shows whether the pretrained model helped, and none is claimed."
        return {"kind": "none", "sign": "?", "title": "No verdict", "sentence": sentence, "summary": ""}
    answer = str(verdict.get("answer", "no answer"))
    sign, title = ANSWERS.get(answer, ("?", answer))
    return {
        "kind": answer.replace(" ", "-") if answer in ANSWERS else "none",
        "sign": sign,
        "title": title,
        "sentence": _sentence(answer, verdict, SAMPLES.get(str(result.get("modality")), "samples")),
        "summary": str(verdict.get("summary") or ""),
    }


def answer_of(comparison: dict[str, Any]) -> str:
    """What one comparison shows: a clear answer needs an interval that leaves out zero."""
    pair = interval(comparison.get("interval"))
    if comparison.get("answer") in ANSWERS:
        return str(comparison["answer"])
    if pair is None or pair[0] <= 0 <= pair[1]:
        return "no clear gain"
    return "helped" if pair[0] > 0 else "hurt"


def _sentence(answer: str, verdict: dict[str, Any], samples: str) -> str:
    comparisons = [entry for entry in verdict.get("comparisons") or [] if isinstance(entry, dict)]
    if not comparisons:
        return ""
    # the comparison that speaks for the verdict; with several baselines not every one of them does
    speaking = [entry for entry in comparisons if answer_of(entry) == answer] or comparisons
    chosen = min(speaking, key=lambda entry: float(entry.get("gain") or 0.0))
    gain, pair = number(chosen.get("gain")), interval(chosen.get("interval"))
    baseline = chosen.get("title") or chosen.get("baseline") or "the baseline"
    if gain is None:
        return ""
    sure = f" ({percent(verdict.get('confidence'), 0)} confidence)" if number(verdict.get("confidence")) else ""
    between = f"{_between(*pair)}{sure}" if pair else ""
    if answer == "no clear gain":
        chance = f": the true difference may be anything {between}" if pair else ""
        return (
            f"Of every 100 new {samples} this model gets about {_more(gain)} right than {baseline}, "
            f"but that can be chance{chance}. More test {samples} could settle it."
        )
    chance = f"; allowing for chance in the test, the true difference lies {between}" if pair else ""
    advice = " Prefer the baseline, or try another pretrained model." if answer == "hurt" else ""
    rights = f"this model gets about {_more(gain)} right than {baseline}"
    return f"Of every 100 new {samples} {rights}{chance}.{advice}"


def _more(gain: float) -> str:
    return f"{_size(gain)} {'fewer' if gain < 0 else 'more'}"


def _between(low: float, high: float) -> str:
    near, far = sorted((low, high), key=abs)
    if (low < 0) == (high < 0):
        return f"between {_size(near)} and {_more(far)}"
    return f"between {_more(low)} and {_more(high)}"


def _size(gain: float) -> str:
    size = abs(100 * gain)
    return f"{size:.0f}" if size >= 9.95 else f"{size:.1f}"
