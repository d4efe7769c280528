"""Transformer-XL: a causal transformer with relative positions and a memory of the segments before.

Paper: Dai et al. 2019, "Transformer-XL: attentive language models beyond a fixed-length context", arXiv 1901.02860.
Reference code: kimiyoung/transformer-xl (pytorch/mem_transformer.py), and modeling_transfo_xl.py of Hugging Face's
transformers up to version 4; weights ``transfo-xl/transfo-xl-wt103``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headstart.errors import ConfigError, ModelError
from headstart.models.families._layout import numbered, renamed


@dataclass(frozen=True)
class Memory:
    """What the layers saw of the segments before: their inputs, without gradients.

    Attributes:
        states: one (batch, kept, dim) for each layer.
        mask: (batch, kept), False where there was padding.
    """

    states: list[Tensor]
    mask: Tensor


@dataclass(frozen=True)
class Output:
    """Attributes: hidden (batch, length, dim); memory, to be passed on with the next segment."""

    hidden: Tensor
    memory: Memory


class TransformerXL(nn.Module):
    """Tokens (batch, length) -> hidden states (batch, length, dim); the defaults are those of wt103.

    Args:
        vocabulary: number of tokens.
        cutoffs: where the vocabulary, sorted by frequency, is cut into parts with narrower and narrower embeddings.
        dim: width of the hidden states.
        num_heads: each is dim // num_heads wide.
        inner_dim: width of the feed-forward layers.
        num_layers: number of layers.
        shrink: each part of the vocabulary has embeddings narrower by this factor; 1 asks for no cutoffs.
        memory_length: how many positions of the past are kept.
        clamp_length: farther distances count as this one; 0 for no limit.
        same_length: every token sees itself and the memory_length - 1 positions before it, and none farther.
        dropout: on embeddings, positions and after every sublayer.

    Raises:
        ConfigError: the arguments do not fit together.
    """

    def __init__(
        self,
        *,
        vocabulary: int = 267735,
        cutoffs: Sequence[int] = (20000, 40000, 200000),
        dim: int = 1024,
        num_heads: int = 16,
        inner_dim: int = 4096,
        num_layers: int = 18,
        shrink: int = 4,
        memory_length: int = 1600,
        clamp_length: int = 1000,
        same_length: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if dim % num_heads or dim % 2:
            raise ConfigError(f"dim is {dim}; expected an even multiple of num_heads, {num_heads}.")
        if same_length and memory_length < 1:
            raise ConfigError("same_length means seeing memory_length positions, so memory_length must be 1 or more.")
        if shrink == 1 and cutoffs:
            raise ConfigError("With shrink = 1 all embeddings are equally wide: leave cutoffs empty.")
        self.embedding = AdaptiveEmbedding(vocabulary, cutoffs, dim, shrink)
        self.layers = nn.ModuleList(Layer(dim, num_heads, inner_dim, dropout) for _ in range(num_layers))
        self.dropout = nn.Dropout(dropout)
        self.dim = dim
        self.memory_length = memory_length
        self.clamp_length = clamp_length
        self.same_length = same_length
        self.apply(_start)

    def forward(self, tokens: Tensor, mask: Tensor | None = None, memory: Memory | None = None) -> Output:
        """One segment.

        A first segment has no memory, as in the paper; Hugging Face's port instead begins with 1,600 zero states
        that are attended to, which is a ``Memory`` of zeros here.

        Args:
            tokens: (batch, length) int64.
            mask: (batch, length), True where there is a token; padding may stand on either side. The hidden states
                of padding mean nothing.
            memory: of the segment before. A segment that ends in padding leaves that gap in the distances.
        """
        hidden = self.dropout(self.embedding(tokens))
        if mask is None:
            mask = torch.ones_like(tokens, dtype=torch.bool)
        if memory is None:
            memory = Memory([hidden[:, :0].detach()] * len(self.layers), mask[:, :0])
        keys = torch.cat([memory.mask, mask.bool()], 1)  # (batch, kept + length)
        visible = self._visible(tokens.shape[1], keys)
        positions = self.dropout(self._positions(keys.shape[1], hidden.device).to(hidden))
        seen = []
        for layer, past in zip(self.layers, memory.states, strict=True):
            seen.append(self._kept(torch.cat([past, hidden.detach()], 1)))
            hidden = layer(hidden, past, positions, visible)
        return Output(self.dropout(hidden), Memory(seen, self._kept(keys)))

    def _kept(self, states: Tensor) -> Tensor:
        return states[:, max(0, states.shape[1] - self.memory_length) :]

    def _visible(self, length: int, keys: Tensor) -> Tensor:
        """(batch, 1, length, keys): who sees whom. A token always sees itself, so that no row is empty."""
        kept = keys.shape[1] - length
        query = torch.arange(kept, keys.shape[1], device=keys.device)[:, None]
        distance = query - torch.arange(keys.shape[1], device=keys.device)  # (length, keys)
        near = distance >= 0
        if self.same_length:
            near &= distance < self.memory_length
        return ((near & keys[:, None]) | (distance == 0))[:, None]

    def _positions(self, length: int, device: torch.device) -> Tensor:
        """Sinusoids of the distances length - 1, ..., 1, 0: (length, dim) float32."""
        distance = torch.arange(length - 1, -1, -1, device=device, dtype=torch.float32)
        if self.clamp_length > 0:
            distance = distance.clamp(max=self.clamp_length)
        frequency = 10000 ** (-torch.arange(0, self.dim, 2, device=device, dtype=torch.float32) / self.dim)
        angle = distance[:, None] * frequency
        return torch.cat([angle.sin(), angle.cos()], 1)


class Layer(nn.Module):
    """Relative attention and a feed-forward layer, each followed by addition and layer norm."""

    def __init__(self, dim: int, num_heads: int, inner_dim: int, dropout: float) -> None:
        super().__init__()
        self.attention = RelativeAttention(dim, num_heads)
        self.attention_norm = nn.LayerNorm(dim)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, inner_dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(inner_dim, dim)
        )
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, past: Tensor, positions: Tensor, visible: Tensor) -> Tensor:
        attended = self.attention(hidden, past, positions, visible)
        hidden = self.attention_norm(hidden + self.dropout(attended))
        return self.feed_forward_norm(hidden + self.dropout(self.feed_forward(hidden)))


class RelativeAttention(nn.Module):
    """Multi-head attention whose scores depend on content and distance (section 3.3 of the paper).

    score(i, j) = ((q_i + u) . k_j + (q_i + v) . W_r R_{i-j}) / sqrt(head_dim)
    """

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.position = nn.Linear(dim, dim, bias=False)  # W_r
        self.content_bias = nn.Parameter(torch.empty(num_heads, dim // num_heads))  # u
        self.position_bias = nn.Parameter(torch.empty(num_heads, dim // num_heads))  # v
        self.output = nn.Linear(dim, dim, bias=False)

    def forward(self, hidden: Tensor, past: Tensor, positions: Tensor, visible: Tensor) -> Tensor:
        """hidden (batch, length, dim), past (batch, kept, dim), positions (kept + length, dim) from far to near."""
        length = hidden.shape[1]
        together = torch.cat([past, hidden], 1)
        query, key, value = (self._heads(part) for part in self.query_key_value(together).chunk(3, -1))
        query = query[:, :, -length:]  # (batch, heads, length, head_dim)
        distance = self._heads(self.position(positions)[None])  # (1, heads, kept + length, head_dim)
        by_distance = (query + self.position_bias[:, None]) @ distance.transpose(-1, -2)
        bias = by_key(by_distance) / math.sqrt(query.shape[-1])
        bias = bias.masked_fill(~visible, float("-inf"))
        attended = F.scaled_dot_product_attention(query + self.content_bias[:, None], key, value, attn_mask=bias)
        return self.output(attended.transpose(1, 2).flatten(2))

    def _heads(self, states: Tensor) -> Tensor:
        """(batch, length, dim) -> (batch, heads, length, head_dim)."""
        return states.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)


def by_key(scores: Tensor) -> Tensor:
    """Scores by distance -> scores by key, (..., queries, keys); what lies right of the diagonal means nothing.

    Column c of row i holds the distance keys - 1 - c and has to move queries - 1 - i columns to the left. A
    column of zeros in front makes every row longer by one, so that reading the same memory in rows of the old
    length moves each row by one more than the row above it (appendix B of the paper).
    """
    *lead, queries, keys = scores.shape
    longer = F.pad(scores, (1, 0)).reshape(*lead, keys + 1, queries)
    return longer[..., 1:, :].reshape(*lead, queries, keys)


class AdaptiveEmbedding(nn.Module):
    """Embeddings that are narrower for rarer tokens, projected to one width (Baevski and Auli, arXiv 1809.10853)."""

    def __init__(self, vocabulary: int, cutoffs: Sequence[int], dim: int, shrink: int) -> None:
        super().__init__()
        self.bounds = [0, *cutoffs, vocabulary]
        if self.bounds != sorted(set(self.bounds)):
            raise ConfigError(f"cutoffs are {list(cutoffs)}; expected them to rise between 0 and {vocabulary}.")
        self.scale = math.sqrt(dim)
        self.dim = dim
        sizes = [high - low for low, high in itertools.pairwise(self.bounds)]
        widths = [dim // shrink**part for part in range(len(sizes))]
        if not widths[-1]:
            raise ConfigError(f"dim {dim} shrunk {len(sizes) - 1} times by {shrink} leaves no width for rare tokens.")
        self.tables = nn.ModuleList(nn.Embedding(size, width) for size, width in zip(sizes, widths, strict=True))
        # One vocabulary as wide as the hidden states needs no projection; that is how such checkpoints are saved.
        self.projections = nn.ModuleList(nn.Linear(width, dim, bias=False) for width in widths if shrink > 1)

    def forward(self, tokens: Tensor) -> Tensor:
        if not len(self.projections):
            return self.tables[0](tokens) * self.scale
        flat = tokens.flatten()
        result = next(self.parameters()).new_zeros(len(flat), self.dim)
        parts = zip(itertools.pairwise(self.bounds), self.tables, self.projections, strict=True)
        for (low, high), table, projection in parts:
            where = ((flat >= low) & (flat < high)).nonzero().squeeze(1)
            rows = projection(table(flat[where] - low))
            result = result.to(rows.dtype).index_copy(0, where, rows)  # autocast may have lowered the precision
        return result.unflatten(0, tokens.shape) * self.scale


def _start(module: nn.Module) -> None:
    """Fresh weights as published: N(0, 0.02), projections of the embedding N(0, 0.01), layer norms N(1, 0.02)."""
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, 0, 0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, AdaptiveEmbedding):
        for weight in module.projections.parameters():
            nn.init.normal_(weight, 0, 0.01)
    if isinstance(module, nn.LayerNorm):
        nn.init.normal_(module.weight, 1, 0.02)
    if isinstance(module, RelativeAttention):
        nn.init.normal_(module.content_bias, 0, 0.02)
        nn.init.normal_(module.position_bias, 0, 0.02)


def arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """The ``config.json`` of a published checkpoint -> the arguments of ``TransformerXL``.

    Raises:
        ModelError: it asks for something that the published checkpoints do not use.
    """
    width, heads = config.get("d_model", 1024), config.get("n_head", 16)
    fixed = {
        "attn_type": 0, "pre_lnorm": False, "untie_r": True, "dropatt": 0.0, "d_embed": width, "d_head": width // heads,
        "layer_norm_epsilon": 1e-5,
    }  # fmt: skip
    for name, value in fixed.items():
        if config.get(name, value) != value:
            raise ModelError(f"{name} is {config[name]!r} in config.json; only {value!r} is supported here.")
    names = {
        "vocab_size": "vocabulary", "cutoffs": "cutoffs", "d_model": "dim", "n_head": "num_heads",
        "d_inner": "inner_dim", "n_layer": "num_layers", "div_val": "shrink", "mem_len": "memory_length",
        "clamp_len": "clamp_length", "same_length": "same_length", "dropout": "dropout",
    }  # fmt: skip
    found = {ours: config[theirs] for theirs, ours in names.items() if theirs in config}
    return found | ({"cutoffs": []} if found.get("shrink") == 1 else {})


def published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The backbone's weights from the layout of ``transfo-xl-wt103``.

    Names there, with or without ``transformer.`` before them: ``word_emb.emb_layers.N.weight``, ``word_emb.emb_projs.N``,
    ``layers.N.dec_attn.{qkv_net,r_net,o_net}.weight``, ``layers.N.dec_attn.{r_w_bias,r_r_bias}`` (u and v),
    ``layers.N.dec_attn.layer_norm.*``, ``layers.N.pos_ff.CoreNet.{0,3}.*``, ``layers.N.pos_ff.layer_norm.*``. The adaptive
    softmax (``crit.*``) and ``pos_emb.inv_freq`` are not part of a backbone.

    Raises:
        ModelError: tensors are missing or unknown.
    """
    if "embedding.tables.0.weight" in state:
        return dict(state)
    state = {name.removeprefix("transformer."): value for name, value in state.items()}
    names = {}
    num_parts = max(1, numbered(state, r"word_emb\.emb_layers\.(\d+)\."))
    for part in range(num_parts):
        names[f"word_emb.emb_layers.{part}.weight"] = f"embedding.tables.{part}.weight"
        if num_parts > 1 or "word_emb.emb_projs.0" in state:
            names[f"word_emb.emb_projs.{part}"] = f"embedding.projections.{part}.weight"
    pairs = {
        "dec_attn.qkv_net.weight": "attention.query_key_value.weight",
        "dec_attn.r_net.weight": "attention.position.weight",
        "dec_attn.o_net.weight": "attention.output.weight",
        "dec_attn.r_w_bias": "attention.content_bias",
        "dec_attn.r_r_bias": "attention.position_bias",
    }
    for kind in ("weight", "bias"):
        pairs[f"dec_attn.layer_norm.{kind}"] = f"attention_norm.{kind}"
        pairs[f"pos_ff.layer_norm.{kind}"] = f"feed_forward_norm.{kind}"
        pairs |= {f"pos_ff.CoreNet.{i}.{kind}": f"feed_forward.{i}.{kind}" for i in (0, 3)}
    for layer in range(max(1, numbered(state, r"layers\.(\d+)\."))):
        names |= {f"layers.{layer}.{theirs}": f"layers.{layer}.{ours}" for theirs, ours in pairs.items()}
    return renamed(state, names, "Transformer-XL", ignored=[r"crit\..*", r"pos_emb\.inv_freq"])
