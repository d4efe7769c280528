"""Transformer-XL against the paper's equation in loops, its memory, padding, published shapes and key layout."""

import math

import pytest
import torch
from torch import Tensor

from headstart.errors import ConfigError, ModelError
from headstart.models.families import transformer_xl
from headstart.models.families.transformer_xl import Memory, RelativeAttention, TransformerXL

TINY = {
    "vocabulary": 40, "cutoffs": [10, 20], "dim": 16, "num_heads": 2, "inner_dim": 12, "num_layers": 3, "shrink": 4,
    "memory_length": 8, "clamp_length": 5, "same_length": True,
}  # fmt: skip


def tiny(**changes: object) -> TransformerXL:
    torch.manual_seed(0)
    network = TransformerXL(**(TINY | changes)).double().eval()
    for parameter in network.parameters():  # the published start is so near zero that errors would not show
        torch.nn.init.normal_(parameter, 0, 0.3)
    return network


def draw(batch: int, length: int) -> Tensor:
    return torch.randint(40, (batch, length), generator=torch.Generator().manual_seed(2))


def sinusoid(distance: int, dim: int) -> Tensor:
    angles = [distance / 10000 ** (2 * i / dim) for i in range(dim // 2)]
    return torch.tensor([math.sin(a) for a in angles] + [math.cos(a) for a in angles], dtype=torch.float64)


def test_attention_equals_the_equation_in_loops() -> None:
    torch.manual_seed(0)
    attention = RelativeAttention(8, 2).double()
    torch.nn.init.normal_(attention.content_bias)
    torch.nn.init.normal_(attention.position_bias)
    hidden, past = torch.randn(1, 5, 8).double(), torch.randn(1, 3, 8).double()
    positions = torch.stack([sinusoid(distance, 8) for distance in range(7, -1, -1)])
    visible = torch.ones(5, 8).tril(3).bool()[None, None]
    found = attention(hidden, past, positions, visible)[0]

    w_q, w_k, w_v = attention.query_key_value.weight.split(8)  # E's W_q, W_{k,E}, W_v of section 3.3
    w_r = attention.position.weight
    together = torch.cat([past, hidden], 1)[0]
    for i in range(5):
        joined = []
        for head in range(2):
            own = slice(4 * head, 4 * head + 4)
            q, u, v = (w_q @ hidden[0, i])[own], attention.content_bias[head], attention.position_bias[head]
            scores, values = [], []
            for j in range(3 + i + 1):
                k, r = (w_k @ together[j])[own], (w_r @ sinusoid(3 + i - j, 8))[own]
                scores.append((q @ k + q @ r + u @ k + v @ r) / 2)  # terms (a), (b), (c), (d); sqrt(head_dim) = 2
                values.append((w_v @ together[j])[own])
            shares = torch.stack(scores).softmax(0)
            joined.append(sum(share * value for share, value in zip(shares, values, strict=True)))
        torch.testing.assert_close(found[i], attention.output.weight @ torch.cat(joined), atol=1e-5, rtol=0)


def test_distances_are_clamped() -> None:
    found = tiny()._positions(9, torch.device("cpu"))
    expected = torch.stack([sinusoid(min(distance, 5), 16) for distance in range(8, -1, -1)])
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("changes", "segments"),
    [
        ({"num_layers": 1, "same_length": False, "memory_length": 12}, [7, 5]),
        ({"same_length": False, "memory_length": 12}, [7, 5]),
        ({}, [7, 5]),  # the window of 8 is shorter than the text
        ({}, [3, 1, 6, 2]),
        ({"num_layers": 1, "memory_length": 3}, [6, 6]),
    ],
)
def test_segments_with_memory_equal_one_long_segment(changes: dict[str, object], segments: list[int]) -> None:
    network, tokens = tiny(**changes), draw(2, 12)
    with torch.no_grad():
        whole = network(tokens)
        memory, parts = None, []
        for part in tokens.split(segments, 1):
            output = network(part, memory=memory)
            parts.append(output.hidden)
            memory = output.memory
        torch.testing.assert_close(torch.cat(parts, 1), whole.hidden)
        without = network(tokens.split(segments, 1)[1])
    assert not torch.allclose(without.hidden, parts[1])
    assert memory.mask.shape == (2, network.memory_length)
    assert memory.states[0].shape == (2, network.memory_length, 16)
    for ours, long in zip(memory.states, whole.memory.states, strict=True):
        torch.testing.assert_close(ours, long)


def test_causal_and_of_the_same_length() -> None:
    network, tokens = tiny(num_layers=1, memory_length=4), draw(1, 12)
    changed = tokens.clone()
    changed[0, 5] = (changed[0, 5] + 1) % 40
    with torch.no_grad():
        different = ((network(tokens).hidden - network(changed).hidden).abs() > 1e-9).any(-1)[0]
    assert different.nonzero().flatten().tolist() == [5, 6, 7, 8]  # itself and the three that still see it


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(side: str) -> None:
    network, tokens = tiny(), draw(1, 6)
    there = slice(0, 6) if side == "right" else slice(4, 10)
    padded, mask = torch.full((1, 10), 39), torch.zeros(1, 10, dtype=torch.bool)
    padded[:, there], mask[:, there] = tokens, True
    other = torch.where(mask, padded, 3)
    with torch.no_grad():
        expected = network(tokens).hidden
        first, second = network(padded, mask), network(other, mask)
        torch.testing.assert_close(first.hidden[:, there], expected)
        torch.testing.assert_close(second.hidden[:, there], expected)
        assert first.hidden.isfinite().all()
        assert not torch.allclose(network(padded).hidden[:, there], expected) or side == "right"
        following = draw(1, 3)
        torch.testing.assert_close(  # padding is not seen through the memory either
            network(following, memory=first.memory).hidden, network(following, memory=second.memory).hidden
        )


def test_memory_holds_no_gradients() -> None:
    network = tiny().train()
    output = network(draw(1, 5))
    output.hidden.sum().backward()
    assert network.layers[0].attention.position_bias.grad is not None
    assert not any(state.requires_grad for state in output.memory.states)


def test_a_memory_of_zeros_is_attended_to() -> None:
    """Hugging Face's port begins with one; its keys and values are 0, and the distance alone gives them weight."""
    network, tokens = tiny(num_layers=1, same_length=False), draw(1, 1)
    zeros = Memory([torch.zeros(1, 8, 16).double()], torch.ones(1, 8, dtype=torch.bool))
    layer = network.layers[0]
    with torch.no_grad():
        hidden = network.embedding(tokens)[0, 0]
        query, key, value = layer.attention.query_key_value(hidden).split(16)
        attended = []
        for head in range(2):
            own = slice(8 * head, 8 * head + 8)
            u, v = layer.attention.content_bias[head], layer.attention.position_bias[head]
            far = [layer.attention.position(sinusoid(min(distance, 5), 16))[own] for distance in range(9)]
            scores = torch.stack([(query[own] + v) @ r for r in far]) / math.sqrt(8)
            scores[0] += (query[own] + u) @ key[own] / math.sqrt(8)
            attended.append(scores.softmax(0)[0] * value[own])
        expected = layer.attention_norm(hidden + layer.attention.output(torch.cat(attended)))
        expected = layer.feed_forward_norm(expected + layer.feed_forward(expected))
        found = network(tokens, memory=zeros).hidden[0, 0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_adaptive_embedding_equals_a_loop() -> None:
    embedding, tokens = tiny().embedding, torch.tensor([[0, 9, 10], [19, 20, 39]])
    assert [table.weight.shape for table in embedding.tables] == [(10, 16), (10, 4), (20, 1)]
    found = embedding(tokens)
    for row in range(2):
        for column in range(3):
            token = int(tokens[row, column])
            part = (token >= 10) + (token >= 20)
            vector = embedding.tables[part].weight[token - (0, 10, 20)[part]]
            torch.testing.assert_close(found[row, column], embedding.projections[part].weight @ vector * 4)  # sqrt(16)


def test_published_shapes_of_wt103() -> None:
    with torch.device("meta"):
        network = TransformerXL()
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert [shapes[f"embedding.tables.{i}.weight"] for i in range(4)] == [
        (20000, 1024), (20000, 256), (160000, 64), (67735, 16)]  # fmt: skip
    assert shapes["layers.17.attention.query_key_value.weight"] == (3072, 1024)
    assert shapes["layers.0.attention.content_bias"] == (16, 64)
    embedding = 20000 * 1024 + 20000 * 256 + 160000 * 64 + 67735 * 16 + 1024 * (1024 + 256 + 64 + 16)
    layer = 5 * 1024 * 1024 + 2 * 1024 + 4 * 1024 + 2 * 1024 * 4096 + 4096 + 1024
    assert sum(p.numel() for p in network.parameters()) == embedding + 18 * layer == 283_885_936


def published_state(network: TransformerXL) -> dict[str, Tensor]:
    """The network's weights under the names of transfo-xl-wt103, with what comes along there."""
    state = {"crit.cluster_weight": torch.zeros(2, 16), "transformer.pos_emb.inv_freq": torch.zeros(8)}
    for name, value in network.state_dict().items():
        for ours, theirs in (
            ("embedding.tables", "word_emb.emb_layers"), ("attention.query_key_value", "dec_attn.qkv_net"),
            ("attention.position.", "dec_attn.r_net."), ("attention.output", "dec_attn.o_net"),
            ("attention.content_bias", "dec_attn.r_w_bias"), ("attention.position_bias", "dec_attn.r_r_bias"),
            ("attention_norm", "dec_attn.layer_norm"), ("feed_forward_norm", "pos_ff.layer_norm"),
            ("feed_forward.", "pos_ff.CoreNet."),
        ):  # fmt: skip
            name = name.replace(ours, theirs)
        if name.startswith("embedding.projections"):
            name = name.replace("embedding.projections", "word_emb.emb_projs").removesuffix(".weight")
        state[f"transformer.{name}"] = value
    return state


@pytest.mark.parametrize("changes", [{}, {"shrink": 1, "cutoffs": []}])
def test_published_layout(changes: dict[str, object]) -> None:
    network, other = tiny(**changes), TransformerXL(**(TINY | changes)).double().eval()
    state = published_state(network)
    other.load_state_dict(transformer_xl.published(state))
    with torch.no_grad():
        torch.testing.assert_close(other(draw(1, 4)).hidden, network(draw(1, 4)).hidden)
    bare = {name.removeprefix("transformer."): value for name, value in state.items()}
    assert transformer_xl.published(bare).keys() == network.state_dict().keys()
    del state["transformer.layers.1.dec_attn.r_net.weight"]
    with pytest.raises(ModelError, match=r"Missing: layers\.1\.dec_attn\.r_net\.weight"):
        transformer_xl.published(state)


def test_configuration_of_the_published_checkpoint() -> None:
    config = {"vocab_size": 267735, "cutoffs": [20000, 40000, 200000], "d_model": 1024, "d_embed": 1024, "n_head": 16,
              "d_head": 64, "d_inner": 4096, "div_val": 4, "pre_lnorm": False, "n_layer": 18, "mem_len": 1600,
              "clamp_len": 1000, "same_length": True, "attn_type": 0, "untie_r": True, "dropout": 0.1,
              "dropatt": 0.0, "sample_softmax": -1, "model_type": "transfo-xl"}  # fmt: skip
    found = transformer_xl.arguments(config)
    with torch.device("meta"):
        assert sum(p.numel() for p in TransformerXL(**found).parameters()) == 283_885_936
    assert transformer_xl.arguments(config | {"div_val": 1})["cutoffs"] == []
    with pytest.raises(ModelError, match="pre_lnorm is True"):
        transformer_xl.arguments(config | {"pre_lnorm": True})


@pytest.mark.parametrize(
    "changes",
    [{"num_heads": 3}, {"memory_length": 0}, {"shrink": 1}, {"cutoffs": [20, 10]}, {"cutoffs": [10, 20, 30]}],
)
def test_arguments_that_do_not_fit_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        TransformerXL(**(TINY | changes))
