"""transformers (https://github.com/huggingface/transformers): text and sound checkpoints of the Hugging Face hub.

Weights are read from safetensors alone, and no code that a repository brings is ever run. A sentence-transformers
folder keeps its pooling, its length limit and its normalisation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from headstart.errors import MissingStatistics, ModelError, UnknownModel, UnsafeFile
from headstart.models.backbone import Backbone
from headstart.models.card import ModelCard
from headstart.models.pictures import PictureBackbone
from headstart.models.sounds import SoundBackbone, WaveformFrontEnd, WhisperFrontEnd
from headstart.models.texts import TOKENISER, TextBackbone
from headstart.models.zoo import NOTHING, Zoo
from headstart.models.zoo._hub import cached_or_fetched_folder, folders_here

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?\Z")
WAVEFORMS = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat", "sew")
HEAD = re.compile(r"(pooler|classifier|cls|lm_head|qa_outputs|score|projector|logit_scale|quantizer|project_(q|hid))\b")
INTERPOLATIONS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}


class Transformers(Zoo):
    """``transformers:ORGANISATION/NAME`` on the hub, or ``transformers:FOLDER`` on this machine."""

    def names(self) -> list[str]:
        return [name for name in folders_here() if REPOSITORY.match(name)]

    def build(self, name: str, card: ModelCard, reference: str, assets: Mapping[str, bytes] = NOTHING) -> Backbone:
        config = configuration(name, card.arguments.get("config") or {}, reference)
        with quiet():
            return wrapped(network_of(config), config, card, reference, assets)

    def load(self, name: str, *, pretrained: bool = True) -> Backbone:
        reference = f"transformers:{name}"
        folder = self._folder(name, reference)
        facts = json_file(folder / "config.json")
        if not isinstance(facts, dict):
            raise ModelError(f"{folder / 'config.json'} holds no JSON object; expected one with an entry 'model_type'.")
        if facts.get("auto_map"):
            facts.pop("auto_map")  # names code of the repository; the library's own class of this type is used
        kind = str(facts.get("model_type", ""))
        config = configuration(kind, facts, reference)
        card, assets = card_of(kind, config, folder, reference)
        with quiet():
            network = filled(config, folder, reference) if pretrained else network_of(config)
            return wrapped(network, config, card, reference, assets)

    @staticmethod
    def _folder(name: str, reference: str) -> Path:
        if Path(name).is_dir():
            if not (Path(name) / "config.json").is_file():
                raise UnknownModel(f"{name} holds no config.json, so it is no transformers checkpoint.")
            return Path(name)
        if not REPOSITORY.match(name) or ".." in name:
            raise UnknownModel(
                f"{reference!r} names neither a folder on this machine nor a repository of the hub; expected "
                "transformers:ORGANISATION/NAME, for example transformers:sentence-transformers/all-MiniLM-L6-v2."
            )
        return cached_or_fetched_folder(
            name, ["*.json", "*.txt", "*.model", "*/config.json", "*.safetensors"], reference
        )


class quiet:  # noqa: N801  it reads as a verb
    """The library reports weights that are left out on purpose, and progress of its own; the messages here are ours."""

    def __enter__(self) -> None:
        from transformers.utils import logging

        self.before = logging.get_verbosity()
        logging.set_verbosity_error()
        logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        from transformers.utils import logging

        logging.set_verbosity(self.before)


def configuration(kind: str, facts: dict[str, Any], reference: str) -> Any:
    """The library's configuration object of a model type."""
    from transformers import CONFIG_MAPPING

    if kind not in CONFIG_MAPPING:
        raise ModelError(
            f"{reference} is of the type {kind or '(none named)'!r}, which the installed transformers library does not "
            "know. A newer transformers may; code that comes with a checkpoint is never run."
        )
    config = CONFIG_MAPPING[kind].from_dict(facts)
    return config.get_text_config() if kind == "clip_text_model" else config


def network_of(config: Any) -> nn.Module:
    """The architecture with fresh weights, its pooler left out."""
    from transformers import AutoModel

    network = AutoModel.from_config(config, trust_remote_code=False)
    return trimmed(network, config)


