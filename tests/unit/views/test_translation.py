"""Back-translation: tiny random translation models for the code path, a stand-in for the filters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import tiny
import tiny_models
from headstart.approaches.finetune import FineTune
from headstart.data import augment
from headstart.data.augment.text.backtranslate import Backtranslate
from headstart.data.dataset import Dataset
from headstart.errors import ConfigError, Incompatible, ModelError
from headstart.models.backbone import Backbone
from headstart.store import Store
from headstart.training.run import Run
from headstart.views import KEPT, chosen, translation
from headstart.views.translation import Translator, cosines, there_and_back, translated

WORDS = ["<pad>", "</s>", "<unk>", "round", "hollow", "long", "flat", "two", "lines", "the", "a", "very", "__en__", "__de__"]


def model(folder: Path, seed: int = 0, kind: str = "marian") -> Path:
    """A sequence-to-sequence model of transformers with random weights and a tokeniser of whole words."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    torch.manual_seed(seed)
    if kind == "marian":
        shape = transformers.MarianConfig(
            vocab_size=len(WORDS), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=32,
            pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, forced_eos_token_id=1, scale_embedding=True,
        )  # fmt: skip
        network = transformers.MarianMTModel(shape)
    else:
        shape = transformers.T5Config(
            vocab_size=len(WORDS), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, pad_token_id=0, eos_token_id=1,
            decoder_start_token_id=0,
        )  # fmt: skip
        network = transformers.T5ForConditionalGeneration(shape)
    network.save_pretrained(folder, safe_serialization=True)
    tokeniser = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokeniser.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokeniser.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokeniser, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(folder)
    return folder


class Speaker:
    """Stands in for a translation model: there, it writes backwards; back, it says what ``says`` tells."""

    longest = 100
    says: dict[str, str] = {}  # noqa: RUF012
    asked: list[str] = []  # noqa: RUF012

    def __init__(self, reference: str, source: str = "", target: str = "") -> None:
        self.back = reference == "back"

    def cut(self, text: str) -> bool:
        return len(text.split()) > 30

    def __call__(self, texts: Sequence[str]) -> list[str]:
        type(self).asked += texts
        return [self.says.get(text[::-1], text[::-1]) if self.back else text[::-1] for text in texts]


@pytest.fixture
def speaker(monkeypatch: pytest.MonkeyPatch) -> type[Speaker]:
    monkeypatch.setattr(translation, "Translator", Speaker)
    monkeypatch.setattr(translation, "identity", lambda step: [step.there, step.back])
    Speaker.says, Speaker.asked = {}, []
    return Speaker


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return tiny_models.CELLS["transformers-bert"].backbone(tmp_path_factory.mktemp("bert"))


STEP = Backtranslate("there", "back", similarity=-1)


def test_a_marian_model_translates_the_same_way_every_time(tmp_path: Path) -> None:
    there = Translator(str(model(tmp_path / "there")))
    texts = ["round hollow the a", "two lines", "very long flat"]
    one = there(texts)
    assert one == there(texts) and len(one) == 3
    assert all(set(text.split()) <= set(WORDS) for text in one) and not any("<pad>" in text for text in one)
    assert there.longest == 32
    assert there.cut("a " * 40) and not there.cut("a " * 20)
    together = there([*texts, "a " * 25])
    assert together[:3] == one, "padding changes nothing"


def test_the_beam_search_is_the_library_s(tmp_path: Path) -> None:
    import torch
    import transformers

    folder = model(tmp_path / "m", seed=3)
    network = transformers.MarianMTModel.from_pretrained(folder).eval()
    tokeniser = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        tokens = network.generate(**tokeniser(["two lines very"], return_tensors="pt"), num_beams=4, max_new_tokens=31,
                                  max_length=None)  # fmt: skip
    assert Translator(str(folder))(["two lines very"]) == [tokeniser.decode(tokens[0], skip_special_tokens=True).strip()]


def test_a_model_of_several_languages_is_told_which(tmp_path: Path) -> None:
    folder = str(model(tmp_path / "m"))
    there = Translator(folder, "en", "de")
    assert there.first == WORDS.index("__de__") and there.tokeniser.src_lang == "en"
    assert there(["a very long"])
    with pytest.raises(ConfigError, match="knows no language 'fr'; expected a code"):
        Translator(folder, "en", "fr")
    told = Translator(str(model(tmp_path / "t5", kind="t5")), "English", "German")
    assert told.prefix == "translate English to German: " and told.first is None
    assert len(told(["a very long"])) == 1


def test_bad_models_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"cannot be loaded as a translation model .*Expected a sequence-to-sequence"):
        Translator(str(tmp_path / "empty"))
    folder = model(tmp_path / "pickled")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="cannot be loaded as a translation model"):
        Translator(str(folder))


def test_there_and_back_is_computed_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "headstart")
    step = Backtranslate(str(model(tmp_path / "there")), str(model(tmp_path / "back", seed=1)))
    store, texts = Store(tmp_path / "store.sqlite"), ["round hollow the a", "two lines", "a " * 40, "two lines"]
    first = there_and_back(step, texts, store)
    assert first[1] == first[3] and first[2] == ""
    assert "1 of 4 texts are longer than" in caplog.text
    assert there_and_back(step, texts, None) == first
    calls: list[int] = []
    original = Translator.__init__
    try:
        Translator.__init__ = lambda self, *more: calls.append(1)  # type: ignore[assignment,method-assign]
        caplog.clear()
        assert there_and_back(step, texts, store) == first and not calls, "the store knows all of them"
        assert "1 of 4 texts are longer than" in caplog.text, "and that is said again"
    finally:
        Translator.__init__ = original  # type: ignore[method-assign]
    model(tmp_path / "back", seed=2)
    assert there_and_back(step, texts, store) == there_and_back(step, texts, None), "another model, other translations"


