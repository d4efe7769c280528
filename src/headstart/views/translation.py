"""Back-translation by any sequence-to-sequence model of the transformers library, and which translations are kept.

Only safetensors weights are loaded, and no code of a model's repository is run. Translating is done once, by beam search,
so it is the same every time; the store keeps it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart import solvers
from headstart.data.augment import WHERE
from headstart.data.augment.text.backtranslate import Backtranslate
from headstart.data.dataset import Dataset, content_key
from headstart.data.modalities.text import Text
from headstart.errors import ConfigError, Incompatible, ModelError
from headstart.features.extract import extract
from headstart.models import hub
from headstart.models.backbone import Backbone, Features
from headstart.progress import say, track
from headstart.store import Store
from headstart.tasks import Task, classes_of
from headstart.training.run import Run

BATCH = 16  # texts translated at once
BEAMS = 4
LONGEST = 256  # tokens of a translation
SAVED = 8 * BATCH  # texts between two writes to the store
TOO_LONG = "\0"  # stands in the store for the translation of a text that the model cannot read whole


class Translator:
    """A translation model with its tokeniser, for one direction."""

    def __init__(self, reference: str, source: str = "", target: str = "") -> None:
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        self.reference, self.source, self.target = reference, source, target
        folder = placed(reference)
        try:
            self.tokeniser: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            self.model: Any = AutoModelForSeq2SeqLM.from_pretrained(
                folder, use_safetensors=True, trust_remote_code=False, dtype=torch.float32
            ).eval()
        except ImportError:
            raise
        except Exception as problem:  # transformers raises many kinds
            said = (str(problem).splitlines() or [""])[0][:200]
            raise ModelError(
                f"{reference} cannot be loaded as a translation model ({type(problem).__name__}: {said}). Expected a "
                "sequence-to-sequence model of transformers (Marian, T5, M2M100, NLLB) with model.safetensors and its tokeniser."
            ) from problem
        self.prefix = ""
        if source and self.model.config.model_type in ("t5", "mt5"):  # told in words what to do
            self.prefix = f"translate {source} to {target}: "
        self.first = None if self.prefix else self._first()
        length = getattr(self.model.config, "max_position_embeddings", None) or LONGEST
        self.longest = int(min(LONGEST, length))

    def _first(self) -> int | None:
        """The token of the target language, of a model that knows several."""
        if not self.source:
            return None
        known = getattr(self.tokeniser, "lang_code_to_id", None) or self.tokeniser.get_vocab()
        names = {language: [f"__{language}__", language] for language in (self.source, self.target)}
        codes = {language: next((known[name] for name in found if name in known), None) for language, found in names.items()}
        if lost := [language for language, code in codes.items() if code is None]:
            raise ConfigError(
                f"{WHERE} (backtranslate): {self.reference} knows no language {lost[0]!r}; expected a code as its tokeniser "
                "has it, such as en (M2M100) or eng_Latn (NLLB)"
            )
        self.tokeniser.src_lang = self.source
        return codes[self.target]

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> list[str]:
        """One translation of each text, the likeliest that a beam search finds."""
        asked = [self.prefix + text for text in texts]
        inputs = self.tokeniser(asked, return_tensors="pt", padding=True, truncation=True, max_length=self.longest)
        inputs.pop("token_type_ids", None)
        first = {} if self.first is None else {"forced_bos_token_id": self.first}
        # of this length, whatever the checkpoint's own settings say of it
        tokens = self.model.generate(**inputs, num_beams=BEAMS, do_sample=False, max_length=None,
                                     max_new_tokens=self.longest - 1, **first)  # fmt: skip
        return [text.strip() for text in self.tokeniser.batch_decode(tokens, skip_special_tokens=True)]

    def cut(self, text: str) -> bool:
        """Whether the text is longer than the model reads."""
        return len(self.tokeniser(self.prefix + text, truncation=False, verbose=False)["input_ids"]) > self.longest


def placed(reference: str) -> Path:
    """The folder of a translation model: a local one, or a repository of the hub, fetched where it is not here.

    Raises:
        UnsafeFile: the hub has its weights only as pickles.
        ModelError: there is no such model, or the hub cannot be asked.
    """
    local = Path(reference).expanduser()
    return local if local.is_dir() else hub.fetch_repository(reference.removeprefix("transformers:"), reference).place


def translated(step: Backtranslate, dataset: Dataset, backbone: Backbone, task: Task, run: Run) -> Backtranslate:
    """The augmentation with the translations of a labelled data set that pass: alike in the features, and in the class.

    Raises:
        ConfigError: no model is named.
        Incompatible: the backbone takes no texts.
    """
    num_classes = len(classes_of(task, "Back-translation, whose translations a probe has to pass,"))
    if not step.there:
        raise ConfigError(f"{WHERE}: {step.available()}")
    if backbone.card.modality != "text":
        raise Incompatible(f"backtranslate is for texts, and {backbone.reference} takes {backbone.card.modality!r}")
    decode = Text().decode
    texts = [decode(item, None, name) for item, name in zip(dataset.items, dataset.names, strict=True)]
    others = there_and_back(step, texts, run.store)
    new = np.array([place for place, text in enumerate(texts) if _words(others[place]) not in ([], _words(text))], int)
    say(f"{run.stage or 'augment'}: {len(new)} of {len(texts)} texts came back in other words from {step.there}")
    if not len(new):
        return step.knowing({})
    labels = task.encode(dataset.labels or [])
    table = extract(backbone, dataset, run.store).vectors
    changed = [others[place] for place in new]
    names = [dataset.names[place] for place in new]
    back = extract(backbone, Dataset(changed, names, None, "text"), run.store).vectors
    fitted = solvers.fit("logistic", table, labels, num_classes, seed=run.seed, groups=dataset.groups)
    with torch.inference_mode():
        found = fitted.head(Features(torch.from_numpy(back))).numpy().argmax(1)
    # about the mean of the texts: of many encoders all features point the same way, and everything would be alike
    near = cosines(table[new] - table.mean(0), back - table.mean(0)) >= step.similarity
    same = found == labels[new]
    say(f"{run.stage or 'augment'}: of these, {int((~near).sum())} are too unlike the original (cosine below "
        f"{step.similarity:g}), and {int((near & ~same).sum())} others look like another class to a probe; "
        f"{int((near & same).sum())} are kept")  # fmt: skip
    kept: dict[str, tuple[str, ...]] = {}
    for place, other, passes in zip(new, changed, near & same, strict=True):
        if passes:
            kept[texts[place]] = (other,)
    return step.knowing(kept)


def there_and_back(step: Backtranslate, texts: Sequence[str], store: Store | None) -> list[str]:
    """Each text as it comes back; "" for texts longer than the model reads, which are left out, and said."""
    space = f"backtranslation-{hashlib.blake2b(repr(identity(step)).encode(), digest_size=16).hexdigest()}"
    keys = [content_key(text.encode()) for text in texts]
    known = {key: blob.decode() for key, blob in (store.get_many(space, keys) if store else {}).items()}
    todo = sorted({key: text for key, text in zip(keys, texts, strict=True) if key not in known}.items(), key=_length)
    if todo:
        there = Translator(step.there, step.source, step.pivot)
        back = Translator(step.back or step.there, step.pivot, step.source)
        known |= {key: TOO_LONG if there.cut(text) else "" for key, text in todo}
        whole = [(key, text) for key, text in todo if known[key] != TOO_LONG]
        if store:
            store.put_many(space, {key: TOO_LONG.encode() for key, _ in todo if known[key] == TOO_LONG})
        groups = [whole[i : i + SAVED] for i in range(0, len(whole), SAVED)]
        for group in track(groups, "back-translation", len(groups)):
            for some in (group[i : i + BATCH] for i in range(0, len(group), BATCH)):
                came = back(there([text for _, text in some]))
                known |= {key: text for (key, _), text in zip(some, came, strict=True)}
            if store:
                store.put_many(space, {key: known[key].encode() for key, _ in group})
    if longer := sum(known[key] == TOO_LONG for key in keys):
        say(f"note: {longer} of {len(texts)} texts are longer than {step.there} reads; they are not translated")
    return ["" if known[key] == TOO_LONG else known[key] for key in keys]


def identity(step: Backtranslate) -> list[Any]:
    """What decides a translation: the models (their files' names, sizes and times of change) and the languages."""
    found: list[Any] = [step.source, step.pivot, BEAMS, LONGEST]
    for reference in dict.fromkeys((step.there, step.back or step.there)):
        folder = placed(reference)
        files = sorted(path for path in folder.iterdir() if path.is_file())
        found.append([(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files])
    return found


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n,) of the rows of two arrays (n, dim)."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.asarray((one * other).sum(1) / np.maximum(lengths, 1e-12))


def _words(text: str) -> list[str]:
    return "".join(letter if letter.isalnum() else " " for letter in text.casefold()).split()


def _length(entry: tuple[bytes, str]) -> tuple[int, bytes]:
    return len(entry[1]), entry[0]