def filled(config: Any, folder: Path, reference: str) -> nn.Module:
    """The architecture with the weights of a folder.

    Raises:
        UnsafeFile: the weights are there only as a pickle.
        ModelError: weights are missing or of another shape.
    """
    from transformers import AutoModel

    if not any(folder.glob("*.safetensors")):
        pickles = [path.name for path in folder.glob("*") if path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".h5")]
        if pickles:
            raise UnsafeFile(
                f"{reference} has its weights only as {pickles[0]}; loading a pickle can run any code it contains, so "
                "it is refused. Many repositories carry a model.safetensors in another revision."
            )
        raise ModelError(f"{reference} has no weights: expected a model.safetensors beside its config.json.")
    try:
        network, report = AutoModel.from_pretrained(
            str(folder), config=config, use_safetensors=True, trust_remote_code=False, local_files_only=True,
            output_loading_info=True, ignore_mismatched_sizes=False, dtype=torch.float32,
        )  # fmt: skip
    except Exception as problem:  # the library raises many kinds for one cause: what is there does not fit
        said = str(problem).strip().splitlines() or [type(problem).__name__]
        raise ModelError(f"The weights of {reference} cannot be loaded: {said[0][:300]}") from problem
    missing = sorted(name for name in report["missing_keys"] if not HEAD.search(name))
    if missing:
        raise ModelError(
            f"The weights of {reference} do not fit its config.json: they lack {missing[0]!r} ({len(missing)} such). "
            "The checkpoint is damaged or belongs to another architecture."
        )
    return trimmed(network, config)


def trimmed(network: nn.Module, config: Any) -> nn.Module:
    """Without what the features do not pass through: the pooler, and the decoder of a speech recogniser."""
    if config.model_type == "whisper":
        return network.encoder  # type: ignore[return-value]
    if hasattr(network, "pooler"):
        network.pooler = None  # type: ignore[assignment]
    if getattr(config, "is_encoder_decoder", False) and hasattr(network, "encoder"):
        return network.encoder  # type: ignore[return-value]
    if hasattr(network, "masked_spec_embed"):  # moves in pretraining only
        network.masked_spec_embed.requires_grad_(False)  # type: ignore[union-attr, operator]
        network.config.apply_spec_augment = False  # type: ignore[union-attr]
    return network


def wrapped(network: nn.Module, config: Any, card: ModelCard, reference: str, assets: Mapping[str, bytes]) -> Backbone:
    dim = int(getattr(config, "hidden_size", 0) or getattr(config, "d_model", 0) or getattr(config, "n_embd", 0))
    if card.modality == "text":
        return TextBackbone(network, card, run_text, reference, assets, dim=dim, padding=config.pad_token_id or 0)
    if card.modality == "audio":
        if config.model_type == "whisper":
            front: Any = WhisperFrontEnd(config.num_mel_bins, 2 * config.max_source_positions)
            return SoundBackbone(network, card, front, run_whisper, reference, dim=dim)
        standardised = "standardised" in card.front_end
        return SoundBackbone(network, card, WaveformFrontEnd(standardised), run_waveform, reference, dim=dim)
    return PictureBackbone(network, card, run_picture, reference)


def run_text(network: nn.Module, ids: Tensor, mask: Tensor) -> Tensor:
    return network(input_ids=ids, attention_mask=mask).last_hidden_state


