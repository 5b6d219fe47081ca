"""Reading, drawing and encoding masks in the graph, against the reference and pycocotools."""

import harness
import hypothesis as hp
import hypothesis.strategies as st
import numpy as np
import pytest
import reference
import rle_cases
import tensorflow as tf
from pycocotools import mask as coco_mask

from segment_anything_tfds.ops import rle

# runs 7, 3, 9, 4, 2: from the fourth on, the difference to the run two before, +1 and -7
GOLDEN = b'7391I'
SHAPES = [(3, 5, 7), (0, 4, 3), (2, 1, 9), (2, 9, 1), (1, 1, 1), (4, 16, 16)]
SETTINGS = hp.settings(max_examples=40, deadline=None, derandomize=True)

unknown = {
    'counts': tf.TensorSpec([None], tf.string),
    'size': tf.TensorSpec([None], tf.int64),
}
decode = tf.function(rle.decode, input_signature=list(unknown.values()))
encode = tf.function(rle.encode, input_signature=[tf.TensorSpec([None] * 3, tf.uint8)])
run_lengths = tf.function(rle.run_lengths, input_signature=[unknown['counts']])


def strings(values):
    return np.array(values, object)


def test_run_lengths_undoes_deltas_from_the_fourth_run_on():
    assert reference.write_runs([7, 3, 9, 4, 2]) == GOLDEN
    assert rle.run_lengths([GOLDEN]).to_list() == [[7, 3, 9, 4, 2]]
    assert reference.run_lengths(GOLDEN) == [7, 3, 9, 4, 2]


@SETTINGS
@hp.given(st.lists(st.lists(st.integers(0, 2**26), max_size=24), max_size=6))
def test_run_lengths_reads_any_runs(runs):
    counts = [reference.write_runs(one) for one in runs]
    assert run_lengths(tf.constant(counts, tf.string)).to_list() == runs


@SETTINGS
@hp.given(st.integers(0, 2**31 - 1))
def test_run_lengths_reads_numbers_of_every_length(run):
    assert run_lengths(tf.constant([reference.write_runs([run])])).to_list() == [[run]]


@SETTINGS
@hp.given(rle_cases.mask_stacks())
def test_decode_and_encode_agree_with_reference_and_pycocotools(masks):
    counts = [reference.encode(mask) for mask in masks]
    assert counts == rle_cases.encode(masks)
    assert encode(masks).numpy().tolist() == counts
    drawn = decode(tf.constant(counts, tf.string), masks.shape[1:]).numpy()
    np.testing.assert_array_equal(drawn, masks)
    for mask, one in zip(masks, counts, strict=True):
        np.testing.assert_array_equal(reference.decode(one, mask.shape), mask)


@pytest.mark.parametrize('shape', SHAPES)
def test_decode_in_every_mode(shape):
    masks = (np.random.default_rng(0).random(shape) < 0.4).astype(np.uint8)
    counts, size = rle_cases.as_tensors(masks)
    sizes = np.tile(size, [len(masks), 1])
    for one in (size, sizes, size.astype(np.int32)) if shape == SHAPES[0] else (sizes,):
        expected = masks if len(one) else np.zeros([0, 0, 0], np.uint8)
        harness.check(rle.decode, [counts, one], expected, dtype=tf.uint8, shape=[None, None, None])


@pytest.mark.parametrize('shape', SHAPES)
def test_encode_in_every_mode(shape):
    masks = (np.random.default_rng(0).random(shape) < 0.4).astype(np.uint8)
    expected = strings([reference.encode(mask) for mask in masks])
    for one in (masks, masks > 0, masks.astype(np.int32) * -7) if len(masks) == 3 else (masks,):
        harness.check(rle.encode, [one], expected, dtype=tf.string, shape=[None])


def flat_run_lengths(counts):
    return tuple(tf.nest.flatten(rle.run_lengths(counts), expand_composites=True))


