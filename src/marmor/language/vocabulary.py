"""A tokenizer of CLIP's kind for the words of a few sentences: byte-pair encoding (Sennrich et al. 2016)."""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

from marmor.base.files import write_json, write_text

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
MOST_MERGES = 4096

Pair = tuple[str, str]


def clip_tokenizer(sentences: Iterable[str], context: int) -> Any:
    """A CLIPTokenizer of transformers in which each word of ``sentences`` is one token.

    Other words are spelled in the pieces that there are, down to single bytes, so that no word is unknown.
    Where more than MOST_MERGES merges would be needed, the rarest words stay in pieces. ``context`` is how
    many tokens a sentence may have, its start and end among them.
    """
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    alphabet = [*letters, *(letter + WORD_END for letter in letters)]
    spelling = CLIPTokenizer(vocab=_numbered([*alphabet, START, END]), merges=[])
    merges = learn_merges(_words(spelling, sentences))
    joined = dict.fromkeys(first + second for first, second in merges)
    vocabulary = _numbered([*alphabet, *joined, START, END])
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=merges,  # type: ignore[arg-type]  # pairs, as its reader of files passes them
        model_max_length=context,
    )


def save_tokenizer(tokenizer: Any, folder: Path) -> None:
    """As transformers saves it, with vocab.json and merges.txt beside for older readers."""
    tokenizer.save_pretrained(folder)
    merges = [" ".join(pair) for pair in tokenizer._merges]
    numbers = tokenizer.get_vocab()  # in any order
    write_json(folder / "vocab.json", dict(sorted(numbers.items(), key=lambda item: item[1])))
    write_text(folder / "merges.txt", "\n".join(["#version: 0.2", *merges, ""]))


def learn_merges(words: Counter[str]) -> list[Pair]:
    """Pairs of pieces to join, in order, until each word is one piece: always the most frequent pair.

    Of equally frequent ones the first by alphabet. The last letter of a word carries WORD_END.
    """
    spelled = {word: [*word[:-1], word[-1] + WORD_END] for word in sorted(words)}
    merges: list[Pair] = []
    while len(merges) < MOST_MERGES:
        pairs: Counter[Pair] = Counter()
        for word, pieces in spelled.items():
            for pair in pairwise(pieces):
                pairs[pair] += words[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        spelled = {word: _joined(pieces, best) for word, pieces in spelled.items()}
    return merges


def _joined(pieces: list[str], pair: Pair) -> list[str]:
    done: list[str] = []
    for piece in pieces:
        if done and (done[-1], piece) == pair:
            done[-1] += piece
        else:
            done.append(piece)
    return done


def _words(tokenizer: Any, sentences: Iterable[str]) -> Counter[str]:
    """How often each word occurs, as the tokenizer sees them: lower case, bytes as letters."""
    backend = tokenizer.backend_tokenizer
    found: Counter[str] = Counter()
    for sentence in sentences:
        plain = backend.normalizer.normalize_str(sentence)
        found.update(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(plain))
    return found


def _numbered(tokens: Iterable[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate(dict.fromkeys(tokens))}