def run_whisper(network: nn.Module, windows: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """(w, 2 * positions, bands) -> one vector a 20 ms frame; those of the padding are masked."""
    tokens = network(windows.transpose(1, 2)).last_hidden_state
    frames = torch.arange(tokens.shape[1], device=tokens.device)
    return tokens, frames < ((valid + 1) // 2).unsqueeze(1)


def run_waveform(network: nn.Module, windows: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """(w, samples) -> one vector a frame of the convolutions."""
    lengths = network._get_feat_extract_output_lengths(valid)  # type: ignore[operator]
    if getattr(network.config, "feat_extract_norm", "layer") == "layer":  # type: ignore[union-attr]
        mask = torch.arange(windows.shape[1], device=windows.device) < valid.unsqueeze(1)
        tokens = network(windows, attention_mask=mask.long()).last_hidden_state
        return tokens, torch.arange(tokens.shape[1], device=tokens.device) < lengths.unsqueeze(1)
    # A group norm over time (wav2vec 2.0 base) takes padding for silence of the sound, and such checkpoints were
    # pretrained without a mask: windows of one length are computed together, and none is padded.
    rows: list[Tensor] = [windows] * len(windows)
    for length in valid.unique().tolist():
        places = (valid == length).nonzero()[:, 0]
        found = network(windows[places, :length]).last_hidden_state
        for place, row in zip(places.tolist(), found, strict=True):
            rows[place] = row
    tokens = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    return tokens, torch.arange(tokens.shape[1], device=tokens.device) < lengths.unsqueeze(1)


def run_picture(network: nn.Module, x: Tensor) -> tuple[Tensor, Tensor | None]:
    found = network(pixel_values=x).last_hidden_state
    if found.ndim == 4:
        return found.mean((2, 3)), found
    return found[:, 0], None


def card_of(kind: str, config: Any, folder: Path, reference: str) -> tuple[ModelCard, dict[str, bytes]]:
    """The card that the files of a checkpoint amount to, and its tokeniser."""
    facts = {name: value for name, value in config.to_diff_dict().items() if name != "auto_map"}
    card = ModelCard(f"transformers/{kind}", "text", {"config": json.loads(json.dumps(facts))}, "model.safetensors")
    card = card.replace(license=license_of(folder), origin=reference.partition(":")[2])
    if kind in WAVEFORMS or kind == "whisper":
        told = json_file(folder / "preprocessor_config.json", needed=False)
        rate = int(told.get("sampling_rate", 16_000))
        shown = "log-mel as Whisper's" if kind == "whisper" else "waveform"
        if kind != "whisper" and told.get("do_normalize", True):
            shown += ", standardised"
        return card.replace(modality="audio", sample_rate=rate, front_end=shown, pooling="mean"), {}
    if hasattr(config, "image_size") or (folder / "preprocessor_config.json").is_file():
        return picture_card(card, config, json_file(folder / "preprocessor_config.json", needed=False), reference), {}
    pooling, limit, normalise = sentence_pooling(folder)
    tokeniser, told_limit = tokeniser_of(folder, reference)
    positions = int(getattr(config, "max_position_embeddings", 0) or getattr(config, "n_positions", 0) or 512)
    if kind in ("roberta", "xlm-roberta", "camembert", "mpnet"):
        positions -= 2  # the first two positions are those of padding
    limit = min(entry for entry in (limit, told_limit, positions) if entry)
    card = card.replace(maximum_length=limit, pooling=pooling, normalise=normalise, assets=(TOKENISER,))
    return card, {TOKENISER: tokeniser}


def picture_card(card: ModelCard, config: Any, told: dict[str, Any], reference: str) -> ModelCard:
    if not told.get("image_mean") or not told.get("image_std"):
        raise MissingStatistics(
            f"{reference} takes pictures and its preprocessor_config.json states no image_mean and image_std; write a "
            "card.json that does."
        )
    stated: Any = told.get("size") or getattr(config, "image_size", 224)
    side = stated if isinstance(stated, int) else int(stated.get("height") or stated.get("shortest_edge") or 224)
    crop: Any = told.get("crop_size") if told.get("do_center_crop") else None
    inner = crop if isinstance(crop, int) else int(crop["height"]) if crop else side
    return card.replace(
        modality="image",
        input_size=(3, inner, inner),
        mean=tuple(told["image_mean"]),
        std=tuple(told["image_std"]),
        interpolation=INTERPOLATIONS.get(int(told.get("resample", 2)), "bilinear"),
        crop_fraction=inner / side,
        crop_mode="center" if crop else "squash",
    )


def sentence_pooling(folder: Path) -> tuple[Any, int | None, bool]:
    """Pooling, maximum length and normalisation that a sentence-transformers folder declares; else the mean."""
    modules = json_file(folder / "modules.json", needed=False)
    entries = modules if isinstance(modules, list) else []
    kinds = {str(entry.get("type", "")).rpartition(".")[2]: str(entry.get("path", "")) for entry in entries}
    odd = sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"})
    if odd:
        raise ModelError(f"{folder} has the layer {odd[0]} behind its pooling, which is not supported.")
    told = json_file(folder / "sentence_bert_config.json", needed=False)
    limit = told.get("max_seq_length")
    pooling = "mean"
    if place := kinds.get("Pooling"):
        told = json_file(folder / place / "config.json")
        modes = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max", "lasttoken": "last"}
        chosen = [short for long, short in modes.items() if told.get(f"pooling_mode_{long}")]
        chosen = [str(told["pooling_mode"])] if told.get("pooling_mode") in modes.values() else chosen
        if len(chosen) != 1:
            raise ModelError(f"{folder} declares a pooling that is not supported: {told}.")
        pooling = chosen[0]
    return pooling, int(limit) if limit else None, "Normalize" in kinds


def tokeniser_of(folder: Path, reference: str) -> tuple[bytes, int | None]:
    """The tokeniser of a folder as the tokenizers library keeps it, and the length limit it states."""
    from transformers import AutoTokenizer

    try:
        with quiet():
            made = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
        raw = made.backend_tokenizer.to_str().encode()
    except Exception as problem:  # many kinds for one cause: no tokeniser that can be read
        raise ModelError(
            f"{reference} has no tokeniser that can be read ({type(problem).__name__}: {str(problem)[:200]}). Expected a "
            "tokenizer.json, or the vocabulary files of its type, beside its config.json."
        ) from problem
    stated = made.model_max_length
    return raw, int(stated) if isinstance(stated, (int, float)) and stated < 1_000_000 else None


def json_file(path: Path, *, needed: bool = True) -> Any:
    if not path.is_file() and not needed:
        return {}
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as problem:
        raise ModelError(f"{path} cannot be read as JSON: {problem}") from problem


def license_of(folder: Path) -> str:
    """What the README's header states."""
    readme = folder / "README.md"
    text = readme.read_text("utf-8", "replace")[:4000] if readme.is_file() else ""
    found = re.search(r"^license:\s*(\S+)", text, re.MULTILINE)
    return found[1].strip("'\"") if found else "unknown"
