"""Drawing held against diffusers' own pipeline, and several prompts in one picture."""

import diffusers
import pytest
import torch

from marmor.personalization import (
    Background,
    Script,
    columns,
    decode,
    denoise,
    encode,
    latents_of,
    shares,
)
from marmor.recipes.prompting import SOLVERS

LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
PROMPT = "a red dog"


def scheduler_of(pipeline, solver: str):
    known = SOLVERS | {"pndm": "PNDMScheduler"}  # what Stable Diffusion's folders name
    return getattr(diffusers, known[solver]).from_config(pipeline.scheduler.config)


def script(pipeline, prompts: list[str], boxes=(), guidance: float = 7.5) -> Script:
    with torch.inference_mode():
        states = torch.cat([encode(pipeline, prompt) for prompt in prompts])
        placed = shares(boxes, 8, 8)[1:] if boxes else shares([], 8, 8)
        return Script(states, encode(pipeline, ""), placed, guidance)


@torch.inference_mode()
def drawn(pipeline, said: Script, solver: str = "ddim", background=None) -> torch.Tensor:
    stream = torch.Generator().manual_seed(3)
    scheduler = scheduler_of(pipeline, solver)
    *_, last = denoise(pipeline, scheduler, said, 4, stream, background)
    return last


@pytest.mark.parametrize("solver", [*SOLVERS, "pndm"])
@pytest.mark.parametrize("guidance", [7.5, 1.0])
def test_one_prompt_is_drawn_as_diffusers_draws_it_bit_for_bit(pipeline, solver, guidance) -> None:
    pipeline.scheduler = scheduler_of(pipeline, solver)
    told = {"num_inference_steps": 4, "guidance_scale": guidance, "output_type": "latent"}
    wanted = pipeline(PROMPT, generator=torch.Generator().manual_seed(3), **told).images
    assert torch.equal(drawn(pipeline, script(pipeline, [PROMPT], (), guidance), solver), wanted)


@pytest.mark.parametrize(("guidance", "rows"), [(7.5, 2), (1.0, 1)])
def test_guidance_of_one_pays_for_no_second_pass(pipeline, guidance, rows, monkeypatch) -> None:
    seen, forward = [], pipeline.unet.forward
    monkeypatch.setattr(
        pipeline.unet,
        "forward",
        lambda x, *args, **more: (seen.append(len(x)), forward(x, *args, **more))[1],
    )
    drawn(pipeline, script(pipeline, [PROMPT], (), guidance))
    assert seen == [rows] * 4


def test_pictures_are_those_of_diffusers(pipeline, draw) -> None:
    latents = drawn(pipeline, script(pipeline, [PROMPT]))
    told = {"num_inference_steps": 4, "output_type": "pt"}
    wanted = pipeline(PROMPT, generator=torch.Generator().manual_seed(3), **told).images
    with torch.inference_mode():
        found = (decode(pipeline, latents) / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("solver", SOLVERS)
def test_regions_of_one_prompt_are_the_plain_picture(pipeline, solver) -> None:
    plain = drawn(pipeline, script(pipeline, [PROMPT]), solver)
    both = drawn(pipeline, script(pipeline, [PROMPT, PROMPT], [LEFT, RIGHT]), solver)
    torch.testing.assert_close(both, plain, atol=1e-4, rtol=1e-4)


def test_the_first_step_of_a_region_is_that_of_its_own_prompt(pipeline) -> None:
    """Later steps see the other region, through the network."""

    @torch.inference_mode()
    def first(said: Script) -> torch.Tensor:
        stream = torch.Generator().manual_seed(3)
        return next(denoise(pipeline, scheduler_of(pipeline, "ddim"), said, 4, stream))

    both = first(script(pipeline, ["a dog", "a red photo"], [LEFT, RIGHT]))
    left, right = (first(script(pipeline, [prompt])) for prompt in ("a dog", "a red photo"))
    torch.testing.assert_close(both[..., :4], left[..., :4], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(both[..., 4:], right[..., 4:], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(left, right, atol=1e-3)


@pytest.mark.parametrize("solver", SOLVERS)
def test_apart_from_each_other_regions_see_colours(pipeline, solver, monkeypatch) -> None:
    said = script(pipeline, ["a dog", "a red photo"], [LEFT, RIGHT])
    seen = []
    forward = pipeline.unet.forward

    def watch(x, *args, **kwargs):
        seen.append(x)
        return forward(x, *args, **kwargs)

    monkeypatch.setattr(pipeline.unet, "forward", watch)
    with torch.inference_mode():
        colours = torch.tensor([[1.0, -1, -1], [-1, -1, 1.0]])[:, :, None, None]
        plain = latents_of(pipeline, colours.expand(-1, -1, 16, 16))
    background = Background(plain, 0.5, torch.Generator().manual_seed(1))
    told = drawn(pipeline, said, solver, background)
    assert told.isfinite().all()
    calls = [len(x) for x in seen]
    assert calls[0] == 4  # two empty, two asked
    assert calls[-1] == 3
    assert calls.count(4) == -(-len(calls) // 2)
    first = seen[0]
    assert torch.equal(first[:2], first[2:])
    assert not torch.equal(first[0, :, :, 4:], first[1, :, :, 4:])
    scheduler = scheduler_of(pipeline, solver)
    scheduler.set_timesteps(4)
    start = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(3))
    start = scheduler.scale_model_input(start * scheduler.init_noise_sigma, scheduler.timesteps[0])
    assert torch.equal(first[0, :, :, :4], start[0, :, :, :4])
    assert torch.equal(first[1, :, :, 4:], start[0, :, :, 4:])


def test_places_are_shared() -> None:
    whole, left, upper = shares([LEFT, (0.0, 0.0, 1.0, 0.5)], 4, 6)
    assert torch.equal(whole + left + upper, torch.ones(4, 6))
    assert torch.equal(left[:, :3], torch.tensor([0.5, 0.5, 1, 1])[:, None].expand(4, 3))
    assert not left[:, 3:].any()
    assert torch.equal(upper[:2, 3:], torch.ones(2, 3))
    assert torch.equal(whole[2:, 3:], torch.ones(2, 3))
    assert torch.equal(shares([], 2, 2), torch.ones(1, 2, 2))


def test_a_prompt_falls_into_columns() -> None:
    left, middle, right = columns("a photo of a <a>, a <b> and a <c> in snow")
    assert left == ((0.0, 0.0, 1 / 3, 1.0), "a photo of a <a> in snow")
    assert middle.prompt == "a photo of a <b> in snow"
    assert right == ((2 / 3, 0.0, 1.0, 1.0), "a photo of a <c> in snow")
    assert columns("a <new1> in snow") == ()
