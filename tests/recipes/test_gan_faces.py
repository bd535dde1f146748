"""`marmor train gan-faces`: from training to the page, resumed, guarded, refused."""

import html
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from marmor.adversarial import CriticTurns, Referee, gradient_penalty
from marmor.base.pixels import to_unit
from marmor.cli import main
from marmor.data import read, write
from marmor.networks.dcgan import DcganCritic, DcganGenerator
from marmor.recipes import gan_faces
from marmor.recipes.contest import Contest, Players
from marmor.recipes.gan_designs import GANS
from marmor.training import Batch, Budget, RunFolder, loop

SMALL = ["--size", "8", "--batch", "4", "--precision", "fp32"]
PUBLISHED = dict(GANS)
"""As they ship; tests give the critic of WGAN fewer turns."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of the log for each step, no detector of faces, a critic of WGAN that takes few turns."""
    monkeypatch.setattr(gan_faces, "LOG_TURNS", 5)
    monkeypatch.setattr("marmor.recipes.publishing.can_detect", lambda: False)
    few = CriticTurns(usual=2, generous=3, first=1, every=2)
    for name in ("wgan", "wgan-gp"):
        monkeypatch.setitem(GANS, name, replace(GANS[name], turns=few))


def train(data: Path, path: Path, *words: str, steps: int = 5) -> RunFolder:
    given = ["--data", str(data), "--run", str(path), "--steps", str(steps), *SMALL, *words]
    main(["train", "gan-faces", *given])
    return RunFolder(path)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one sentence that a command is refused with."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(list(words))
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert len(error.strip().splitlines()) == 1
    return error


