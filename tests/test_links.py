"""The links file."""

import datetime

import hypothesis
import hypothesis.strategies as st
import pytest

from segment_anything_tfds.source.remote import links_file, redaction

URL = 'https://cdn.example.com/m1/An{}.tar?ccb=10-5&oh=00_Secret{}&oe=65000000&_nc_sid=0fdd51'
EXPIRY = datetime.datetime(2023, 9, 12, 6, 6, 56, tzinfo=datetime.timezone.utc)
HOUR = datetime.timedelta(hours=1)


def row(name, separator='\t', number=1):
    return f'{name}{separator}{URL.format(number, number)}'


ROWS = [row(f'sa_{n:06d}.tar', number=n) for n in (20, 0, 7)]
IGNORED = [row('sa_images_ids.txt'), row('sa_co_gold.tar')]
HEADER = 'file_name\tcdn_link'


@pytest.mark.parametrize(
    'text',
    [
        '\n'.join([HEADER, *ROWS]),
        '\n'.join(ROWS),
        '\n'.join([HEADER, *ROWS]) + '\n',
        '\r\n'.join([HEADER, *ROWS]) + '\r\n',
        '\r'.join([HEADER, *ROWS]),
        '\ufeff' + '\n'.join([HEADER, *ROWS]),
        '\ufeff' + '\n'.join(ROWS),
        '\n\n  \n' + '\n\n'.join([HEADER, *ROWS]) + '\n\n',
        '\n'.join([HEADER, *ROWS]).replace('\t', '    '),
        '\n'.join([HEADER, *ROWS]).replace('\t', ' \t '),
        'File_Name cdn_link\n' + '\n'.join(f'  {line}  ' for line in reversed(ROWS)),
    ],
)
def test_parse_accepts(text):
    found = links_file.parse(text)
    assert list(found.archives) == [0, 7, 20]
    assert [link.name for link in found.archives.values()] == [
        'sa_000000',
        'sa_000007',
        'sa_000020',
    ]
    for number, link in found.archives.items():
        assert link.url == URL.format(number, number)
        assert text.splitlines()[link.line - 1].strip('\ufeff ').startswith(link.name)
        assert link.expires == EXPIRY
    assert found.expires == EXPIRY
    assert found.ignored == ()


def test_parse_lists_rows_that_are_no_archives():
    others = [
        row('sa_00001.tar'),
        row('SA_000001.tar'),
        row('sa_000001.tar.gz'),
    ]
    found = links_file.parse('\n'.join([HEADER, ROWS[0], *IGNORED, *others, ROWS[1]]))
    assert list(found.archives) == [0, 20]
    assert found.ignored[:2] == ((3, 'sa_images_ids.txt'), (4, 'sa_co_gold.tar'))
    assert [line for line, _ in found.ignored] == [3, 4, 5, 6, 7]


def test_parse_lists_all_problems_with_their_lines():
    lines = [
        HEADER,
        ROWS[0],
        'sa_000001.tar',
        ROWS[0],
        'sa_000002.tar\tftp://cdn.example.com/x?oh=Secret',
        row('sa_000003.tar') + '\textra',
        'sa_000004.tar\thttps://?oh=Secret',
        'sa_000005.tar\tnothing',
        f'{URL}\tsa_000006.tar',
        'sa_000007.tar\thttps://[bad/?oh=Secret',
    ]
    with pytest.raises(ValueError, match='8 rows that are not') as error:
        links_file.parse('\n'.join(lines), path='here.txt')
    message = str(error.value)
    assert 'line 3: expected 2 columns, file name and link; got 1' in message
    assert 'line 4: expected each archive once; got sa_000020.tar again after line 2' in message
    assert 'line 5: expected a link that starts with http:// or https://' in message
    assert 'got sa_000002.tar ftp://… (33 characters)' in message
    assert 'line 6: expected 2 columns, file name and link; got 3' in message
    for line in (7, 8, 10):
        assert f'line {line}: expected a link that starts' in message
    assert 'line 9: expected a file name first' in message
    assert 'here.txt' in message and links_file.HOMEPAGE in message
    assert 'Secret' not in message and '65000000' not in message


@pytest.mark.parametrize(
    'line', ['exaoh=00_Secret', 'x?oh=00_Secret y', 'a\toe=6 b=00_Secret', 'sa_٠٠٠٠٠١.tar Secret']
)
def test_parse_shows_no_part_of_a_broken_link(line):
    with pytest.raises(ValueError, match=r'line 2: expected .* characters') as error:
        links_file.parse(f'{ROWS[0]}\n{line}')
    assert 'Secret' not in str(error.value)


def test_parse_shows_a_bounded_number_of_problems():
    with pytest.raises(ValueError, match='and 980 more') as error:
        links_file.parse('x\n' * 1000)
    assert len(str(error.value)) < 4000


