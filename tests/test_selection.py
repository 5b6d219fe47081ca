"""Selections of archives."""

import re

import hypothesis
import hypothesis.strategies as st
import pytest

from segment_anything_tfds.source import selection

NUMBERS = st.sets(st.integers(0, selection.MAX_NUMBER), max_size=20)


@pytest.mark.parametrize(
    ('text', 'numbers'),
    [
        ('0', (0,)),
        ('20-22', (20, 21, 22)),
        ('0+5+130', (0, 5, 130)),
        ('130+20-22', (20, 21, 22, 130)),
        ('20-22+21-23+22', (20, 21, 22, 23)),
        ('10-20+12-13+15', tuple(range(10, 21))),
        ('sa_000020', (20,)),
        ('sa_000020.tar', (20,)),
        ('sa_000020-sa_000022', (20, 21, 22)),
        ('sa_000003, 5', (3, 5)),
        (' 000007 + 8 ', (7, 8)),
        ('999999', (999_999,)),
    ],
)
def test_parse(text, numbers):
    assert selection.parse(text) == numbers


@pytest.mark.parametrize(
    'text',
    ['', '+', '1+', '1++2', '-5', '1-', 'a', '1.5', '1 2', '1_000', '1000000', '٣', 'sa_', '1-2-3'],
)
def test_parse_refuses_other_texts(text):
    with pytest.raises(ValueError, match=r"`selection.parse`.*joined by '\+'") as error:
        selection.parse(text)
    assert repr(text) in str(error.value)


def test_parse_refuses_backward_ranges():
    with pytest.raises(ValueError, match=r"to ascend; got '29-20'. Write '20-29'"):
        selection.parse('1+29-20')


def test_parse_shortens_what_it_shows():
    with pytest.raises(ValueError, match=r'joined by') as error:
        selection.parse('x' * 10_000)
    assert len(str(error.value)) < 400


def test_parse_expands_overlapping_ranges_once():
    assert len(selection.parse('+'.join(['0-999999'] * 1000))) == 1_000_000


@pytest.mark.parametrize(
    ('numbers', 'text'),
    [([], ''), ([7], '7'), ([130, 20, 21, 22, 21], '20-22+130'), ([1, 2], '1-2'), ([1, 3], '1+3')],
)
def test_format(numbers, text):
    assert selection.format(numbers) == text


@pytest.mark.parametrize('number', [-1, 1_000_000])
def test_format_refuses_other_numbers(number):
    with pytest.raises(ValueError, match=re.escape(f'within 0 and 999999; got {number}')):
        selection.format([number])


@hypothesis.given(NUMBERS.filter(bool))
def test_parse_reads_what_format_writes(numbers):
    text = selection.format(numbers)
    assert selection.parse(text) == tuple(sorted(numbers))
    assert selection.format(selection.parse(text)) == text


@hypothesis.given(st.text(alphabet='0123456789+-, sa_.tr', max_size=30))
def test_parse_gives_numbers_or_value_error(text):
    try:
        numbers = selection.parse(text)
    except ValueError as error:
        assert '`selection.parse`' in str(error)
    else:
        assert list(numbers) == sorted(set(numbers))


def test_archive_name():
    assert selection.archive_name(20) == 'sa_000020'