@pytest.fixture(scope="module")
def gan(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gans") / "r3gan"
    train(data, path, steps=16)
    return path


def pictures(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.png"))}


def test_both_networks_are_printed_layer_by_layer_before_training(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(data, tmp_path / "run", steps=1)
    said = capsys.readouterr().out.split("training r3gan on")[0]
    players = gan_faces.players_of(run.config["settings"]["model"])
    for name in ("generator", "critic"):
        count = sum(weights.numel() for weights in getattr(players, name).parameters())
        told = said.split(f"{name}\n")[1]
        assert "output" in told.splitlines()[0]
        assert f"{count:,}" in told


def test_a_run_is_drawn_from(gan: Path, tmp_path: Path) -> None:
    main(["sample", str(gan), "--count", "7", "--out", str(tmp_path / "seven")])
    main(["sample", str(gan), "--per-class", "3", "--out", str(tmp_path / "three")])
    seven, three = pictures(tmp_path / "seven"), pictures(tmp_path / "three")
    assert list(seven) == [f"image_{number:03d}.png" for number in range(1, 8)]
    # The same files whatever else is drawn, and each another.
    assert three.items() <= seven.items()
    assert len(set(seven.values())) == 7
    main(["grid", str(gan), "--columns", "3", "--out", str(tmp_path / "grid.png")])
    assert Image.open(tmp_path / "grid.png").size[0] > 3 * 8


def test_interpolation_begins_and_ends_with_the_images_of_two_seeds(
    gan: Path, tmp_path: Path
) -> None:
    out = tmp_path / "way.png"
    words = ["interpolate", str(gan), "--alphas", "0:1:0.5", "--out", str(out)]
    main([*words, "--method", "slerp"])
    there = np.array(Image.open(out))
    main([*words, "--method", "slerp", "--from", "1", "--to", "0"])
    back = np.array(Image.open(out))
    # Three frames of 112 pixels, 6 pixels apart, captions below.
    step = (there.shape[1] - 6) // 3
    columns = [slice(6 + k * step, 6 + (k + 1) * step) for k in range(3)]
    frames = [[whole[6:118, each].astype(int) for each in columns] for whole in (there, back)]
    assert np.abs(frames[0][0] - frames[1][2]).max() <= 2
    assert np.abs(frames[0][2] - frames[1][0]).max() <= 2
    assert np.abs(frames[0][0] - frames[0][1]).max() > 2


def test_an_export_holds_the_generator_alone_and_draws_the_same(gan: Path, tmp_path: Path) -> None:
    main(["export", str(gan), "--out", str(tmp_path / "small")])
    for name, model in (("run", gan), ("export", tmp_path / "small")):
        main(["sample", str(model), "--count", "2", "--out", str(tmp_path / name)])
    run, export = (
        np.array(Image.open(tmp_path / name / "image_001.png")).astype(int)
        for name in ("run", "export")
    )
    assert np.abs(run - export).max() <= 3  # half precision
    assert not (tmp_path / "small" / "checkpoints").exists()
    exported = load_file(tmp_path / "small" / "model.safetensors")
    whole = RunFolder(gan).average_weights()
    assert exported.keys() == {name for name in whole if name.startswith("generator.")}
    assert {each.dtype for each in exported.values() if each.is_floating_point()} == {torch.float16}


def test_what_a_gan_does_not_know_is_refused(
    gan: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out")]
    sample = ["sample", str(gan), *out]
    said = refused(capsys, *sample, "--steps", "5", "--guidance", "2")
    assert "knows no --steps, --guidance" in said
    assert "no --steps" in refused(capsys, "interpolate", str(gan), "--steps", "5", *out)
    assert "for diffusion models" in refused(capsys, "strip", str(gan), *out)
    assert "for diffusion models" in refused(capsys, "eta-grid", str(gan), *out)
    assert "no guidance" in refused(capsys, "export", str(gan), "--guidance", "2", *out)
    assert "at least 1" in refused(capsys, *sample, "--count", "0")
    assert "leave --per-class out" in refused(capsys, *sample, "--count", "2", "--per-class", "2")
    assert "--judge" in refused(capsys, "report", str(gan), "--judge", "pretrained:digit-judge")
    torch.save(torch.randn(1, 3, 8, 8), tmp_path / "noise.pt")
    noise = ["interpolate", str(gan), "--from", str(tmp_path / "noise.pt"), *out]
    assert "vector of 100 numbers" in refused(capsys, *noise)
    assert not (tmp_path / "out").exists()


def test_the_report_shows_the_run_beside_another(gan: Path, run: Path) -> None:
    main(["report", str(gan), "--per-class", "9", "--beside", str(run)])
    figures = json.loads((gan / "summary.json").read_text())
    expected = {"train.minutes", "train.critic.loss", "train.generator.loss", "diversity"}
    assert expected | {"train.critic.accuracy", "train.critic.augmentation"} <= figures.keys()
    assert figures["sample.images"] == len(pictures(gan / "samples")) == 9
    shown = {path.stem for path in (gan / "figures").glob("*.png")}
    assert {"first", "beside", "over-time", "losses", "diversity", "interpolation"} <= shown
    page = (gan / "report.html").read_text()
    assert "It saw nothing wrong." in page
    assert "marmor train gan-faces" in page
    assert "--classes" not in page
    layers = (gan / "figures" / "model.txt").read_text()
    assert "generator\n" in layers
    assert "critic\n" in layers
    # One row of images for each milestone, from the same latents.
    assert len(list((gan / "milestones").glob("*.png"))) == len(
        gan_faces.milestones_of(RunFolder(gan))
    )


def test_a_model_of_classes_draws_as_many_of_each(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "run", "--classes", steps=2)
    main(["sample", str(tmp_path / "run"), "--count", "7", "--out", str(tmp_path / "out")])
    names = list(pictures(tmp_path / "out"))
    counts = [sum(name.startswith(each) for name in names) for each in ("left", "middle", "right")]
    assert counts == [3, 2, 2]


@pytest.mark.parametrize("objective", GANS)
def test_ctrl_c_and_resume_end_with_the_same_bits(
    objective: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("marmor.adversarial.adaptive.TARGET", -2.0)  # augmentation always rises
    whole = train(data, tmp_path / "whole", "--objective", objective)

    class Interrupted(Contest):
        def draw(self, step: int, turn: int) -> Batch:
            if step == 2 and turn == 1:
                os.kill(os.getpid(), signal.SIGINT)
            return super().draw(step, turn)

    with monkeypatch.context() as patched:
        patched.setattr(gan_faces, "Contest", Interrupted)
        with pytest.raises(SystemExit) as stopped:
            train(data, tmp_path / "run", "--objective", objective)
    assert stopped.value.code == 130
    saved = RunFolder(tmp_path / "run").checkpoints.load()
    assert saved is not None
    assert saved.position["step"] == 3
    main(["resume", str(tmp_path / "run")])
    again = RunFolder(tmp_path / "run")
    expected, found = whole.checkpoints.load(), again.checkpoints.load()
    assert expected is not None
    assert found is not None
    for part in ("model", "average"):
        for name, values in getattr(expected, part).items():
            assert torch.equal(getattr(found, part)[name], values), (part, name)
    assert (expected.model["strength"] > 0) == GANS[objective].augmented
    assert [_timeless(line) for line in whole.history()] == [
        _timeless(line) for line in again.history()
    ]


def _timeless(line: dict) -> dict:
    return {name: value for name, value in line.items() if name != "seconds"}


def test_wgan_clips_before_each_use_of_the_critic(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    largest: dict[str, list[float]] = {"critic": [], "generator": []}

    def watched(name: str, loss):
        def watch(self: Contest, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
            assert isinstance(module, Players)
            weights = module.critic.parameters()
            largest[name].append(max(weight.abs().max().item() for weight in weights))
            return loss(self, module, batch)

        return watch

    for name in largest:
        loss = getattr(Contest, f"{name}_loss")
        monkeypatch.setattr(Contest, f"{name}_loss", watched(name, loss))
    train(data, tmp_path / "run", "--objective", "wgan", "--classes", steps=3)
    # Generous at the steps 0 and 2.
    assert [len(uses) for uses in largest.values()] == [3 + 2 + 3, 3]
    assert max(map(max, largest.values())) == pytest.approx(0.01)


def test_both_players_move_in_every_step(data: Path, tmp_path: Path) -> None:
    saved = [train(data, tmp_path / str(n), steps=n).checkpoints.load() for n in (1, 2)]
    first, second = (each.model for each in saved if each is not None)
    for name in ("generator.body.0.weight", "critic.score.weight"):
        assert not first[name].equal(second[name])


def test_published_rates_and_optimizers() -> None:
    weights = [nn.Parameter(torch.zeros(1))]
    made = {name: design.optimizer(weights) for name, design in PUBLISHED.items()}
    assert type(made["wgan"]) is torch.optim.RMSprop
    assert {type(made[name]) for name in ("r3gan", "dcgan", "wgan-gp")} == {torch.optim.Adam}
    rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in made.items()}
    assert (rates["dcgan"], rates["wgan"], rates["wgan-gp"]) == (2e-4, 5e-5, 1e-4)
    assert made["dcgan"].param_groups[0]["betas"] == (0.5, 0.999)
    assert made["wgan-gp"].param_groups[0]["betas"] == (0.0, 0.9)
    assert [GANS[name].batch_size for name in ("dcgan", "wgan", "wgan-gp")] == [128, 64, 64]
    assert PUBLISHED["wgan"].turns == CriticTurns(usual=5, generous=100, first=25, every=500)
    assert PUBLISHED["wgan-gp"].turns == CriticTurns(usual=5)
    assert PUBLISHED["dcgan"].turns == PUBLISHED["r3gan"].turns == CriticTurns()
    assert {name: design.clip for name, design in PUBLISHED.items() if design.clip} == {
        "wgan": 0.01
    }
    assert {name: d.one_centred for name, d in PUBLISHED.items() if d.one_centred} == {
        "wgan-gp": 10
    }
    assert {name: d.zero_centred for name, d in PUBLISHED.items() if d.zero_centred} == {
        "r3gan": 0.3
    }
    assert PUBLISHED["r3gan"].penalty_every == 4
    assert made["r3gan"].param_groups[0]["betas"] == (0.0, 0.99)
    assert not any(GANS[name].augmented or GANS[name].ema for name in ("dcgan", "wgan", "wgan-gp"))


def test_a_batch_is_another_for_each_turn_and_the_generator_sees_the_last(data: Path) -> None:
    images = read(str(data), "train").resized(8).unlabelled()
    design = GANS["wgan-gp"]
    players = Players(design.generator((3, 8, 8), 0), design.critic((3, 8, 8), 0))
    game = Contest(players, design, images, 4, 0)
    seen = [
        game.draw(step, turn)["real"] for step in (0, 1) for turn in range(design.turns.of(step))
    ]
    assert len(torch.stack(seen).flatten(1).unique(dim=0)) == 3 + 2
    last = game.draw(1, design.turns.of(1))
    assert last["real"].equal(seen[-1])
    assert not last["latent"].equal(game.draw(1, design.turns.of(1) - 1)["latent"])


def test_dcgan_learns_from_the_images_that_its_critic_saw(data: Path) -> None:
    game, players = game_of(data, "dcgan")
    seen = []
    players.generator.register_forward_hook(lambda *told: seen.append(told[2]))
    critic, generator = game.draw(0, 0), game.draw(0, 1)
    assert generator["latent"].equal(critic["latent"])
    game.critic_loss(players, critic)["loss"].backward()
    assert not any(weights.grad is not None for weights in players.generator.parameters())
    reused = game.generator_loss(players, generator)["loss"]
    reused.backward()
    assert all(weights.grad is not None for weights in players.generator.parameters())
    assert len(seen) == 1
    anew = game.generator_loss(players, generator)["loss"]
    assert len(seen) == 2
    assert anew.item() == pytest.approx(reused.item(), rel=1e-5)
    # The others draw new ones.
    game, players = game_of(data, "r3gan")
    game.critic_loss(players, game.draw(0, 0))
    assert players.drawn is None


def test_half_of_the_images_are_mirrored_on_request(data: Path) -> None:
    images = read(str(data), "train").resized(8).unlabelled()
    straight = to_unit(images.images)

    def mirrored(wish: bool) -> float:
        design = replace(GANS["dcgan"], mirrored=wish)
        players = Players(design.generator((3, 8, 8), 0), design.critic((3, 8, 8), 0))
        drawn = Contest(players, design, images, len(images), 0).draw(0, 0)["real"]
        known = [(each.flip(2) == straight).flatten(1).all(1).any() for each in drawn]
        straightly = [(each == straight).flatten(1).all(1).any() for each in drawn]
        assert all(a or b for a, b in zip(known, straightly, strict=True))
        return 1 - int(sum(straightly)) / len(drawn)

    assert mirrored(False) == 0
    assert 0.3 < mirrored(True) < 0.7


def test_whether_to_mirror_can_be_said(data: Path, tmp_path: Path) -> None:
    def losses(objective: str, *words: str) -> list[float]:
        path = tmp_path / "-".join([objective, *words])
        run = train(data, path, "--objective", objective, *words, steps=2)
        return [line["critic.loss"] for line in run.history()]

    asked = {wish: losses("r3gan", "--mirror", wish) for wish in ("on", "off")}
    assert losses("r3gan") == asked["on"] != asked["off"]
    assert losses("dcgan") == losses("dcgan", "--mirror", "off")


def game_of(data: Path, name: str, **changes: object) -> tuple[Contest, Players]:
    """A game on images of 8×8, as the design has it but for the changes, and its players."""
    images = read(str(data), "train").resized(8).unlabelled()
    design = replace(GANS[name], **changes)
    torch.manual_seed(0)
    players = Players(design.generator((3, 8, 8), 0), design.critic((3, 8, 8), 0))
    return Contest(players, design, images, 4, 0), players


def test_images_of_a_model_of_scenes_stand_beside_those_of_a_gan(
    data: Path, tmp_path: Path, tiny_scene_model: Path
) -> None:
    run = train(data, tmp_path / "run", steps=2)
    words = ["--per-class", "2", "--beside", str(tiny_scene_model)]
    main(["report", str(run.path), *words])
    assert (run.path / "figures" / "beside.png").is_file()
    assert f"--per-class 2 --beside {tiny_scene_model}" in (run.path / "report.html").read_text()


def test_the_critic_pays_for_its_slopes_at_real_and_at_drawn_images(data: Path) -> None:
    """R3GAN's loss (Huang et al. 2024, eq. 4): γ / 2 for R1 and as much for R2."""
    game, players = game_of(data, "r3gan", augmented=False, penalty_every=1)
    batch = game.draw(0, 0)
    sides = [batch["real"], players.generator(batch["latent"]).detach()]
    scores, steep = [], []
    for images in sides:
        given = images.clone().requires_grad_()
        score = players.critic(given)
        [slope] = torch.autograd.grad(score.sum(), given)
        scores.append(score)
        steep.append(slope.square().sum((1, 2, 3)).mean().item())
    free = game.design.objective.critic(*scores).item()
    paid = game.critic_loss(players, batch)["loss"].item() - free
    assert min(steep) > 0
    assert paid == pytest.approx(0.3 / 2 * sum(steep), rel=1e-3)


def test_wgan_gp_pays_ten_times_its_penalty(data: Path) -> None:
    game, players = game_of(data, "wgan-gp")
    batch = game.draw(0, 0)
    drawn = players.generator(batch["latent"]).detach()
    score = players.critic
    free = game.design.objective.critic(score(batch["real"]), score(drawn)).item()
    penalty = gradient_penalty(score, batch["real"], drawn, batch["share"]).item()
    assert penalty > 0
    paid = game.critic_loss(players, batch)["loss"].item() - free
    assert paid == pytest.approx(10 * penalty, rel=1e-3)


def test_the_strength_of_augmentation_changes_what_the_critic_sees(data: Path) -> None:
    game, players = game_of(data, "r3gan")

    def losses(strength: float) -> list[float]:
        players.strength.fill_(strength)
        batch = game.draw(1, 0)
        both = game.critic_loss(players, batch), game.generator_loss(players, batch)
        return [scalars["loss"].item() for scalars in both]

    plain, changed = losses(0.0), losses(1.0)
    assert all(a != b for a, b in zip(plain, changed, strict=True))


def test_a_penalty_counts_for_the_turns_that_go_without(data: Path) -> None:
    images = read(str(data), "train").resized(8).unlabelled()
    torch.manual_seed(0)
    players = Players(DcganGenerator((3, 8, 8)), DcganCritic((3, 8, 8), normalised=False))

    def losses(**changes: float) -> list[float]:
        game = Contest(players, replace(GANS["r3gan"], **changes), images, 4, 0)
        batches = [game.draw(step, 0) for step in range(6)]
        return [game.critic_loss(players, batch)["loss"].item() for batch in batches]

    bare, always, lazy = losses(zero_centred=0), losses(penalty_every=1), losses(penalty_every=3)
    penalties = [paid - free for paid, free in zip(always, bare, strict=True)]
    assert min(penalties) > 0
    expected = [3 * penalties[0], 0, 0, 3 * penalties[3], 0, 0]
    found = [paid - free for paid, free in zip(lazy, bare, strict=True)]
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_images_normalised_for_imagenet_are_refused_before_anything_is_written(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = read(str(data), "train").images.numpy() / 255
    np.savez(tmp_path / "normal.npz", images=(images - 0.485) / 0.229)
    words = ["train", "gan-faces", "--data", str(tmp_path / "normal.npz")]
    said = refused(capsys, *words, "--run", str(tmp_path / "run"), *SMALL, "--steps", "2")
    assert "normalised by mean and spread, as for ImageNet" in said
    assert "tanh" in said
    assert not (tmp_path / "run").exists()


def trouble(
    monkeypatch: pytest.MonkeyPatch,
    whose: str,
    change: Callable[[Contest, dict[str, Tensor]], dict[str, Tensor]],
) -> None:
    """The losses of critic or generator, changed."""
    calm = getattr(Contest, f"{whose}_loss")

    def changed(self: Contest, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return change(self, calm(self, module, batch))

    monkeypatch.setattr(Contest, f"{whose}_loss", changed)


def test_a_loss_that_explodes_is_told_and_mended(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def wild(contest: Contest, scalars: dict[str, Tensor]) -> dict[str, Tensor]:
        return scalars if contest.gentleness < 1 else {**scalars, "loss": 1e4 + scalars["loss"]}

    trouble(monkeypatch, "critic", wild)
    run = train(data, tmp_path / "run", steps=8)
    assert "the critic's loss has exploded" in capsys.readouterr().out
    history = run.history()
    assert "exploded" in history[0]["retreat"]
    assert history[-1]["step"] == 8
    assert history[-1]["rate"] == pytest.approx(0.25 / 2)
    main(["report", str(run.path), "--per-class", "2"])
    assert "loss has exploded" in (run.path / "report.html").read_text()
    assert json.loads((run.path / "summary.json").read_text())["retreats"] == 1


def test_a_run_that_gives_up_says_so_in_its_log_and_on_its_page(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    trouble(monkeypatch, "critic", lambda game, scalars: {**scalars, "loss": scalars["loss"] + 1e4})
    words = ["--data", str(data), "--run", str(tmp_path / "run"), "--steps", "8", *SMALL]
    said = refused(capsys, "train", "gan-faces", *words)
    assert "sent back for the 7th time: the critic's loss has exploded" in said
    last = RunFolder(tmp_path / "run").history()[-1]
    assert "exploded" in last["gave_up"]
    main(["report", str(tmp_path / "run"), "--per-class", "2"])
    page = html.unescape((tmp_path / "run" / "report.html").read_text())
    assert f"After step {last['step']} the critic's loss has exploded" in page
    assert "the run gave up" in page


def test_a_loss_that_explodes_between_milestones_is_seen_at_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wild(contest: Contest, scalars: dict[str, Tensor]) -> dict[str, Tensor]:
        late = len(seen) == 7 and contest.gentleness == 1  # two steps after the first milestone
        seen.append(late)
        return {**scalars, "loss": 1e4 + scalars["loss"]} if late else scalars

    seen: list[bool] = []
    trouble(monkeypatch, "critic", wild)
    monkeypatch.setattr(gan_faces, "LOG_TURNS", 1)
    run = train(data, tmp_path / "run", steps=40)  # five steps a milestone; a line for each
    [retreat] = [line for line in run.history() if "retreat" in line]
    assert "exploded" in retreat["retreat"]
    assert len(seen) == 40 + 3


def test_it_is_late_by_the_progress_not_by_the_milestones_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Asked:
        def verdict(self, now: object, before: object, late: bool) -> str:
            return str(late)

    monkeypatch.setattr(gan_faces, "milestones_of", lambda run: [])
    course = gan_faces.Course(RunFolder(tmp_path), Asked(), Budget(steps=100), 10)  # pyright: ignore
    losses = {"critic.loss": 0, "generator.loss": 0, "critic.accuracy": 0, "diversity": 1}
    record = {"images": 0, "seconds": 0, **losses}
    assert [course.guard({"step": step, **record}) for step in (49, 50)] == ["False", "True"]


def test_a_large_loss_alarms_only_beside_a_milestone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is large is not known at the start: a Wasserstein critic's loss has any size."""
    milestones = [{"step": 10, "critic.loss": 2.0, "generator.loss": 1.0}]
    monkeypatch.setattr(gan_faces, "milestones_of", lambda run: milestones)
    course = gan_faces.Course(RunFolder(tmp_path), Referee(None), Budget(steps=100), 10)
    large = {"critic.loss": 500.0, "generator.loss": 1.0}
    assert course.alarm({"step": 9, **large}) is None
    assert "exploded" in str(course.alarm({"step": 11, **large}))
    assert course.alarm({"step": 11, **large, "critic.loss": 200.0}) is None


def test_losses_that_are_no_numbers_are_mended_too(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(contest: Contest, scalars: dict[str, Tensor]) -> dict[str, Tensor]:
        return scalars if contest.gentleness < 1 else {"loss": scalars["loss"] * torch.nan}

    trouble(monkeypatch, "generator", broken)
    history = train(data, tmp_path / "run", steps=2).history()
    assert "the loss is nan" in history[0]["retreat"]
    assert history[-1]["step"] == 2


def test_a_critic_that_wins_is_noticed(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(loop, "MOST_RETREATS", 0)
    still = {"loss": torch.zeros((), requires_grad=True)}
    monkeypatch.setattr(Contest, "generator_loss", lambda *_: still)  # it learns nothing
    fast = replace(GANS["dcgan"], optimizer=lambda weights: torch.optim.Adam(weights, lr=2e-3))
    monkeypatch.setitem(GANS, "dcgan", fast)
    words = ["train", "gan-faces", "--data", str(data), "--run", str(tmp_path / "run"), *SMALL]
    said = refused(capsys, *words, "--steps", "80", "--objective", "dcgan", "--batch", "16")
    assert "the critic has won" in said
    assert RunFolder(tmp_path / "run").history()[-2]["critic.accuracy"] > 0.99


def test_a_generator_that_collapses_is_noticed(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(loop, "MOST_RETREATS", 0)
    monkeypatch.setattr(gan_faces, "LOG_TURNS", 2)
    lively = Contest.generator_loss

    def forgetting(self: Contest, module: nn.Module, batch: Batch) -> dict[str, Tensor]:
        assert isinstance(module, Players)
        # What the latent vector has to say falls to nothing beside what every image has.
        module.generator.body[1].weight.data *= 0.3
        return lively(self, module, batch)

    monkeypatch.setattr(Contest, "generator_loss", forgetting)
    fast = replace(GANS["r3gan"], ema=0.0)
    monkeypatch.setitem(GANS, "r3gan", fast)
    words = ["train", "gan-faces", "--data", str(data), "--run", str(tmp_path / "run"), *SMALL]
    said = refused(capsys, *words, "--steps", "10")
    assert "the generator has collapsed" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--objective", "r3gun"], "did you mean 'r3gan'?"),
        (["--size", "28"], "--size must be 8, 16, 32, 64"),
        (["--size", "0"], "--size must be"),
        (["--batch", "0"], "--batch must be at least 1"),
        (["--steps", "1", "--minutes", "1"], "one unit"),
        (["--data", "nowhere"], "nowhere"),
        (["--data", "faces", "--classes"], "class"),
    ],
)
def test_wrong_wishes_are_one_sentence_and_nothing_is_written(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(capsys, "train", "gan-faces", "--run", str(tmp_path / "run"), *words)
    assert not (tmp_path / "run").exists()


def test_a_single_image_is_no_data(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(read(str(data), "train").unlabelled().take([0]), tmp_path / "one.npz")
    words = ["--data", str(tmp_path / "one.npz"), "--run", str(tmp_path / "run")]
    assert "one image" in refused(capsys, "train", "gan-faces", *words)
    assert not (tmp_path / "run").exists()