@pytest.mark.parametrize(
    ('text', 'got'),
    [
        ('', 'an empty file'),
        ('\n \r\n', 'an empty file'),
        (HEADER, 'only a header'),
        ('\n'.join([HEADER, *IGNORED]), '2 rows, none of them an archive'),
        ('<!DOCTYPE html>\n<html><a href="x?oh=Secret">', 'a web page'),
    ],
)
def test_parse_says_what_to_do_without_archives(text, got):
    with pytest.raises(ValueError, match=f'got {got}') as error:
        links_file.parse(text, path='here.txt')
    assert all(
        part in str(error.value) for part in ('here.txt', links_file.HOMEPAGE, links_file.FILE_NAME)
    )
    assert 'Secret' not in str(error.value)


@pytest.mark.parametrize(
    'encode',
    [
        lambda text: text.encode(),
        lambda text: text.encode('utf-8-sig'),
        lambda text: text.encode('utf-16'),
    ],
)
def test_read(tmp_path, encode):
    path = tmp_path / links_file.FILE_NAME
    path.write_bytes(encode('\r\n'.join([HEADER, *ROWS])))
    found = links_file.read(path)
    assert list(found.archives) == [0, 7, 20]
    assert found.path == str(path)
    assert links_file.read(str(tmp_path)) == found


def test_read_says_what_to_do_without_a_file(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'which does not exist. Get a new links file'
    ) as error:
        links_file.read(tmp_path)
    assert str(tmp_path / links_file.FILE_NAME) in str(error.value)


def test_read_refuses_binary_and_huge_files(tmp_path):
    path = tmp_path / 'sa_000000.tar'
    path.write_bytes(b'\xff\xd8\x80\x00')
    with pytest.raises(ValueError, match='to be UTF-8 text; got byte 0xff at offset 0'):
        links_file.read(path)
    with path.open('wb') as file:
        file.truncate(11 * 10**9)
    with pytest.raises(ValueError, match='at most 16777216 bytes; got 11000000000 bytes'):
        links_file.read(path)


@pytest.mark.parametrize(
    ('query', 'expires'),
    [
        ('?oe=65000000', EXPIRY),
        ('?ccb=1&oe=6500000f&x=2', EXPIRY + datetime.timedelta(seconds=15)),
        ('', None),
        ('?oe=', None),
        ('?oe=xyz', None),
        ('?oe=-5', None),
        ('?oe=FFFFFFFFFF', None),
        ('?oe=' + 'F' * 5000, None),
        ('?noe=65000000', None),
    ],
)
def test_expiry(query, expires):
    found = links_file.parse(f'sa_000001.tar\thttps://example.com/a.tar{query}')
    assert found.archives[1].expires == expires


def test_check_expiry():
    found = links_file.parse('\n'.join([*ROWS, 'sa_000009.tar\thttps://example.com/9.tar']))
    links_file.check_expiry(found, [0, 7, 20, 9, 500], now=EXPIRY - HOUR)
    links_file.check_expiry(found, [], now=EXPIRY + HOUR)
    links_file.check_expiry(found, [9, 500], now=EXPIRY + HOUR)
    with pytest.raises(links_file.ExpiredLinksError, match=r'got 2 in .* expired') as error:
        links_file.check_expiry(found, [20, 0, 9], now=EXPIRY + HOUR)
    message = str(error.value)
    assert '2023-09-12 06:06 UTC' in message and 'Missing archives: 0+20.' in message
    assert links_file.HOMEPAGE in message and 'Secret' not in message
    with pytest.raises(links_file.ExpiredLinksError):
        links_file.check_expiry(found, [0])


def test_links_never_show_their_url():
    found = links_file.parse('\n'.join(ROWS))
    for text in (repr(found), str(found), repr(found.archives[0]), f'{found.archives}'):
        assert 'Secret' not in text and 'https' not in text


@pytest.mark.parametrize(
    ('text', 'redacted'),
    [
        (URL, 'https://cdn.example.com/m1/An{}.tar?…'),
        (f'<a href="{URL}">', '<a href="https://cdn.example.com/m1/An{}.tar?…">'),
        ("url: /m1/a.tar?oh=Secret (Caused by 'x')", "url: /m1/a.tar?… (Caused by 'x')"),
        ('https://u:Secret@example.com/a', 'https://…@example.com/a'),
        ('&oh=Secret&oe=Secret', '&oh=…'),
        ('oh%3DSecret', 'oh=…'),
        ('no query here', 'no query here'),
    ],
)
def test_redact(text, redacted):
    assert redaction.redact(text) == redacted


@hypothesis.given(st.text(max_size=80), st.text(max_size=80))
def test_redact_hides_links_in_any_text(before, after):
    assert 'Secret' not in redaction.redact(f'{before} {URL.format(1, 1)} {after}')


@pytest.mark.parametrize('text', ['?' * 200_000, 'oe=' * 70_000, '://' * 70_000, '://a' * 50_000])
def test_redact_takes_linear_time(text):
    redaction.redact(text)


@hypothesis.given(
    st.text(max_size=200) | st.lists(st.sampled_from([*ROWS, *IGNORED, HEADER, '', 'x y z']))
)
def test_parse_gives_links_or_value_error(text):
    text = text if isinstance(text, str) else '\n'.join(text)
    try:
        found = links_file.parse(text)
    except ValueError as error:
        assert '`links.parse`' in str(error) and 'Secret' not in str(error)
    else:
        assert found.archives
