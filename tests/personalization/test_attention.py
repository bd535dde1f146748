"""Maps of cross-attention: held against plain softmax, and without any effect on the picture."""

import pytest
import torch

from marmor.personalization import (
    AttentionMaps,
    Script,
    add_placeholder,
    denoise,
    encode,
    shares,
    tokens_of,
    watched,
)
from marmor.personalization.attention import attention_of

HALVES = [(0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)]


def cross_layers(unet) -> list:
    return [part for name, part in unet.named_modules() if name.endswith("attn2")]


def plain_softmax(attn, x: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """(B, heads, Q, L), head by head, by the formula alone."""
    query, key = x @ attn.to_q.weight.T, states @ attn.to_k.weight.T
    each = []
    for q, k in zip(query.chunk(attn.heads, -1), key.chunk(attn.heads, -1), strict=True):
        each.append((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1))
    return torch.stack(each, 1)


def test_a_layer_is_plain_softmax(pipeline) -> None:
    attn = cross_layers(pipeline.unet)[0]
    stream = torch.Generator().manual_seed(0)
    x, states = (torch.randn(shape, generator=stream) for shape in ((2, 16, 16), (2, 32, 32)))
    found = attention_of(attn, x, states)
    assert found.shape == (2, attn.heads, 16, 32)
    assert attn.heads > 1
    torch.testing.assert_close(found, plain_softmax(attn, x, states))


def draw(pipeline, words: list[str], prompts: list[str], boxes=()):
    """The latents at the end, and the maps."""
    with watched(pipeline.unet) as watch:
        placed = shares(boxes, 8, 8)[1:] if boxes else shares([], 8, 8)
        watch.maps = AttentionMaps(tokens_of(pipeline, prompts, words), placed)
        return latents(pipeline, prompts, placed), watch.maps


@torch.inference_mode()
def latents(pipeline, prompts: list[str], placed: torch.Tensor) -> torch.Tensor:
    states = torch.cat([encode(pipeline, prompt) for prompt in prompts])
    script = Script(states, encode(pipeline, ""), placed, 7.5)
    stream = torch.Generator().manual_seed(3)
    *_, last = denoise(pipeline, pipeline.scheduler, script, 3, stream)
    return last


def test_the_picture_is_the_same_bit_for_bit_and_nothing_is_left_behind(pipeline) -> None:
    before = dict(pipeline.unet.attn_processors)
    plain = latents(pipeline, ["a red dog"], shares([], 8, 8))
    seen, _ = draw(pipeline, ["dog"], ["a red dog"])
    assert torch.equal(plain, seen)
    assert pipeline.unet.attn_processors == before


def test_maps_are_means_over_heads_layers_and_steps(pipeline) -> None:
    recorded = []
    hooks = [
        layer.register_forward_hook(
            lambda attn, args, kwargs, out: recorded.append(
                plain_softmax(attn, args[0], kwargs["encoder_hidden_states"])[-1].mean(0)
            ),
            with_kwargs=True,
        )
        for layer in cross_layers(pipeline.unet)
    ]
    _, maps = draw(pipeline, ["dog", "red"], ["a red dog"])
    for hook in hooks:
        hook.remove()
    found = maps.mean()
    assert maps.calls == len(recorded) == 3 * len(hooks)
    assert found.shape == (2, 8, 8)
    tokens = pipeline.tokenizer("a red dog")["input_ids"]
    for row, word in zip(found, ("dog", "red"), strict=True):
        place = tokens.index(pipeline.tokenizer(word)["input_ids"][1])
        wanted = torch.zeros(8, 8)
        for each in recorded:
            side = int(len(each) ** 0.5)
            layer = each[:, place].reshape(1, 1, side, side)
            wanted += torch.nn.functional.interpolate(layer, size=(8, 8), mode="bilinear")[0, 0]
        torch.testing.assert_close(row, wanted / len(recorded))


def test_all_tokens_together_are_all_of_the_attention(pipeline) -> None:
    with torch.inference_mode(), watched(pipeline.unet) as watch:
        script = Script(encode(pipeline, "a dog"), encode(pipeline, ""), shares([], 8, 8), 7.5)
        watch.maps = AttentionMaps(torch.ones(1, 32, 1), script.shares)
        stream = torch.Generator().manual_seed(3)
        list(denoise(pipeline, pipeline.scheduler, script, 2, stream))
    torch.testing.assert_close(watch.maps.mean(), torch.ones(1, 8, 8))


def test_regions_bring_the_attention_of_their_own_prompts(pipeline) -> None:
    _, maps = draw(pipeline, ["dog", "red"], ["a dog", "a red photo"], HALVES)
    dog, red = maps.mean()
    assert (dog[:, :4] > 0).all()
    assert not dog[:, 4:].any()
    assert (red[:, 4:] > 0).all()
    assert not red[:, :4].any()


def test_all_vectors_of_a_word_count_wherever_it_is_said(pipeline) -> None:
    parts = pipeline.tokenizer, pipeline.text_encoder
    add_placeholder(*parts, "<new1>", torch.randn(3, 32))
    prompts = ["a <new1> next to a <new1>", "a dog"]
    found = tokens_of(pipeline, prompts, ["<new1>", "dog", "cat"])
    # begin a NEW NEW NEW next to a NEW NEW NEW end
    assert found[0, :, 0].nonzero().flatten().tolist() == [2, 3, 4, 8, 9, 10]
    assert found[1, :, 1].nonzero().flatten().tolist() == [2]
    assert found.sum() == 7
    torch.testing.assert_close(found[:, :, 2], torch.zeros(2, 32))


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (6, 10)])
def test_layers_of_any_size_are_laid_out_row_by_row(size) -> None:
    maps = AttentionMaps(torch.ones(1, 1, 1), torch.ones(1, *size))
    rows = torch.arange(-(-size[0] // 2)).float()[:, None].expand(-1, -(-size[1] // 2))
    maps.add(rows.reshape(1, 1, -1, 1))
    found = maps.mean()[0]
    torch.testing.assert_close(found, found[:, :1].expand_as(found))
    assert (found.diff(dim=0) > -1e-5).all()
    torch.testing.assert_close(found[-1, 0], rows.max())
