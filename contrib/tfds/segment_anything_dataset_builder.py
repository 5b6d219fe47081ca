"""segment_anything dataset."""

from collections.abc import Iterator
import gzip
import io
import json
import re
import tarfile
from typing import Any
import zlib

from etils import epath
import numpy as np
import requests
import tensorflow_datasets.public_api as tfds
import urllib3

_HOMEPAGE = 'https://ai.facebook.com/datasets/segment-anything-downloads'
_LINKS_FILE = 'segment_anything_links.txt'

# The links file also lists `sa_images_ids.txt`, which is no archive, and
# `sa_co_gold.tar`, whose images are copies of images of numbered archives.
_ARCHIVE = re.compile(r'sa_\d{6}\.tar')
_MEMBER = re.compile(r'sa_(\d+)\.(jpg|json)')

_GZIP_MAGIC = b'\x1f\x8b'
_JPEG_MAGIC = b'\xff\xd8'
_TIMEOUT_SECONDS = 60
_CONNECTIONS = 5  # In a row that bring nothing, before a download is given up.


class Builder(tfds.core.GeneratorBasedBuilder):
  """Builds SA-1B from its archives, which are streamed and never extracted."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'Initial release.'}
  MANUAL_DOWNLOAD_INSTRUCTIONS = f"""\
  Accept the license at {_HOMEPAGE}, download the links file, and save it in
  `manual_dir` as {_LINKS_FILE}. Archives that lie in `manual_dir` too, such as
  `sa_000020.tar`, are read from there instead of from their links.
  """

  def _info(self) -> tfds.core.DatasetInfo:
    """Returns the dataset metadata."""
    return self.dataset_info_from_configs(
        features=tfds.features.FeaturesDict({
            'image': {
                'image_id': np.uint64,
                'file_name': np.str_,
                'width': np.uint64,
                'height': np.uint64,
                'content': tfds.features.Image(doc='Content of the image.'),
            },
            'annotations': tfds.features.Sequence(_annotation_features()),
        }),
        homepage=_HOMEPAGE,
        license=f'Custom (see: {_HOMEPAGE})',
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager):
    """Returns the one split, of all archives that the links file lists."""
    manual_dir = dl_manager.manual_dir
    sources = {}
    for name, link in _read_links(manual_dir / _LINKS_FILE).items():
      local = manual_dir / name
      sources[name] = local if local.exists() else link
    return {'train': self._generate_examples(sources)}

  def _generate_examples(self, sources: dict[str, epath.Path | str]):
    """Returns a transform to (image id, example) pairs."""
    beam = tfds.core.lazy_imports.apache_beam
    return (
        beam.Create(sorted(sources.items()))
        | beam.Reshuffle()  # Each archive may go to a worker of its own.
        | beam.FlatMapTuple(_examples_of_archive)
    )


def _annotation_features() -> tfds.features.FeaturesDict:
  """Returns the features of one mask."""
  segmentation = tfds.features.FeaturesDict(
      {
          'size': tfds.features.Tensor(shape=(2,), dtype=np.uint64),
          'counts': np.str_,
      },
      doc=(
          'Encoded segmentation mask in COCO RLE format (dict with keys `size`'
          ' and `counts`).'
      ),
  )
  scalar = tfds.features.Scalar
  return tfds.features.FeaturesDict({
      'id': scalar(np.uint64, doc='Identifier for the annotation.'),
      'segmentation': segmentation,
      'area': scalar(np.uint64, doc='The area in pixels of the mask.'),
      'bbox': tfds.features.BBoxFeature(
          doc='The box around the mask, in TFDS format.'
      ),
      'predicted_iou': scalar(
          np.float64, doc="The model's own prediction of the mask's quality."
      ),
      'stability_score': scalar(
          np.float64, doc="A measure of the mask's quality."
      ),
      'point_coords': tfds.features.Tensor(
          shape=(1, 2),
          dtype=np.float64,
          doc='The point coordinates input to the model to generate the mask.',
      ),
      'crop_box': tfds.features.BBoxFeature(
          doc=(
              'The crop of the image used to generate the mask, in TFDS format.'
          )
      ),
  })


def _read_links(path: epath.Path) -> dict[str, str]:
  """Returns the link of each numbered archive, by its name."""
  links = {}
  for line in path.read_text().splitlines():
    name, _, link = line.strip().partition('\t')
    if not _ARCHIVE.fullmatch(name):
      continue  # The header, an empty line, or a file that is no archive.
    if name in links:
      raise ValueError(f'{path} lists {name} twice.')
    links[name] = link.strip()
  if not links:
    raise ValueError(f'{path} lists no archive, such as `sa_000020.tar`.')
  return links


def _examples_of_archive(
    archive: str, source: epath.Path | str
) -> Iterator[tuple[int, dict[str, Any]]]:
  """Yields an archive's examples, each as soon as both its files were read.

  Files lie in random order. What is held in memory are those that wait for the
  other half of their pair.

  Args:
    archive: The archive's name.
    source: Where it lies, or the link to it.

  Raises:
    ValueError: If the archive does not reach its end, or a pair is broken.
  """
  waiting = {}  # {'226381': ('jpg', b'...')}
  for name, data in _files_of_archive(archive, source):
    matched = _MEMBER.fullmatch(name)
    if matched is None:
      continue
    image_id, kind = matched.groups()
    if image_id not in waiting:
      waiting[image_id] = (kind, data)
      continue
    other_kind, other_data = waiting.pop(image_id)
    pair = {kind: data, other_kind: other_data}
    if len(pair) != 2:
      raise ValueError(f'{archive} has {name} twice.')
    yield int(image_id), _example(
        archive, int(image_id), pair['jpg'], pair['json']
    )
  if waiting:
    image_id, (kind, _) = next(iter(waiting.items()))
    raise ValueError(
        f'{archive} has {len(waiting)} files without the other half of their'
        f' pair; the first one is sa_{image_id}.{kind}.'
    )


def _files_of_archive(
    archive: str, source: epath.Path | str
) -> Iterator[tuple[str, bytes]]:
  """Yields base name and content of each file, and checks the archive's end."""
  try:
    with _open_archive(archive, source) as stored:
      content = gzip.GzipFile(fileobj=stored) if _is_gzip(stored) else stored
      with tarfile.open(fileobj=content, mode='r|') as tar:
        for member in tar:
          if member.isfile():
            yield member.name.rpartition('/')[2], tar.extractfile(member).read()
          tar.members = []  # Which otherwise keeps all of them.
        _check_end(tar.fileobj)
  except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as e:
    raise ValueError(f'{archive} is truncated or damaged: {e}') from e


