"""Drawing: the same files for the same seed, images independent of batches and of other classes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from marmor.base.errors import UserError
from marmor.base.pixels import to_bytes, to_unit
from marmor.diffusion import Flow, linear_betas
from marmor.recipes.asking import Ask, ask_classes
from marmor.recipes.denoising import DiffusionGenerator, states
from marmor.recipes.designs import Drawing
from marmor.recipes.drawing import draw, draw_over, write_images
from marmor.recipes.models import load_generator
from marmor.recipes.wishes import SOLVERS, Wishes, changed, times_of


def stack(drawn) -> torch.Tensor:
    return torch.stack([item.image for item in drawn]).int()


def lefts(generator: DiffusionGenerator, count: int) -> list[Ask]:
    return ask_classes(generator, count, ["left"])


def test_the_same_seed_gives_byte_identical_files(run: Path, tmp_path: Path) -> None:
    for out in ("a", "b"):
        generator = load_generator(str(run))
        write_images(draw(generator, ask_classes(generator, 2), seed=5), tmp_path / out)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == [f"{c}_{n:03d}.png" for c in ("left", "middle", "right") for n in (1, 2)]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_many_seeds_at_once_give_the_bits_of_each_alone(run: Path) -> None:
    generator = load_generator(str(run))
    asks = ask_classes(generator, 3)
    together = draw_over(generator, asks, [4, 5, 6], batch=2)
    for seed, drawn in zip((4, 5, 6), together, strict=True):
        assert [item.ask for item in drawn] == asks
        assert torch.equal(stack(drawn), stack(draw(generator, asks, seed, batch=2)))


def test_another_seed_gives_other_images(run: Path) -> None:
    generator = load_generator(str(run))
    one, two = (stack(draw(generator, lefts(generator, 2), seed)) for seed in (0, 1))
    assert (one - two).abs().float().mean() > 1


WAYS = [Wishes(solver) for solver in SOLVERS] + [Wishes(eta=1.0), Wishes("ddim", eta=0.5)]


@pytest.mark.parametrize("how", WAYS)
def test_an_image_does_not_depend_on_the_batch_size(run: Path, how: Wishes) -> None:
    generator = load_generator(str(run))
    generator = replace(generator, drawing=changed(generator.drawing, how))
    whole, small = (
        stack(draw(generator, lefts(generator, 5), 3, "fp32", batch)) for batch in (5, 2)
    )
    assert (whole - small).abs().max() <= 1


def test_a_class_does_not_depend_on_which_others_are_asked(run: Path) -> None:
    generator = load_generator(str(run))
    every = draw(generator, ask_classes(generator, 3), seed=1)
    alone = draw(generator, ask_classes(generator, 3, ["right"]), seed=1)
    assert torch.equal(stack(every[6:]), stack(alone))


def test_guidance_acts_only_in_its_interval(run: Path) -> None:
    generator = load_generator(str(run))

    def drawn(**wishes: float) -> torch.Tensor:
        how = replace(generator.drawing, **wishes)
        return stack(draw(replace(generator, drawing=how), lefts(generator, 2), 3, "fp32"))

    plain = drawn(guidance=1.0)
    assert not torch.equal(drawn(guidance=4.0, guided_from=0.0), plain)
    assert torch.equal(drawn(guidance=4.0, guided_from=0.0, guided_to=0.0), plain)
    assert torch.equal(drawn(guidance=4.0, guided_from=1.0), plain)
    asked = changed(generator.drawing, Wishes(guided_from=0.1, guided_to=0.8))
    assert (asked.guided_from, asked.guided_to) == (0.1, 0.8)


def test_eta_adds_noise_and_ddpm_refuses_it(run: Path) -> None:
    generator = load_generator(str(run))
    noisy = replace(generator, drawing=changed(generator.drawing, Wishes(eta=1.0)))
    one, two = (stack(draw(model, lefts(generator, 2), 3, "fp32")) for model in (generator, noisy))
    assert (one - two).abs().float().mean() > 1
    with pytest.raises(UserError, match="between 0 and 1"):
        changed(generator.drawing, Wishes(eta=1.5))
    with pytest.raises(UserError, match="ddpm has no such choice"):
        changed(generator.drawing, Wishes("ddpm", eta=0.5))


def test_times_can_be_said_one_by_one(run: Path) -> None:
    generator = load_generator(str(run))
    said = changed(generator.drawing, Wishes(times="0.99,0.6, 0.2"))
    assert said.steps == 3
    visited = states(replace(generator, drawing=said), lefts(generator, 1), 3, "fp32")
    assert [state.time for state in visited] == [0.99, 0.6, 0.2, 0.0]
    for wrong in ("0.2,0.6", "1.2,0.5", "0.5,0", "0.5,soon", "0.5,0.5", ""):
        with pytest.raises(UserError, match="fall from at most 1"):
            changed(generator.drawing, Wishes(times=wrong))
    with pytest.raises(UserError, match="leave --steps and --spacing out"):
        changed(generator.drawing, Wishes(times="0.9,0.5", steps=2))


def test_churn_is_for_heun_and_euler(run: Path) -> None:
    generator = load_generator(str(run))

    def drawn(how: Wishes) -> torch.Tensor:
        drawing = changed(generator.drawing, how)
        return stack(draw(replace(generator, drawing=drawing), lefts(generator, 2), 3, "fp32"))

    still, stirred = drawn(Wishes("heun")), drawn(Wishes("heun", churn=10.0))
    assert (still - stirred).abs().float().mean() > 1
    with pytest.raises(UserError, match="--churn is for heun and euler; ddim has"):
        changed(generator.drawing, Wishes("ddim", churn=1.0))


def test_thresholded_images_use_their_range_up(run: Path) -> None:
    generator = load_generator(str(run))
    own = replace(generator.drawing, clip=None, guidance=8.0, guided_from=0.0)

    def last(how: Wishes) -> torch.Tensor:
        drawing = changed(own, how)
        *_, end = states(replace(generator, drawing=drawing), lefts(generator, 2), 3, "fp32")
        return end.x

    assert last(Wishes()).abs().max() > 1.01
    assert last(Wishes(threshold=0.9)).abs().max() <= 1.0001
    assert changed(own, Wishes(threshold=0.0)).threshold is None


def test_black_is_where_the_model_has_it(run: Path) -> None:
    generator = load_generator(str(run))
    zero = replace(generator, drawing=changed(generator.drawing, Wishes(black=0.0)))
    values = torch.tensor([-1.0, 0.0, 0.5, 1.0])
    assert to_bytes(values, generator.drawing.black).tolist() == [0, 128, 191, 255]
    assert to_bytes(values, zero.drawing.black).tolist() == [0, 0, 128, 255]
    every = torch.arange(256, dtype=torch.uint8)
    for model in (generator, zero):
        black = model.drawing.black
        assert torch.equal(to_bytes(to_unit(every, black), black), every)
    assert to_unit(every, zero.drawing.black).min() == 0
    with pytest.raises(UserError, match="--black must lie below 1"):
        changed(generator.drawing, Wishes(black=1.0))


@pytest.mark.parametrize("flag", ["guided_from", "guided_to", "threshold", "rescale"])
def test_shares_lie_between_0_and_1(flag: str) -> None:
    with pytest.raises(UserError, match=f"--{flag.replace('_', '-')} must lie between 0 and 1"):
        changed(Drawing(), Wishes(**{flag: 1.5}))


def test_clip_is_a_number_or_none_at_all() -> None:
    assert changed(Drawing(), Wishes(clip=0.0)).clip is None
    assert changed(Drawing(), Wishes(clip=0.9)).clip == 0.9
    with pytest.raises(UserError, match="--clip must be"):
        changed(Drawing(), Wishes(clip=-1.0))


def test_spacings_are_those_that_the_schedule_has() -> None:
    uniform = Drawing(steps=4, start=1.0)
    assert times_of(uniform, Flow()) == [1.0, 0.75, 0.5, 0.25, 0.0]
    leading = changed(uniform, Wishes(spacing="leading"))
    assert times_of(leading, linear_betas(1000))[:2] == [0.751, 0.501]
    with pytest.raises(UserError, match="continuous"):
        times_of(leading, Flow())
    with pytest.raises(UserError, match="more than the 3 steps"):
        times_of(leading, linear_betas(3))
    karras = times_of(changed(uniform, Wishes(spacing="karras")), linear_betas(1000))
    assert (karras[0], karras[-2]) == pytest.approx((1.0, 0.001))
    with pytest.raises(UserError, match="'karras'"):
        changed(uniform, Wishes(spacing="karas"))


def test_unknown_solver_and_class_name_the_nearest(run: Path) -> None:
    generator = load_generator(str(run))
    with pytest.raises(UserError, match=r"unknown solver 'dpm-solver'.*'dpm-solver\+\+'"):
        changed(generator.drawing, Wishes("dpm-solver"))
    with pytest.raises(UserError, match=r"unknown class 'lef'.*'left'"):
        ask_classes(generator, 1, ["lef"])
