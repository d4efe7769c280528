"""What the numbers of a report are called and how they are said in plain English."""

from __future__ import annotations

import math
from typing import Any

from headstart.data.labels import parted

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"  # stands where there is no number

ANSWERS = {  # answer -> (sign, headline); the sign says in shape what the colour says
    "helped": ("\N{BLACK UP-POINTING TRIANGLE}", "The pretrained model helped"),
    "no clear gain": ("\N{BLACK CIRCLE}", "No clear gain from the pretrained model"),
    "hurt": ("\N{BLACK DOWN-POINTING TRIANGLE}", "The pretrained model hurt"),
}
ADAPTED = {  # the same where a target domain was adapted to
    "helped": ("\N{BLACK UP-POINTING TRIANGLE}", "Adapting to the target helped"),
    "no clear gain": ("\N{BLACK CIRCLE}", "No clear gain from adapting to the target"),
    "hurt": ("\N{BLACK DOWN-POINTING TRIANGLE}", "Adapting to the target hurt"),
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
    "r2": (
        "R²",
        "How much of the spread of the values it explains: 100% is perfect, 0% is no better than the mean.",
        "1 less the squared error as a share of the variance of the test values; below zero, always answering the mean "
        "would be better. Of several outputs, the mean.",
    ),
    "mae": (
        "Mean absolute error",
        "How far it is off on average, in the unit of the labels (of grades: in steps).",
        "The mean distance between the predicted and the actual value.",
    ),
    "rmse": (
        "Root mean square error",
        "As the mean absolute error, but large errors count more.",
        "The square root of the mean squared distance between the predicted and the actual value.",
    ),
    "closeness": (
        "Closeness",
        "100% is the right grade every time, 0% the other end of the scale.",
        "1 less the mean distance in grades as a share of the whole scale.",
    ),
    "kappa": (
        "Quadratic kappa",
        "Agreement with the actual grades beyond chance; far misses count more.",
        "Quadratic weighted kappa: 1 less the squared distances as a share of those that chance would give.",
    ),
    "f1_samples": (
        "F1 of a sample's labels",
        "How well the labels given to a sample agree with its actual ones.",
        "The harmonic mean of precision and recall of the labels of each sample, averaged over the samples.",
    ),
    "f1_micro": (
        "Micro F1",
        "Precision and recall of all given labels in one number.",
        "The harmonic mean of precision and recall over all pairs of sample and label.",
    ),
    "f1_macro": (
        "Macro F1",
        "The same for each label, every label counting alike however rare.",
        "The mean over labels of the harmonic mean of precision and recall.",
    ),
    "mean_average_precision": (
        "Mean average precision",
        "How well samples with a label are ranked above those without; needs no threshold.",
        "For each label the mean precision at every sample that has it, averaged over the labels.",
    ),
    "average": (
        "Average of the tasks",
        "The mean of what each task is judged by.",
        "Accuracy, R², F1 or closeness of each task, averaged.",
    ),
    "calibration_error": (
        "Calibration error",
        "How far its stated confidence is from how often it is right; 0 is best.",
        "When the model says 90% sure it should be right 9 times in 10. This is the average distance between "
        "the confidence it states and the accuracy it has.",
    ),
}


PLAIN = frozenset(("mae", "rmse"))  # scores with a unit of their own; the others are shares
ACCURACY = {"name": "accuracy", "title": "accuracy", "gain": "points"}


def metric_of(result: dict[str, Any]) -> dict[str, str]:
    """What choices and the verdict went by."""
    found = result.get("metric")
    return {**ACCURACY, **{key: str(value) for key, value in found.items()}} if isinstance(found, dict) else ACCURACY


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
    """(0.089, 0.136) -> [8.9, 13.6]; of a gain that may be anything: [too few to say]"""
    pair = interval(value)
    if pair is None:
        return ""
    if pair[0] <= -1 and pair[1] >= 1:
        return "[too few to say]"
    return f"[{100 * pair[0]:.1f}, {100 * pair[1]:.1f}]".replace("-", MINUS)


def plain(value: Any) -> str:
    """50.268 -> 50.27"""
    found = number(value)
    return NONE if found is None else f"{found:.4g}".replace("-", MINUS)


def plain_bracket(value: Any) -> str:
    pair = interval(value)
    return "" if pair is None else f"[{plain(pair[0])}, {plain(pair[1])}]"


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
        if why := result.get("no_verdict"):
            return {"kind": "none", "sign": "?", "title": "No verdict", "sentence": f"{why[:1].upper()}{why[1:]}.", "summary": ""}
        why = (
            "Baselines were trained, but they were not compared with this model on the test samples"
            if trained
            else "No baseline was trained beside this model"
        )
        sentence = f"{why}, so nothing here shows whether the pretrained model helped, and none is claimed."
        return {"kind": "none", "sign": "?", "title": "No verdict", "sentence": sentence, "summary": ""}
    answer = str(verdict.get("answer", "no answer"))
    data = result.get("data")
    answers = ADAPTED if isinstance(data, dict) and data.get("target") else ANSWERS
    sign, title = answers.get(answer, ("?", answer))
    return {
        "kind": answer.replace(" ", "-") if answer in ANSWERS else "none",
        "sign": sign,
        "title": title,
        "sentence": _sentence(answer, verdict, SAMPLES.get(str(result.get("modality")), "samples"), metric_of(result)),
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


def _sentence(answer: str, verdict: dict[str, Any], samples: str, metric: dict[str, str]) -> str:
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
    if metric["name"] != "accuracy":
        high = "higher" if gain >= 0 else "lower"
        said = f"The {metric['title']} of this model is {_size(gain)} points {high} than that of {baseline}"
        return (
            f"{said}; allowing for chance in the test, the true difference lies {_signed(*pair)}{sure}."
            if pair
            else said
        )
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


def _signed(low: float, high: float) -> str:
    return f"between {points(low)} and {points(high)}"


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


def in_words(label: Any) -> str:
    """A label as a person reads it: those of several columns side by side, as answers are."""
    parts = parted(str(label))
    if parts is None:
        return str(label)
    return ", ".join(f"{name} {value}" for name, value in parts.items() if value is not None)
