"""The data against what the checkpoint expects: range, size, sampling rate, length against the tokeniser's limit."""

from __future__ import annotations

import numpy as np

from headstart import plugins
from headstart.auditing import Evidence, Finding, Suspect
from headstart.data.modalities import Modality, counted, nouns
from headstart.models.card import ModelCard

ORDER = 40
NEEDS = frozenset({"features"})
BEFORE_FIT = False
OFF = (
    1.75  # standard deviations of the pretraining data: a set's mean further away means other pictures or another range
)
NARROW, WIDE = 0.35, 2.5  # the set's standard deviation against that of the pretraining data
USED = 0.25  # share of the usual range of values, below which a single picture is stored in another range
ENLARGED = 1.5  # from which factor on enlarging shows
ONE_COLOUR = 4 / 255  # below which a picture is blank, which is another matter
SOME = 48  # pictures that tell how well the statistics fit
QUIET = 30.0  # dB below the usual loudness


def check(evidence: Evidence) -> list[Finding] | str:
    assert evidence.backbone is not None
    if not len(evidence.readable):
        return "no sample can be read"
    card = evidence.backbone.card
    checks = {"image": _pictures, "audio": _sounds, "text": _texts}
    if evidence.dataset.modality not in checks:
        return f"samples of the kind {evidence.dataset.modality!r} are prepared by what the training rows are"
    return checks[evidence.dataset.modality](evidence, card)


def _pictures(evidence: Evidence, card: ModelCard) -> list[Finding]:
    found, dataset = evidence.measures, evidence.dataset
    findings = _other_range(evidence) + _other_statistics(evidence)
    if card.mean is not None and card.std is not None and "red" in found:
        low, high = card.value_range if len(card.value_range) == 2 else (0.0, 1.0)
        colours = np.array([np.nanmean(found[name]) for name in ("red", "green", "blue")])
        if card.channel_order == "BGR":
            colours = colours[::-1]
        # the spread within a picture and the spread of their means add up to that of all pixels
        spread = float(np.sqrt(np.nanmean(found["deviation"] ** 2) + np.nanvar(found["red"])))
        shift = (low + colours * (high - low) - np.array(card.mean)) / np.array(card.std)  # (3,)
        scale = spread * (high - low) / float(np.mean(card.std))
        facts = {"mean": [round(float(v), 3) for v in shift], "deviation": round(scale, 3)}
        if np.abs(shift).max() > OFF or not NARROW <= scale <= WIDE:
            message = (f"Prepared as {evidence.backbone.reference if evidence.backbone else 'the model'} wants them, the "
                       f"pictures have a mean of {', '.join(f'{v:+.1f}' for v in shift)} and a deviation of {scale:.2f}; "
                       "those it was trained on have 0 and 1.")  # fmt: skip
            findings.append(Finding("warning", "inputs", message, evidence=facts,
                                    fix="Check the model's mean and std, or how the pictures were stored."))  # fmt: skip
    if card.input_size is not None and "width" in found:
        side = min(card.input_size[1:]) / card.crop_fraction
        short = np.fmin(found["width"], found["height"])
        small = np.flatnonzero(short * ENLARGED < side)
        if len(small) > len(dataset) / 2:
            factor = float(side / np.nanmedian(short))
            message = (f"{counted(len(small), 'image')} of {len(dataset)} are smaller than the {side:.0f} pixels that the model "
                       f"takes: they are enlarged, {factor:.1f} times at the median.")  # fmt: skip
            findings.append(Finding("info", "inputs", message, evidence={"median_side": float(np.nanmedian(short))},
                                    fix="Take larger pictures if there are any, or a model with a smaller input "
                                        "(--model REF?input_size=3,128,128)."))  # fmt: skip
    return findings


def _other_statistics(evidence: Evidence) -> list[Finding]:
    """The checkpoint itself says that its card is wrong: its first batch norm fits other statistics."""
    from headstart.auditing._norms import better_statistics
    from headstart.models.pictures import PictureBackbone

    backbone, dataset = evidence.backbone, evidence.dataset
    if not isinstance(backbone, PictureBackbone):
        return []
    modality: Modality = plugins.variant("data.modalities", dataset.modality, Modality)()
    chosen = np.random.default_rng(evidence.seed).permutation(evidence.readable)[:SOME]
    values = [np.asarray(modality.decode(dataset.items[i], None, dataset.names[i])) for i in chosen]
    found = better_statistics(backbone, values)
    if found is None:
        return []
    name, fits, stated = found
    message = (f"The card of {backbone.reference} seems to state other statistics than it was trained with: its first batch "
               f"norm fits {name} (distance {fits:.2f}) far better than the card's (distance {stated:.2f}).")  # fmt: skip
    return [Finding("warning", "inputs", message, evidence={"fits": name, "distance": fits, "card": stated},
                    fix="Check mean, std and value_range in its card.json; wrong ones cost many points in silence.")]  # fmt: skip


