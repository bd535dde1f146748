"""Training of new rows alone."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

import torch

from marmor.personalization.placeholders import add_placeholder
from marmor.personalization.rows import NewRows


def start(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 32, generator=torch.Generator().manual_seed(seed))


def tokens(pipeline, *texts: str) -> torch.Tensor:
    how = {"padding": "max_length", "truncation": True, "return_tensors": "pt"}
    return pipeline.tokenizer(list(texts), **how)["input_ids"]


def two_words(pipeline) -> NewRows:
    parts = pipeline.tokenizer, pipeline.text_encoder
    ids = [add_placeholder(*parts, name, start(2)).ids for name in ("<new1>", "<new2>")]
    return NewRows(pipeline.text_encoder, [*ids[0], *ids[1]])


def test_the_encoder_says_the_same_of_rows_put_in_as_of_rows_written(pipeline) -> None:
    encoder, rows = pipeline.text_encoder, two_words(pipeline)
    asked = tokens(pipeline, "a <new1> <new1>_1 next to a <new2>", "a dog")
    before = encoder(asked)[0]
    assert torch.equal(rows(encoder, asked), before)
    with torch.no_grad():
        rows.rows.add_(1.0)
    put_in = rows(encoder, asked)
    assert torch.equal(put_in[1], before[1])
    assert torch.equal(encoder(asked)[0], before)
    rows.write(encoder)
    assert torch.equal(encoder(asked)[0], put_in)
    assert not torch.equal(put_in[0], before[0])


def test_only_new_rows_change_and_those_of_both_words_do(pipeline) -> None:
    encoder, rows = pipeline.text_encoder, two_words(pipeline)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    first = rows.rows.detach().clone()
    optimizer = torch.optim.AdamW(rows.parameters(), lr=0.1, weight_decay=0.5)
    both = tokens(pipeline, "a <new1> <new1>_1 and a <new2> <new2>_1")
    for asked in (both, tokens(pipeline, "a dog")):
        optimizer.zero_grad()
        rows(encoder, asked).square().sum().backward()
        optimizer.step()
    assert ((rows.rows - first).abs() > 0.01).any(1).all()
    rows.write(encoder)
    trained = rows.ids.tolist()
    for name, value in encoder.state_dict().items():
        changed = (
            (value != before[name]).flatten(1).any(1) if value.ndim > 1 else value != before[name]
        )
        expected = trained if name.endswith("token_embedding.weight") else []
        assert changed.nonzero().flatten().tolist() == expected


def test_threads_read_one_encoder_with_rows_of_their_own(pipeline) -> None:
    encoder, one = pipeline.text_encoder, two_words(pipeline)
    other = deepcopy(one)
    with torch.no_grad():
        other.rows.mul_(-1)
    asked = tokens(pipeline, "a <new1> next to a <new2>")
    alone = [rows(encoder, asked) for rows in (one, other)]
    assert not torch.equal(*alone)
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda rows: rows(encoder, asked), [one, other] * 20))
    assert all(torch.equal(found, alone[n % 2]) for n, found in enumerate(together))
