"""The page on the format says what the code does, and docstrings' examples run."""

import doctest
import inspect
import pathlib

import numpy as np
import pytest
import reference

from segment_anything_tfds.ops import rle
from segment_anything_tfds.ops.rle import decoding, encoding

PAGE = pathlib.Path(__file__).parent.parent / 'docs' / 'rle_format.md'
FUNCTIONS = [name for name in rle.__all__ if inspect.isfunction(getattr(rle, name))]
NAMES = {'np': np, 'reference': reference, 'rle': rle}


def failures(text: str, name: str) -> str:
    test = doctest.DocTestParser().get_doctest(text, NAMES, name, None, 0)
    assert test.examples
    said = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=said.append)
    return ''.join(said)


def test_examples_of_the_page():
    text = PAGE.read_text().replace('\n```\n', '\n\n')
    assert failures(text, 'rle_format') == ''


def test_table_of_the_page_is_the_reference():
    for value in (0, 15, -16, 16, -17, 511, -512, 512, 2**31 - 1, -(2**31)):
        text = reference.write_number(value)
        bits = [character - 48 for character in text]
        assert [bool(bit & 0x20) for bit in bits] == [True] * (len(bits) - 1) + [False]
        number = sum((bit & 0x1F) << 5 * place for place, bit in enumerate(bits))
        negative = bool(bits[-1] & 0x10)
        assert number - (negative << 5 * len(bits)) == value
    assert [len(reference.write_number(n)) for n in (-16, 15, -17, 16, -512, 511, 512)] == [
        *(1, 1, 2, 2, 2, 2, 3)
    ]


@pytest.mark.parametrize(
    'function', [rle.run_lengths, decoding.decode, decoding.decode_resized, encoding.encode]
)
def test_examples_of_docstrings(function):
    assert failures(function.__doc__, function.__name__) == ''


@pytest.mark.parametrize('name', FUNCTIONS)
def test_docstrings_state_the_contract(name):
    text = getattr(rle, name).__doc__
    inherited = 'Args, Returns, Raises: as `rle.' in text
    for section in ('Args:', 'Returns:', 'Raises:'):
        assert section in text or inherited, section
    assert '>>> ' in text
