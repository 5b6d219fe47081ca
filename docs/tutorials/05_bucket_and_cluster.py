"""
A bucket and a cluster
======================

Archives in a bucket, built into a bucket, by several processes. The bucket here is one that this
machine serves; ``s3://`` and ``gs://`` of others are used alike.

`Open in Colab <https://colab.research.google.com/github/segment-anything-tfds/segment-anything-tfds/blob/main/docs/notebooks/05_bucket_and_cluster.ipynb>`__
"""

import os

os.environ['EPATH_USE_TF'] = 'false'  # before TFDS is imported: TensorFlow itself knows no S3

import tempfile

import s3fs
from moto.server import ThreadedMotoServer

import segment_anything_tfds as sa1b

server = ThreadedMotoServer(port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
os.environ |= {
    'AWS_ACCESS_KEY_ID': 'key',
    'AWS_SECRET_ACCESS_KEY': 'secret',
    'AWS_ENDPOINT_URL': f'http://127.0.0.1:{port}',
}
bucket = s3fs.S3FileSystem()
bucket.mkdir('sa1b')
for archive in sa1b.demo_archives().glob('*.tar'):
    bucket.put(str(archive), f'sa1b/archives/{archive.name}')
print(bucket.ls('sa1b/archives'))

# %%
# Build
# -----
#
# Beam's options go into TFDS's ``DownloadConfig``. Here: in this process. With
# ``--direct_running_mode=multi_processing`` it is several, with ``--runner=DataflowRunner`` a fleet:
# the how-to page *Running a build* has a line for each.

import tensorflow_datasets as tfds
from apache_beam.options.pipeline_options import PipelineOptions

config = tfds.download.DownloadConfig(
    manual_dir='s3://sa1b/archives',
    beam_options=PipelineOptions(['--runner=FnApiRunner']),
)
builder = tfds.builder('segment_anything/0-1', data_dir='s3://sa1b/prepared')
builder.download_and_prepare(download_config=config)
for name in bucket.ls('sa1b/prepared/segment_anything/0-1/1.0.0'):
    print(name)

# %%
# Read
# ----
#
# Streams read archives where they lie. Prepared data in S3 is read by TensorFlow only with
# ``tensorflow-io``; else copy it to a disk, where it is an ordinary data set.

for example in sa1b.stream('2', manual_dir='s3://sa1b/archives').take(1):
    print(int(example['image']['image_id']))

with tempfile.TemporaryDirectory() as folder:
    place = 'segment_anything/0-1/1.0.0'
    bucket.get(f'sa1b/prepared/{place}', f'{folder}/{place}', recursive=True)
    copied = tfds.builder('segment_anything/0-1', data_dir=folder)
    print(sum(1 for _ in copied.as_dataset(split='train')), 'images')

server.stop()
