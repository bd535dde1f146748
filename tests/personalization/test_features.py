"""Text features that a merge holds on to."""

import torch

from marmor.personalization.features import caption_features, whole_words, word_features
from marmor.personalization.placeholders import add_placeholder


def vectors(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 32, generator=torch.Generator().manual_seed(seed))


def states(pipeline, text: str) -> torch.Tensor:
    """As the pipeline itself reads a prompt: filled up to its whole length."""
    read = pipeline.tokenizer(text, padding="max_length", return_tensors="pt")
    with torch.no_grad():
        return pipeline.text_encoder(read["input_ids"])[0][0]


def test_a_word_is_its_vectors_and_the_end_of_its_sentence(pipeline) -> None:
    parts = pipeline.tokenizer, pipeline.text_encoder
    art, cart = (add_placeholder(*parts, n, vectors(2, len(n))) for n in ("<art>", "<cart>"))
    found = word_features(*parts, ["a <cart>", "<cart> of red"], cart)
    one, other = states(pipeline, "a <cart> <cart>_1"), states(pipeline, "<cart> <cart>_1 of red")
    # 0 is the begin; the end follows the last word.
    expected = torch.cat([one[[2, 3, 4]], other[[1, 2, 5]]])
    assert torch.allclose(found, expected, atol=1e-5)
    alone = word_features(*parts, ["a <art>"], art)
    assert torch.allclose(alone, states(pipeline, "a <art> <art>_1")[[2, 3, 4]], atol=1e-5)


def test_captions_are_read_from_begin_to_end_and_no_further(pipeline) -> None:
    parts = pipeline.tokenizer, pipeline.text_encoder
    shares = []
    texts = ["a red dog", "dog", *["a photo"] * 40]
    found = caption_features(*parts, texts, shares.append)
    assert len(found) == 5 + 3 + 40 * 4
    assert torch.allclose(found[:5], states(pipeline, "a red dog")[:5], atol=1e-5)
    assert torch.allclose(found[5:8], states(pipeline, "dog")[:3], atol=1e-5)
    assert shares == [32 / 42, 1.0]


def test_words_of_one_token_are_found(pipeline) -> None:
    assert whole_words(pipeline.tokenizer) == ["photo", "red", "dog", "next"]
