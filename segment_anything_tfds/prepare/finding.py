"""What a build starts from: the archives of its selection, where each is, and what is prepared."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence

import tensorflow_datasets.public_api as tfds
from etils import epath

from segment_anything_tfds.prepare import accounts, prepared
from segment_anything_tfds.source import released, selection
from segment_anything_tfds.source.archive import pair_stream, paths
from segment_anything_tfds.source.remote import links_file, sizes

_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Found:
    """What there is.

    Attributes:
      links: the links file.
      sources: where each archive is, by number.
      prepared: archives that earlier builds of other selections prepared, by number.
    """

    links: links_file.Links
    sources: tuple[pair_stream.Source, ...]
    prepared: Mapping[int, accounts.Finished]

    def size(self, numbers: Iterable[int], *, ask: bool = False) -> int:
        """Estimates the bytes that the shards of archives will take on disk.

        Args:
          numbers: of the archives.
          ask: whether to ask servers how large archives behind links are; what they do not say
            counts nothing. Without it, such archives are as large as those of SA-1B.
        """
        wanted = set(numbers)
        sources = [source for source in self.sources if source.number in wanted]
        links = [self.links.archives[s.number] for s in sources if ask and s.kind == 'link']
        answers = sizes.ask(links, progress=False) if links else {}
        told = {n: answer if isinstance(answer, int) else 0 for n, answer in answers.items()}
        return sum(told[s.number] if s.number in told else _size(s) for s in sources)


def read_links(manual_dir: epath.Path | None) -> links_file.Links:
    """Reads the links file; no links where there is none, since all archives may be at hand."""
    if manual_dir is None:
        return links_file.Links({}, path=links_file.FILE_NAME)
    path = manual_dir / links_file.FILE_NAME
    return links_file.read(path) if path.exists() else links_file.Links({}, path=str(path))


def manual_dir(manager: tfds.download.DownloadManager) -> epath.Path | None:
    """Gives TFDS's folder of files that the user brings; `None` where it is absent or empty."""
    try:
        with paths.served('`manual_dir`'):
            return manager.manual_dir
    except AssertionError:  # TFDS raises it where the folder is absent or empty
        return None


def locate(
    folder: epath.Path | None,
    links: links_file.Links,
    numbers: Sequence[int] | None,
    have: Mapping[int, accounts.Finished],
    data_sets: Sequence[prepared.DataSet],
    where: str,
) -> Found:
    """Finds the archives of a selection.

    Args:
      folder: where the links file and archives are, `None` for nowhere.
      links: the links file.
      numbers: the selection, `None` for all that are listed or present.
      have: archives that are prepared and may be used again.
      data_sets: all selections that are prepared, for the advice.
      where: what to call `folder`.

    Raises:
      ValueError: an archive is nowhere; where some selections are prepared, they are named.
    """
    try:
        if numbers is None:
            return Found(links, tuple(pair_stream.locate(folder, links, None)), have)
        at_hand = _at_hand(folder, links, numbers)
        sources = [
            at_hand.get(number) or pair_stream.Source(number, accounts.PREPARED, '')
            for number in numbers
            if number in at_hand or number in have
        ]
        if len(sources) < len(numbers):
            pair_stream.locate(
                folder, links, sorted(set(numbers) - set(have))
            )  # raises the error that names them
        return Found(links, tuple(sources), have)
    except ValueError as error:
        if data_sets:
            wanted = 'all archives' if numbers is None else f'archives {selection.format(numbers)}'
            raise ValueError(
                f'`Builder.download_and_prepare`: expected {wanted} in `manual_dir`, in its links'
                f' file, or prepared; got archives {describe(data_sets)}.'
                f' {how_to_load(data_sets, numbers)}'
            ) from error
        if folder is None:
            raise ValueError(
                f'`Builder.download_and_prepare`: expected archives or their links in `manual_dir`;'
                f' got {where}, which does not exist or is empty. {links_file.HOW_TO_GET}'
            ) from error
        raise


def not_prepared(function: str, dataset_dir: epath.Path, config: str | None) -> FileNotFoundError:
    """Makes the error for a selection that is read before it is prepared."""
    data_sets = prepared.find(dataset_dir, config)
    what = f'archives {config}' if config else 'all archives'
    text = f'`Builder.{function}`: expected {what} to be prepared in {dataset_dir}; got '
    if not data_sets:
        return FileNotFoundError(text + 'nothing. Call `builder.download_and_prepare()` first.')
    text += 'archives '
    numbers = selection.parse(config) if config else None
    return FileNotFoundError(f'{text}{describe(data_sets)}. {how_to_load(data_sets, numbers)}')


def _at_hand(
    folder: epath.Path | None, links: links_file.Links, numbers: Sequence[int]
) -> dict[int, pair_stream.Source]:
    try:
        everything = pair_stream.locate(folder, links, None)
    except ValueError:  # there is nothing
        return {}
    wanted = set(numbers)
    return {source.number: source for source in everything if source.number in wanted}


def describe(data_sets: Sequence[prepared.DataSet]) -> str:
    """Tells which archives are prepared, and under which names."""
    names = [f'{selection.format(one.numbers)} (`{_name(one.config)}`)' for one in data_sets]
    return f'{", ".join(names[:5])}{" and others" if len(names) > 5 else ""}'


def how_to_load(data_sets: Sequence[prepared.DataSet], numbers: Sequence[int] | None) -> str:
    """Gives a sentence with the call that loads the most of a selection that is prepared."""
    wanted = set(numbers or ())
    best = max(data_sets, key=lambda data_set: len(wanted.intersection(data_set.numbers)))
    common = wanted.intersection(best.numbers)
    config = selection.format(common) if common else best.config
    return (
        f"Load these with `tfds.load('{_name(config)}')`, and the first archive of them alone with"
        " `split='train[:1shard]'`."
    )


def _name(config: str) -> str:
    return f'segment_anything/{config}' if config else 'segment_anything'


def warn_of_missing_digests(
    sources: Sequence[pair_stream.Source], known: Iterable[str], digests: str | None
) -> None:
    """Warns of extracted archives, whose digest nobody can compare."""
    extracted = [s.number for s in sources if s.kind == 'folder' and s.name in known]
    if digests and extracted:
        _log.warning(
            'Archives %s are extracted, so there is no digest of them to compare with %s.',
            selection.format(extracted),
            digests,
        )


def _size(source: pair_stream.Source) -> int:
    """Estimates what an archive's shards will take: about its images, which do not compress."""
    if source.kind == 'file':
        return paths.size_and_time(paths.open_path(source.location))[0]
    if source.kind == 'folder':
        return sum(size for _, _, size, _, _ in paths.walk(source.location))
    return released.share(released.DATASET_BYTES, 1)