def _other_range(evidence: Evidence) -> list[Finding]:
    """Pictures that use a small part of the range that the others use: 12 bits in 16, or 0 to 1 kept as bytes."""
    found = evidence.measures
    used = found["high"] - found["low"]
    usual = float(np.nanmedian(used))
    narrow = np.flatnonzero((used < USED * usual) & (used >= ONE_COLOUR))
    if usual <= 0 or not len(narrow) or len(narrow) > 0.2 * len(used):
        return []
    order = narrow[np.argsort(used[narrow])]
    samples = tuple(Suspect(int(i), f"its values span {100 * used[i]:.0f} % of the range; usual is {100 * usual:.0f} %",
                            score=float(1 - used[i] / usual)) for i in order)  # fmt: skip
    message = (
        f"{counted(len(narrow), 'image')} of {len(used)} use a small part of the range of values that the others use."
    )
    return [Finding("warning", "inputs", message, samples, {"usual": usual},
                    "They may be stored in another range (12 bits in 16, 0 to 1 as bytes), or over- or underexposed.")]  # fmt: skip


def _sounds(evidence: Evidence, card: ModelCard) -> list[Finding]:
    found, findings = evidence.measures, []
    if card.sample_rate is not None:
        low = np.flatnonzero(found["rate"] < 0.9 * card.sample_rate)
        if len(low):
            rates = ", ".join(f"{rate:.0f}" for rate in np.unique(found["rate"][low])[:4])
            message = (f"{counted(len(low), 'audio')} of {len(found['rate'])} are sampled at {rates} Hz and the model expects "
                       f"{card.sample_rate} Hz: after resampling the upper part of its spectrum is empty.")  # fmt: skip
            samples = (
                ()
                if len(low) > 0.5 * len(found["rate"])
                else tuple(Suspect(int(i), f"{found['rate'][i]:.0f} Hz") for i in low)
            )
            findings.append(Finding("warning", "inputs", message, samples, {"expected": card.sample_rate},
                                    "Take recordings at the model's rate, or a model for this rate."))  # fmt: skip
    loudness = found["loudness"]
    silent = evidence.scan.findings.get("silent", [])
    usual = float(np.nanmedian(loudness))
    quiet = [int(i) for i in np.flatnonzero(loudness < usual - QUIET) if i not in silent]
    if quiet and len(quiet) < 0.2 * len(loudness):
        samples = tuple(Suspect(i, f"{loudness[i]:.0f} dB; usual is {usual:.0f} dB") for i in quiet)
        message = f"{counted(len(quiet), 'audio')} of {len(loudness)} are more than {QUIET:.0f} dB softer than usual."
        findings.append(Finding("warning", "inputs", message, samples, {"usual": usual},
                                "They may be stored in another range of values, or be nearly silent."))  # fmt: skip
    return findings


def _texts(evidence: Evidence, card: ModelCard) -> list[Finding]:
    backbone, dataset = evidence.backbone, evidence.dataset
    if not card.maximum_length or backbone is None:
        return []
    modality: Modality = plugins.variant("data.modalities", dataset.modality, Modality)()
    # a token is at least a character or so: what is shorter than the limit needs no tokeniser
    long = [int(i) for i in evidence.readable if evidence.measures["characters"][i] > card.maximum_length - 2]
    lost = {i: backbone.cut(modality.decode(dataset.items[i], None, dataset.names[i])) for i in long}
    cut = sorted((i for i in long if lost[i]), key=lambda i: -lost[i])
    if not cut:
        return []
    samples = tuple(
        Suspect(i, f"{lost[i]} tokens at its end are not read", score=lost[i] / (lost[i] + card.maximum_length))
        for i in cut
    )
    message = (f"{counted(len(cut), 'text')} of {len(dataset)} are longer than the {card.maximum_length} tokens that the model "
               f"reads.")  # fmt: skip
    severity = "warning" if len(cut) > 0.05 * len(dataset) else "info"
    return [Finding(severity, "inputs", message, samples, {"limit": card.maximum_length, "share": len(cut) / len(dataset)},  # type: ignore[arg-type]
                    f"Cut these {nouns('text')} into passages, or take a model that reads more.")]  # fmt: skip
