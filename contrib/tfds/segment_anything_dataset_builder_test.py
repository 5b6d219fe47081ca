"""segment_anything dataset."""

import collections
import gzip
import http.server
import io
import json
import tarfile
import threading

import numpy as np
from tensorflow_datasets.datasets.segment_anything import segment_anything_dataset_builder
import tensorflow_datasets.public_api as tfds

_QUERY = '?oe=64F0A1B2&oh=secret'


class SegmentAnythingTest(tfds.testing.DatasetBuilderTestCase):
  """Tests for segment_anything dataset."""

  DATASET_CLASS = segment_anything_dataset_builder.Builder
  SPLITS = {'train': 1}
  SKIP_CHECKSUMS = True  # Links are signed, and other ones each month.


class ArchivesTest(tfds.testing.TestCase):
  """Builds from archives behind links, whole ones and others."""

  def setUp(self):
    super().setUp()
    self._server = _Server()
    self.addCleanup(self._server.stop)

  def _build(self, *rows: str, header: str = 'file_name\tcdn_link\n'):
    """Builds from a links file with these rows, and returns the examples."""
    with tfds.testing.tmp_dir(self.tmp_dir) as folder:
      links = tfds.core.Path(folder) / 'segment_anything_links.txt'
      links.write_text(header + '\n'.join(rows))
      builder = segment_anything_dataset_builder.Builder(
          data_dir=f'{folder}/data'
      )
      builder.download_and_prepare(
          download_config=tfds.download.DownloadConfig(manual_dir=folder)
      )
      return list(tfds.as_numpy(builder.as_dataset(split='train')))

  def _serve(self, name: str, content: bytes) -> str:
    """Serves a file, and returns its row for the links file."""
    self._server.files[name] = content
    return f'{name}\t{self._server.address}/{name}{_QUERY}'

  def _ids(self, examples) -> list[int]:
    return sorted(int(example['image']['image_id']) for example in examples)

  def test_files_in_any_order(self):
    files = _pair(1) | _pair(2) | _pair(3)
    order = ['1.json', '3.jpg', '2.jpg', '3.json', '2.json', '1.jpg']
    ordered = {f'sa_{name}': files[f'sa_{name}'] for name in order}
    examples = self._build(self._serve('sa_000000.tar', _archive(ordered)))
    self.assertEqual(self._ids(examples), [1, 2, 3])

  def test_values(self):
    archive = _archive(_pair(7))
    (example,) = self._build(self._serve('sa_000000.tar', archive))
    self.assertEqual(example['image']['content'].shape, (8, 16, 3))
    annotations = example['annotations']
    np.testing.assert_allclose(annotations['bbox'], [[0.25, 0.125, 0.5, 0.375]])
    np.testing.assert_allclose(annotations['crop_box'], [[0, 0, 1, 1]])
    segmentation = annotations['segmentation']
    np.testing.assert_array_equal(segmentation['size'], [[8, 16]])
    np.testing.assert_array_equal(annotations['point_coords'], [[[3.5, 2.5]]])

  def test_archives_that_are_not_compressed(self):
    archive = _archive(_pair(1), compress=False)
    examples = self._build(self._serve('sa_000000.tar', archive))
    self.assertEqual(self._ids(examples), [1])

  def test_folder_in_the_archive(self):
    files = {f'sa_000000/{name}': data for name, data in _pair(1).items()}
    examples = self._build(self._serve('sa_000000.tar', _archive(files)))
    self.assertEqual(self._ids(examples), [1])

  def test_rows_that_are_not_numbered_archives(self):
    copied = _archive(_pair(1))
    examples = self._build(
        self._serve('sa_images_ids.txt', b'1\n'),
        self._serve('sa_000000.tar', copied),
        self._serve('sa_co_gold.tar', copied),
    )
    self.assertEqual(self._ids(examples), [1])
    self.assertNotIn('sa_images_ids.txt', self._server.asked)

  def test_links_file_without_header(self):
    row = self._serve('sa_000000.tar', _archive(_pair(1)))
    self.assertEqual(self._ids(self._build(row, header='')), [1])

  def test_links_file_with_an_empty_line(self):
    row = self._serve('sa_000000.tar', _archive(_pair(1)))
    self.assertEqual(self._ids(self._build(row, '', '')), [1])

  def test_connection_that_breaks(self):
    archive = _archive(_pair(1) | _pair(2))
    row = self._serve('sa_000000.tar', archive)
    self._server.cuts['sa_000000.tar'] = len(archive) // 2
    self.assertEqual(self._ids(self._build(row)), [1, 2])

  def test_truncated_archive(self):
    files = _pair(1) | _pair(2)
    for compress, size in ((True, 0.7), (False, 0.4)):
      whole = _archive(files, compress=compress)
      row = self._serve('sa_000000.tar', whole[: int(len(whole) * size)])
      with self.assertRaisesRegex(Exception, 'sa_000000'):
        self._build(row)

  def test_archive_cut_between_two_pairs(self):
    whole = _archive(_pair(1), compress=False, end=False)
    row = self._serve('sa_000000.tar', whole)
    with self.assertRaisesRegex(Exception, 'sa_000000.*end'):
      self._build(row)

  def test_damaged_header(self):
    whole = bytearray(_archive(_pair(1) | _pair(2), compress=False))
    position = whole.index(b'sa_2.jpg')
    whole[position] ^= 1
    row = self._serve('sa_000000.tar', bytes(whole))
    with self.assertRaisesRegex(Exception, 'sa_000000'):
      self._build(row)

  def test_pairs_without_a_half(self):
    for missing in ('sa_2.json', 'sa_2.jpg'):
      files = _pair(1) | _pair(2)
      del files[missing]
      row = self._serve('sa_000000.tar', _archive(files))
      with self.assertRaisesRegex(Exception, 'sa_2'):
        self._build(row)

  def test_broken_files(self):
    for name, content in {
        'sa_2.jpg': b'<html>',
        'sa_2.json': b'{"image": {}}',
    }.items():
      row = self._serve(
          'sa_000000.tar', _archive(_pair(1) | _pair(2) | {name: content})
      )
      with self.assertRaisesRegex(Exception, f'sa_000000.*{name}'):
        self._build(row)

  def test_expired_link(self):
    with self.assertRaisesRegex(Exception, 'sa_000000') as raised:
      self._build(f'sa_000000.tar\t{self._server.address}/gone{_QUERY}')
    self.assertNotIn('secret', str(raised.exception))


