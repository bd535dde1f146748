"""What a small CLIP starts with, and pictures that it reads by some of their patches."""

import pytest
import torch
from torch import Tensor

from marmor.language import ClipSizes, busiest, clip_tokenizer, features_of_patches, small_clip
from marmor.language.starts import positions

SIZES = ClipSizes(vision=(64, 2), text=(32, 1), space=16, patch=4, context=16)


@pytest.fixture
def clip():
    torch.manual_seed(0)
    return small_clip(clip_tokenizer(["a red cube", "a blue ball"], 16), 32, SIZES).eval()


def pictures(count: int = 3) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_the_busiest_patches_are_those_that_vary() -> None:
    plain = (
        torch.zeros(2, 3, 16, 16) + torch.arange(3)[:, None, None]
    )  # another level in each channel
    plain[0, 1, 5, 9] = 3.0  # the second row of patches, the third patch
    plain[0, :, 12:, :4] = torch.randn(3, 4, 4)
    plain[1, 2, 0, 15] = 4.0
    plain[1, 0, 15, 15] = 1.0
    assert busiest(plain, 4, 2).tolist() == [[6, 12], [3, 15]]


@torch.inference_mode()
def test_features_of_all_patches_are_those_of_the_picture(clip) -> None:
    every = torch.arange(64).expand(3, -1)
    whole = clip.get_image_features(pixel_values=pictures()).pooler_output
    torch.testing.assert_close(features_of_patches(clip, pictures(), every), whole)


@torch.inference_mode()
def test_only_the_patches_kept_are_read_each_in_its_place(clip) -> None:
    kept = torch.tensor([[0, 9, 63]]).expand(3, -1)
    found = features_of_patches(clip, pictures(), kept)
    other = pictures()
    other[:, :, :, 4:8] += 1.0  # the second column: of those kept, the one in its second row
    other[:, :, 4:8, 4:8] -= 1.0
    torch.testing.assert_close(features_of_patches(clip, other, kept), found)
    other[:, :, 4:8, 4:8] += 1.0
    assert not torch.allclose(features_of_patches(clip, other, kept), found, atol=1e-3)
    moved = torch.tensor([[0, 10, 63]]).expand(3, -1)
    shifted = pictures().roll(4, 3)
    shifted[:, :, :4, :4] = pictures()[:, :, :4, :4]
    shifted[:, :, 28:, 28:] = pictures()[:, :, 28:, 28:]
    assert not torch.allclose(features_of_patches(clip, shifted, moved), found, atol=1e-3)


@torch.inference_mode()
def test_a_patch_begins_by_looking_at_itself_and_its_neighbours(clip) -> None:
    vision = clip.vision_model
    table = vision.embeddings.position_embedding.weight
    assert torch.equal(table[1:], positions(8, 64))
    assert not table[0].any()
    alike = positions(8, 64) @ positions(8, 64).T
    places = torch.stack(torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij"), -1)
    far = torch.cdist(places.flatten(0, 1).float(), places.flatten(0, 1).float())
    by_distance = [alike[far == d].mean() for d in (0, 1, 2, 4)]
    assert by_distance == sorted(by_distance, reverse=True)
    for layer in vision.encoder.layers:
        attention = layer.self_attn
        for own in (slice(0, 32), slice(32, 64)):
            query, key = attention.q_proj.weight[own], attention.k_proj.weight[own]
            product = query.T @ key
            assert product.diagonal().mean() > 0.3
            assert product.diagonal().mean() > 3 * product.fill_diagonal_(0).mean().abs()
        value, out = attention.v_proj.weight, attention.out_proj.weight
        # The product is exactly minus 0.4 of the identity, and chance of 0.4.
        product = value.T @ out.T
        assert product.diagonal().mean() == pytest.approx(-0.4, abs=0.05)
        noise = product + 0.4 * torch.eye(64)
        assert noise.std() * 8 == pytest.approx(0.4, abs=0.05)