def _open_archive(archive: str, source: epath.Path | str) -> io.IOBase:
  if isinstance(source, str):
    return io.BufferedReader(_Download(archive, source), 1 << 20)
  return source.open('rb')


def _is_gzip(stored: io.IOBase) -> bool:
  """Returns whether it is gzip, as archives are though called `.tar`."""
  if not stored.seekable():
    return stored.peek(2).startswith(_GZIP_MAGIC)
  magic = stored.read(2)
  stored.seek(0)
  return magic == _GZIP_MAGIC


def _check_end(stream) -> None:
  """Checks that zeros follow, to the end: `tarfile` stops anywhere."""
  block = stream.read(tarfile.BLOCKSIZE)
  if not block:
    raise EOFError('there is no end mark.')
  while block:
    if block.strip(b'\0'):
      raise tarfile.ReadError('there is data after the last header read.')
    block = stream.read(tarfile.RECORDSIZE)


class _Download(io.RawIOBase):
  """What is behind a link; a connection that breaks is made again.

  Links are signed, so no message shows one.
  """

  def __init__(self, name: str, link: str):
    self._name = name
    self._link = link
    self._position = 0
    self._size = None
    self._response = None

  def readable(self) -> bool:
    return True

  def readinto(self, buffer) -> int:
    fault = 'the connection was closed'
    for _ in range(_CONNECTIONS):
      try:
        data = self._connected().raw.read(len(buffer))
        ended = not data and self._size in (None, self._position)
      except (
          requests.RequestException,
          urllib3.exceptions.HTTPError,
          OSError,
      ) as e:
        fault, data, ended = type(e).__name__, b'', False
      if data or ended:
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
      self._disconnect()
    raise ValueError(
        f'{self._name}: download stopped after {self._position} bytes: {fault}.'
    )

  def _connected(self) -> requests.Response:
    """Returns a response whose body begins at the position."""
    if self._response is None:
      headers = {'Accept-Encoding': 'identity'}
      if self._position:
        headers['Range'] = f'bytes={self._position}-'
      response = requests.get(
          self._link, headers=headers, stream=True, timeout=_TIMEOUT_SECONDS
      )
      if response.status_code != (206 if self._position else 200):
        raise ValueError(
            f'{self._name}: the server answered {response.status_code}'
            f' {response.reason}. Links expire after some weeks; a new'
            f' {_LINKS_FILE} has new ones.'
        )
      if not self._position and 'Content-Length' in response.headers:
        self._size = int(response.headers['Content-Length'])
      self._response = response
    return self._response

  def _disconnect(self) -> None:
    if self._response is not None:
      self._response.close()
      self._response = None

  def close(self) -> None:
    self._disconnect()
    super().close()


def _example(
    archive: str, image_id: int, jpg: bytes, record: bytes
) -> dict[str, Any]:
  """Returns the example of a pair of files."""
  if not jpg.startswith(_JPEG_MAGIC):
    raise ValueError(f'{archive}: sa_{image_id}.jpg is not a JPEG file.')
  try:
    return _parse_record(image_id, jpg, record)
  except (KeyError, TypeError, ValueError) as e:
    raise ValueError(
        f'{archive}: sa_{image_id}.json is malformed: {e!r}'
    ) from e


def _parse_record(image_id: int, jpg: bytes, record: bytes) -> dict[str, Any]:
  """Returns the example of an image and its record."""
  record = json.loads(record)
  image = record['image']
  height, width = image['height'], image['width']
  if image['image_id'] != image_id:
    raise ValueError(f"it is of image {image['image_id']}")
  if height < 1 or width < 1:
    raise ValueError(f'the image has {height} rows and {width} columns')
  annotations = []
  for annotation in record['annotations']:
    boxes = {
        key: _relative_box(annotation[key], height, width)
        for key in ('bbox', 'crop_box')
    }
    annotations.append({**annotation, **boxes})
  return {'image': {**image, 'content': jpg}, 'annotations': annotations}


def _relative_box(
    box: list[float], height: int, width: int
) -> tfds.features.BBox:
  """Returns [x, y, width, height] in pixels as TFDS wants it."""
  x, y, box_width, box_height = box
  return tfds.features.BBox(
      ymin=y / height,
      xmin=x / width,
      ymax=(y + box_height) / height,
      xmax=(x + box_width) / width,
  )