def labelled(texts: Sequence[str], labels: Sequence[str]) -> Dataset:
    return Dataset(list(texts), [str(i) for i in range(len(texts))], list(labels), "text", origin="tiny")


def test_what_comes_back_in_the_same_words_is_no_translation(speaker: type[Speaker], bert: Backbone) -> None:
    data = tiny_models.dataset("text", 4)
    first = str(data.items[0])
    speaker.says = {first: f"  {first.upper()}! ", str(data.items[1]): "", str(data.items[2]): str(data.items[2]) + " loop"}
    found = translated(STEP, data, bert, tiny.task(), Run(stage="x"))
    assert found.known is not None
    assert first not in found.known, "another case and other signs are the same words"
    assert str(data.items[1]) not in found.known, "nothing came back"
    assert set(found.known) <= {str(data.items[2])}


def test_the_filter_of_likeness(
    speaker: type[Speaker], bert: Backbone, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whole rows of features stand for texts, so that each cosine is known: 1, 0.6 and -1 about the mean."""
    caplog.set_level("INFO", "headstart")
    data = labelled(["one a", "two b", "three c", "four d"], ["ring", "ring", "bar", "bar"])
    vectors = {"one a": (2, 0), "two b": (2, 0), "three c": (-2, 0), "four d": (-2, 0),
               "alike": (4, 0), "nearly": (3, 4), "unlike": (5, 0)}  # fmt: skip

    class Table:
        def __init__(self, rows: list) -> None:
            self.vectors = np.array(rows, np.float32)

    monkeypatch.setattr(translation, "extract", lambda backbone, some, store: Table([vectors[t] for t in some.items]))
    speaker.says = {"one a": "alike", "two b": "nearly", "three c": "unlike"}

    def kept(similarity: float) -> dict[str, tuple[str, ...]]:
        step = Backtranslate("there", "back", similarity=similarity)
        return dict(translated(step, data, bert, tiny.task(), Run()).known or {})

    assert kept(0.59) == {"one a": ("alike",), "two b": ("nearly",)}
    assert kept(0.61) == {"one a": ("alike",)}
    assert "3 of 4 texts came back in other words" in caplog.text
    assert "2 are too unlike the original (cosine below 0.61), and 0 others look like another class" in caplog.text
    caplog.clear()
    assert kept(-1) == {"one a": ("alike",), "two b": ("nearly",)}, "the third is alike enough, and of another class"
    assert "0 are too unlike the original (cosine below -1), and 1 others look like another class to a probe; 2 are" in (
        caplog.text
    )


def test_cosines_by_hand() -> None:
    found = cosines(np.array([[3.0, 4], [1, 0], [0, 0]]), np.array([[4.0, 3], [-2, 0], [1, 1]]))
    assert np.allclose(found, [24 / 25, -1, 0])


def test_a_training_translates_once_and_a_resumed_one_not_again(
    speaker: type[Speaker], bert: Backbone, tmp_path: Path
) -> None:
    split = tiny_models.split("text")
    speaker.says = {str(text): f"{text} hollow" for text in split.train.items}
    text = "backtranslate:there:back:similarity=-1,delete"
    [first, second] = chosen(text, bert, tiny.task(), split, Run(tmp_path))
    assert isinstance(first, Backtranslate) and second.name == "delete"
    assert first.known and all(others == (f"{given} hollow",) for given, others in first.known.items())
    assert set(first.known) <= set(map(str, split.train.items)), "nothing of validation or test is translated"
    held = {str(item) for item in (*split.valid.items, *split.test.items)} - {str(item) for item in split.train.items}
    assert not held & {asked[::-1] for asked in speaker.asked} | held & set(speaker.asked)
    asked = len(speaker.asked)
    [again, _] = chosen(text, bert, tiny.task(), split, Run(tmp_path))
    assert isinstance(again, Backtranslate) and again.known == first.known and len(speaker.asked) == asked
    assert json.loads((tmp_path / KEPT).read_text("utf-8"))[text]["names"][0].startswith("backtranslate:there=there:back")
    settings = FineTune(epochs=1, batch_size=6, augment=text)
    found = settings.fit(bert, tiny.task(), split, Run(tmp_path, stage="finetune"))
    assert found.probabilities(split.test).shape == (len(split.test), 3)


def test_a_text_that_stays_and_one_that_is_replaced() -> None:
    step = Backtranslate("there", "back", chance=0.5).knowing({"a b": ("c d", "e f")})
    drawn = [step.apply("a b", np.random.default_rng(seed)) for seed in range(200)]
    assert set(drawn) == {"a b", "c d", "e f"} and 70 < drawn.count("a b") < 130
    assert step.apply("never seen", np.random.default_rng(0)) == "never seen"


def test_refusals(bert: Backbone) -> None:
    with pytest.raises(ConfigError, match=r"translates there, and nothing translates back.*backtranslate:THERE:BACK"):
        Backtranslate("there")
    with pytest.raises(ConfigError, match="its texts were not translated beforehand"):
        STEP.apply("a b", np.random.default_rng(0))
    with pytest.raises(ConfigError, match="backtranslate cannot be used: it needs a translation model: backtranslate:THERE"):
        FineTune(augment="backtranslate").fit(bert, tiny.task(), tiny_models.split("text"), Run())
    with pytest.raises(ConfigError, match="it needs a translation model"):
        translated(augment.steps("text", ("backtranslate",))[0], tiny_models.dataset("text"), bert, tiny.task(), Run())  # type: ignore[arg-type]
    with pytest.raises(Incompatible, match="backtranslate is for texts"):
        translated(STEP, tiny.dataset(), tiny.backbone(), tiny.task(), Run())