def test_run_lengths_in_every_mode():
    for counts in ([GOLDEN, b'', b'9'], []):
        harness.check(
            flat_run_lengths,
            [strings(counts)],
            dtype=[tf.int32, tf.int64],
            shape=[[None], [None]],
        )


def test_static_size_gives_a_static_shape():
    function = tf.function(
        lambda counts: rle.decode(counts, [4, 6]), input_signature=[tf.TensorSpec([8], tf.string)]
    )
    assert function.get_concrete_function().output_shapes.as_list() == [8, 4, 6]


def test_large_blobs_are_bit_for_bit_those_of_pycocotools():
    masks = rle_cases.blobs(5, (211, 320), seed=3)  # units of 64 bytes, and a slice at the end
    counts = rle_cases.encode(masks)
    np.testing.assert_array_equal(rle.decode(counts, masks.shape[1:]), masks)
    np.testing.assert_array_equal(rle.decode(counts[:4], masks.shape[1:]), masks[:4])
    assert rle.encode(masks).numpy().tolist() == counts


def test_chequered_masks():
    masks = np.indices([3, 151, 203]).sum(0).astype(np.uint8) & 1
    np.testing.assert_array_equal(decode(rle_cases.encode(masks), masks.shape[1:]), masks)


def test_drawing_stays_on_the_cpu():
    """Where there is a GPU, too: kernels for sparse matrices exist there."""
    nodes = [
        node
        for function in decode.get_concrete_function().graph.as_graph_def().library.function
        for node in function.node_def
        if node.op in ('SparseTensorToCSRSparseMatrix', 'SparseMatrixTranspose', 'ScatterNd')
    ]
    assert len(nodes) >= 4  # rows and columns are drawn in branches
    assert all(node.device.endswith('CPU:0') for node in nodes)


def test_real_masks(shared_data):
    for size, counts in rle_cases.real(shared_data).items():
        for start in range(0, len(counts), 400):
            part = counts[start : start + 100]
            drawn = rle.decode(part, size)
            expected = coco_mask.decode(rle_cases.coco(part, size)).transpose(2, 0, 1)
            np.testing.assert_array_equal(drawn, expected)
            assert rle.encode(drawn).numpy().tolist() == part
        found = rle.run_lengths(counts).to_list()
        assert found == [reference.run_lengths(one) for one in counts]


def test_saved_model_round_trip(tmp_path):
    module = tf.Module()
    module.decode = decode
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    masks = rle_cases.blobs(3, (20, 30))
    counts = tf.constant(rle_cases.encode(masks))
    np.testing.assert_array_equal(loaded.decode(counts, [20, 30]), masks)
    with pytest.raises(tf.errors.InvalidArgumentError, match='height x width = 20 x 31 = 620'):
        loaded.decode(counts, [20, 31])


FAULTS = [
    ([b'9', b'\x2f'], [3, 3], r'characters 48..111; got character 47 at index 1, position 0'),
    ([b'9', b'9p'], [3, 3], r'characters 48..111; got character 112 at index 1, position 1'),
    ([b'9', b'a'], [3, 3], r'end with a whole number; got character 97 last at index 1'),
    ([b'9', b'9', b'o' * 7 + b'0'], [3, 3], r'at most 7 characters; got 8 at index 2, run 0'),
    ([b'9', b'9O'], [3, 3], r'not negative .*; got a run of -1, sum 8, at index 1, run 1'),
    ([b'oooooo?'], [3, 3], r'sum to at most 2147483647; got a run of \d+, sum \d+, at index 0'),
    ([b'9', b'8'], [3, 3], r'height x width = 3 x 3 = 9; got a sum of 8 at index 1'),
    ([b''], [3, 3], r'= 9; got a sum of 0 at index 0'),
    ([b'9'], [0, 3], r'`size` positive .* at most 2147483647; got \[0 3\] at index 0'),
    ([b'9'], [-3, -3], r'`size` positive .*; got \[-3 -3\] at index 0'),
    ([b'9'], [2**31, 2**31], r'`size` positive .*; got \[2147483648 2147483648\] at index 0'),
    ([b'9'], [2**62, 4], r'`size` positive .*; got \[4611686018427387904 4\] at index 0'),
    ([b'9', b'9'], [[3, 3], [9, 1]], r'equal for all masks .*; got \[3 3\] .* \[9 1\] at index 1'),
    ([b'9', b'9'], [[3, 3]], r'`size` of shape \[2\] or \[2, 2\], one row a mask; got 1 rows'),
]


