"""The job that Dataflow would get, made without the cloud: a dry run of its runner."""

import base64
import bz2
import contextlib
import zlib

import pytest
from apache_beam.options import pipeline_options
from apache_beam.portability.api import beam_runner_api_pb2

from segment_anything_tfds.prepare import runner
from segment_anything_tfds.prepare.shards import shard, transform
from segment_anything_tfds.prepare.staging import place
from segment_anything_tfds.source import checksums
from segment_anything_tfds.source.archive import locations

pytest.importorskip('apache_beam.runners.dataflow.internal.apiclient', exc_type=ImportError)

FLAGS = (
    '--runner=DataflowRunner',
    '--dry_run=True',
    '--project=a-project',
    '--region=europe-west4',
    '--job_name=sa-1b',
    '--temp_location=gs://a-bucket/temp',
    '--sdk_container_image=europe-docker.pkg.dev/a-project/images/segment-anything-tfds',
    '--machine_type=n2-standard-2',
    '--num_workers=100',
)
LARGEST_ELEMENT = 1000  # bytes, with Beam's own


def _plan() -> shard.Plan:
    return shard.Plan(
        staging=place.Staging('gs://a-bucket/sets/incomplete.shards_1.0.0', 'tfrecord'),
        file_format='tfrecord',
        on_error='fail',
        decode_images=False,
        shards_per_archive=1,
        max_examples=None,
        checksums=checksums.Checksums(),
        links_path='gs://a-bucket/sa-1b/segment_anything_links.txt',
    )


def _translate(archives: int, query: str = 'oh=1') -> tuple[object, beam_runner_api_pb2.Pipeline]:
    """The job and the pipeline that would be sent, for archives behind links."""
    sources = [
        locations.Source(number, 'link', f'https://example.com/{number}.tar?{query}')
        for number in range(archives)
    ]
    options = pipeline_options.PipelineOptions(flags=list(FLAGS))
    pipeline = runner.pipeline(None, options)
    _ = pipeline | transform.BuildShards(sources, _plan())
    result = pipeline.run()
    return result.job, pipeline.runner.proto_pipeline


def _steps(proto) -> dict[str, str]:
    return {step.unique_name: step.spec.urn for step in proto.components.transforms.values()}


@pytest.fixture(scope='module')
def translated():
    return {archives: _translate(archives)[1] for archives in (1, 10, 1000)}


def test_as_many_steps_for_any_number_of_archives(translated):
    steps = _steps(translated[1])
    assert steps == _steps(translated[10]) == _steps(translated[1000])
    assert len(steps) < 20
    assert {name.split('/')[1] for name in steps if '/' in name} == {
        'Archives',
        'DealOut',
        'BuildShards',
    }


def test_only_sources_are_grouped(translated):
    """The one GroupByKey deals out the archives, before any of them is read."""
    components = translated[1000].components
    producers = {
        output: step
        for step in components.transforms.values()
        for output in step.outputs.values()
        if not step.subtransforms
    }
    groups = [n for n, urn in _steps(translated[1000]).items() if 'group_by_key' in urn]
    assert groups == ['BuildShards/DealOut/ReshufflePerKey/GroupByKey']
    build = next(
        step
        for step in components.transforms.values()
        if step.unique_name == 'BuildShards/BuildShards'
    )
    before = []
    while build.inputs:
        build = producers[next(iter(build.inputs.values()))]
        before.append(build.unique_name)
    assert groups[0] in before
    assert before[-1] == 'BuildShards/Archives/Impulse'


def test_one_small_element_an_archive(translated):
    """What is added to the job for each archive, and so what is grouped, is a name's worth."""
    size = {archives: proto.ByteSize() for archives, proto in translated.items()}
    assert (size[1000] - size[10]) / 990 < LARGEST_ELEMENT
    assert size[1000] < 1 << 20  # Dataflow takes 10 MB


def _plain(payload: bytes) -> bytes:
    """What Beam pickled, compressed and encoded, in plain bytes."""
    for decompress in (bz2.decompress, zlib.decompress):
        with contextlib.suppress(Exception):
            return decompress(base64.b64decode(payload))
    return payload


def _elements(proto) -> bytes:
    """The payloads of the job's functions, `Create`'s elements among them."""
    payloads = [
        beam_runner_api_pb2.ParDoPayload.FromString(step.spec.payload).do_fn.payload
        for step in proto.components.transforms.values()
        if step.spec.urn == 'beam:transform:pardo:v1'
    ]
    return b''.join(map(_plain, payloads))


def test_no_query_of_a_link_in_the_job():
    job, proto = _translate(10, 'oh=SECRET')
    elements = _elements(proto)
    assert (
        b'segment_anything_tfds.source.archive.locations' in elements
    )  # they are in plain bytes here
    for described in (elements, proto.SerializeToString(), job.json().encode()):
        assert b'SECRET' not in described and b'example.com' not in described


def test_job_asks_for_what_the_options_say():
    job, proto = _translate(10)
    workers = job.options.view_as(pipeline_options.WorkerOptions)
    assert workers.machine_type == 'n2-standard-2'
    assert workers.num_workers == 100
    images = {
        beam_runner_api_pb2.DockerPayload.FromString(environment.payload).container_image
        for environment in proto.components.environments.values()
    }
    assert images == {'europe-docker.pkg.dev/a-project/images/segment-anything-tfds'}
