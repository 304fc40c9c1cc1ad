"""The demo's text: the paragraphs of Python's own documentation, as batches of token ids."""

import pydoc_data.topics

import numpy as np

MAX_TOKENS = 256  # what the model was trained for


def paragraphs(least_words=20):
    """(topic, text) of every paragraph of `pydoc_data.topics`, in order; headings, grammar and one-liners are left out."""
    found = []
    for topic, text in pydoc_data.topics.topics.items():
        for block in text.split("\n\n"):
            words = block.split()
            if sum(any(c.isalpha() for c in word) for word in words) >= least_words:
                found.append((topic, " ".join(words)))
    return found


def load_tokenizer(path):
    """The model's tokenizer, set to pad each batch to its longest member."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(MAX_TOKENS)
    tokenizer.enable_padding()
    return tokenizer


def encode(tokenizer, texts):
    """The three inputs of the model for one batch."""
    encodings = tokenizer.encode_batch(list(texts))
    return {
        "input_ids": np.array([e.ids for e in encodings], np.int64),
        "attention_mask": np.array([e.attention_mask for e in encodings], np.int64),
        "token_type_ids": np.array([e.type_ids for e in encodings], np.int64),
    }


def batches(tokenizer, texts, size=32):
    """Batches in the order in which the texts come, as a service would meet them: nothing is sorted by length."""
    return [encode(tokenizer, texts[i : i + size]) for i in range(0, len(texts), size)]


def synthetic(lengths, vocabulary=30522, seed=0):
    """A batch of random ids whose sequences have the given lengths, padded to the longest."""
    lengths = np.asarray(lengths)
    mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
    ids = np.random.default_rng(seed).integers(1000, vocabulary, mask.shape) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