decode_any_rank = tf.function(
    rle.decode,
    input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec(None, tf.int64)],
)


@pytest.mark.parametrize(('counts', 'size', 'message'), FAULTS)
def test_faults_in_values_name_the_mask_and_the_numbers(counts, size, message):
    arguments = tf.constant(counts, tf.string), tf.constant(size, tf.int64)
    for call in (rle.decode, decode_any_rank):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match='rle.decode: expected .*' + message
        ):
            call(*arguments)


@pytest.mark.parametrize(('counts', 'size', 'message'), [FAULTS[0], FAULTS[6], FAULTS[-1]])
def test_faults_in_values_come_out_of_a_dataset(counts, size, message):
    arguments = tf.constant(counts, tf.string), tf.constant(size, tf.int64)
    dataset = tf.data.Dataset.from_tensors(arguments).map(rle.decode)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        next(iter(dataset))


def test_the_first_of_several_faults_is_named():
    with pytest.raises(tf.errors.InvalidArgumentError, match=r'`size` positive'):
        rle.decode(['p', '9O'], [0, 3])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r'characters 48..111'):
        rle.decode(['9O', 'p'], [3, 3])


def test_results_past_the_limit_are_refused_before_they_are_allocated():
    size = [2**15, 2**15]
    counts = [reference.write_runs([2**30])] * 9
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r'at most 8589934592 bytes.*got 9 masks'
    ):
        rle.decode(counts, size)


@pytest.mark.parametrize(
    ('counts', 'size', 'message'),
    [
        ([1], [1, 1], '`counts` of dtype string; got int32'),
        ([['1']], [1, 1], r'`counts` of shape \[N\]; got \(1, 1\)'),
        (['1'], [1.0, 1.0], '`size` of integers; got float32'),
        (['1'], [1, 1, 1], r'`size` of shape \[2\] or \[N, 2\]; got \(3,\)'),
    ],
)
def test_static_faults_are_value_errors_while_tracing(counts, size, message):
    for call in (rle.decode, tf.function(rle.decode)):
        with pytest.raises(ValueError, match='rle.decode: expected ' + message):
            call(tf.constant(counts), tf.constant(size))


@pytest.mark.parametrize(
    ('name', 'call'),
    [
        ('area', lambda counts: rle.area(counts, [1, 1])),
        ('decode', lambda counts: rle.decode(counts, [1, 1])),
        ('run_lengths', rle.run_lengths),
        ('nms', lambda counts: rle.nms(counts, [0.5], [1, 1], 0.5)),
    ],
)
def test_masks_of_several_images_are_refused(name, call):
    batch = tf.data.Dataset.range(1, 3).map(lambda n: tf.repeat('1', n)).ragged_batch(2)
    rule = rf'rle\.{name}: expected `counts` of shape \[N\], .*got a ragged tensor of \(2, None\)'
    with pytest.raises(ValueError, match=rule):
        call(next(iter(batch)))
    with pytest.raises(ValueError, match=rule.replace('2, None', 'None, None')):
        batch.map(call)


def test_encode_refuses_what_is_not_masks():
    with pytest.raises(ValueError, match=r'`masks` of shape \[N, H, W\]; got \(2, 2\)'):
        rle.encode(tf.zeros([2, 2], tf.uint8))
    with pytest.raises(ValueError, match='`masks` of bool or integers; got float32'):
        rle.encode(tf.zeros([2, 2, 2]))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r'1 to 2147483647 pixels .*; got 0 x 2'
    ):
        rle.encode(tf.zeros([2, 0, 2], tf.uint8))