def _pair(image_id: int) -> dict[str, bytes]:
  """Returns both files of an image of 8 x 16 pixels with one mask."""
  rng = np.random.default_rng(image_id)
  pixels = rng.integers(0, 256, (8, 16, 3), dtype=np.uint8)
  jpeg = io.BytesIO()
  tfds.core.lazy_imports.PIL_Image.fromarray(pixels).save(jpeg, 'JPEG')
  annotation = {
      'id': 100 + image_id,
      # Columns 2 to 6 of rows 2 to 4.
      'segmentation': {'size': [8, 16], 'counts': 'b0350000000V2'},
      'area': 15,
      'bbox': [2.0, 2.0, 4.0, 2.0],
      'predicted_iou': 0.9,
      'stability_score': 0.95,
      'point_coords': [[3.5, 2.5]],
      'crop_box': [0.0, 0.0, 16.0, 8.0],
  }
  image = {'image_id': image_id, 'width': 16, 'height': 8}
  image['file_name'] = f'sa_{image_id}.jpg'
  record = {'image': image, 'annotations': [annotation]}
  return {
      f'sa_{image_id}.jpg': jpeg.getvalue(),
      f'sa_{image_id}.json': json.dumps(record).encode(),
  }


def _archive(
    files: dict[str, bytes], compress: bool = True, end: bool = True
) -> bytes:
  """Returns a tar of files, in their order; without `end`, no end mark."""
  out = io.BytesIO()
  with tarfile.open(fileobj=out, mode='w', format=tarfile.USTAR_FORMAT) as tar:
    for name, data in files.items():
      member = tarfile.TarInfo(name)
      member.size = len(data)
      tar.addfile(member, io.BytesIO(data))
    used = out.tell()
  plain = out.getvalue() if end else out.getvalue()[:used]
  return gzip.compress(plain) if compress else plain


class _Server:
  """Serves files on this machine; cuts a file's first download where told."""

  def __init__(self):
    self.files = {}
    self.cuts = {}
    self.asked = collections.Counter()
    handler = type('Handler', (_Handler,), {'served': self})
    self._server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
    self.address = f'http://127.0.0.1:{self._server.server_port}'
    threading.Thread(target=self._server.serve_forever, daemon=True).start()

  def stop(self):
    self._server.shutdown()
    self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
  """Answers with a file of the server, from `Range` on."""

  served = None

  def do_GET(self):  # pylint: disable=invalid-name
    name = self.path.partition('?')[0].lstrip('/')
    self.served.asked[name] += 1
    if name not in self.served.files:
      self.send_error(403)
      return
    content = self.served.files[name]
    start = 0
    if 'Range' in self.headers:
      start = int(self.headers['Range'].removeprefix('bytes=').rstrip('-'))
    self.send_response(206 if start else 200)
    self.send_header('Content-Length', str(len(content) - start))
    self.end_headers()
    stop = self.served.cuts.pop(name, len(content))
    self.wfile.write(content[start:stop])

  def log_message(self, *args):  # pylint: disable=useless-super-delegation
    pass


if __name__ == '__main__':
  tfds.testing.test_main()
