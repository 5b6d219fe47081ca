"""Image encoder and mask decoder as ONNX files, for browsers and other runtimes."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from segment_anything_tfds.training.sam.promptable import PromptableSegmenter

OPSET = 18
_MOST_BYTES = 2**31 - 2**24  # a protobuf holds 2 GiB


class Exported(NamedTuple):
    """The files that were written.

    Attributes:
      encoder: `image` uint8 [B, S, S, 3] and `content_size` int32 [B, 2], its height and width
        without padding, give `image_embeddings` float32 [B, h, w, C].
      decoder: `image_embeddings` [1, h, w, C] and K prompts give `masks`, logits [1, K, M, 4 h,
        4 w], and `iou_pred` [1, K, M]. The prompts: `point_coords` float32 [1, K, P, 2],
        `point_labels` int32 [1, K, P] (1, 0, or -1 for none), `boxes_xyxy` float32 [1, K, 4],
        `has_box` float32 [1, K], `mask_input` float32 [1, K, 4 h, 4 w], `has_mask_input` float32
        [1, K]; K and P are free. Output 0 is the single mask, those from 1 on the several ones.
    """

    encoder: pathlib.Path
    decoder: pathlib.Path


def export_onnx(model: PromptableSegmenter, path: str | os.PathLike) -> Exported:
    """Writes the model as two ONNX files, which `onnxruntime` runs.

    Works on every Keras backend; the graphs are made by TensorFlow's.

    Args:
      model: a `PromptableSegmenter`, or a KerasHub SAM, which is wrapped.
      path: a folder for `encoder.onnx` and `decoder.onnx`; or `sam.onnx`, for `sam_encoder.onnx`
        and `sam_decoder.onnx` beside each other.

    Returns:
      The two files.

    Raises:
      ImportError: tf2onnx is not installed; `pip install '.[onnx]'` has it.
      ValueError: a model of more than 2 GiB, which an ONNX file does not hold.
    """
    try:
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'training.export_onnx: expected tf2onnx; got none. Install it with: '
            "pip install 'segment-anything-tfds[onnx]'"
        ) from error
    from segment_anything_tfds.training.sam import promptable

    if not isinstance(model, promptable.PromptableSegmenter):
        model = promptable.PromptableSegmenter(model)
    size = 4 * model.count_params()
    if size > _MOST_BYTES:
        raise ValueError(
            f'training.export_onnx: expected `model` of less than 2 GiB; got {size / 2**30:.1f} '
            'GiB. Export a smaller one, such as ViT-B or ViT-L.'
        )
    files = _files(pathlib.Path(path))
    files.encoder.parent.mkdir(parents=True, exist_ok=True)
    import keras

    if keras.backend.backend() == 'tensorflow':
        _write(model, files)
    else:
        _write_elsewhere(model, files)
    return files


def _files(path: pathlib.Path) -> Exported:
    if path.suffix == '.onnx':
        return Exported(*(path.with_name(f'{path.stem}_{part}.onnx') for part in Exported._fields))
    return Exported(*(path / f'{part}.onnx' for part in Exported._fields))


_THERE = """
import sys
from segment_anything_tfds import training
from segment_anything_tfds.training.prediction import onnx_export
onnx_export.export_onnx(training.load_model(sys.argv[1]), sys.argv[2])
"""


def _write_elsewhere(model: PromptableSegmenter, files: Exported) -> None:
    """Writes them in a process with the TensorFlow backend."""
    with tempfile.TemporaryDirectory() as folder:
        saved, made = os.path.join(folder, 'sam.keras'), os.path.join(folder, 'made')
        model.save(saved)
        done = subprocess.run(
            [sys.executable, '-c', _THERE, saved, made],
            env={**os.environ, 'KERAS_BACKEND': 'tensorflow'},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(
                'training.export_onnx: expected a process with the TensorFlow backend to make the '
                f'graphs; got:\n{done.stderr[-2000:]}'
            )
        for name, target in files._asdict().items():
            content = (pathlib.Path(made) / f'{name}.onnx').read_bytes()
            _put(content, target)


def _write(model: PromptableSegmenter, files: Exported) -> None:
    import tensorflow as tf

    encoder = model.backbone.prompt_encoder
    side, (rows, columns) = encoder.input_image_size[0], encoder.image_embedding_size
    channels = int(model.backbone.image_encoder.output_shape[-1])
    prompts = {
        'point_coords': tf.TensorSpec([1, None, None, 2], tf.float32),
        'point_labels': tf.TensorSpec([1, None, None], tf.int32),
        'boxes_xyxy': tf.TensorSpec([1, None, 4], tf.float32),
        'has_box': tf.TensorSpec([1, None], tf.float32),
        'mask_input': tf.TensorSpec([1, None, 4 * rows, 4 * columns], tf.float32),
        'has_mask_input': tf.TensorSpec([1, None], tf.float32),
    }

    def encode(image, content_size):
        return (model.encode(image, content_size),)

    def decode(image_embeddings, *values):
        given = dict(zip(prompts, values, strict=True))
        # One more slot, without a click: a length of 0 has another meaning to ONNX's Reshape.
        given['point_coords'] = tf.pad(given['point_coords'], [[0, 0], [0, 0], [0, 1], [0, 0]])
        given['point_labels'] = tf.pad(
            given['point_labels'], [[0, 0], [0, 0], [0, 1]], constant_values=-1
        )
        outputs = model.decode(image_embeddings, given)
        return outputs['masks'], outputs['iou_pred']

    images = {
        'image': tf.TensorSpec([None, side, side, 3], tf.uint8),
        'content_size': tf.TensorSpec([None, 2], tf.int32),
    }
    _put(_converted(encode, images, ['image_embeddings']), files.encoder)
    embeddings = {'image_embeddings': tf.TensorSpec([1, rows, columns, channels], tf.float32)}
    _put(_converted(decode, embeddings | prompts, ['masks', 'iou_pred']), files.decoder)


def _converted(function, inputs, outputs: list[str]) -> bytes:
    """Converts a function; `inputs` are specs by name, `outputs` the names of what it gives."""
    import tensorflow as tf
    import tf2onnx.tf_loader
    import tf2onnx.tfonnx
    from tensorflow.python.framework import convert_to_constants

    traced = tf.function(function).get_concrete_function(
        *(tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in inputs.items())
    )
    frozen = convert_to_constants.convert_variables_to_constants_v2(traced)
    tensors = dict(zip((tensor.name for tensor in frozen.inputs), inputs, strict=True))
    given = list(tensors)
    tensors |= dict(zip((tensor.name for tensor in frozen.outputs), outputs, strict=True))
    names = [tensor.name for tensor in frozen.outputs]
    with tf.Graph().as_default():
        definition = frozen.graph.as_graph_def()
        definition = tf2onnx.tf_loader.tf_optimize(given, names, definition)
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name='')
        # Without tf2onnx's own optimizer, which drops reshapes that numbers of prompts need.
        made = tf2onnx.tfonnx.process_tf_graph(
            graph,
            opset=OPSET,
            input_names=given,
            output_names=names,
            tensors_to_rename=tensors,
            custom_op_handlers={'Erfc': (_erfc, [])},
        )
    return made.make_model('segment_anything').SerializeToString()


def _erfc(graph, node, name, args) -> None:
    """Writes 1 - erf(x) for erfc(x), of TensorFlow's GELU, which ONNX has not."""
    del args
    (given,), (made,) = node.input, node.output
    shape, dtype = graph.get_shape(made), graph.get_dtype(made)
    one = graph.make_const(f'{name}/one', np.array(1, np.float32)).output[0]
    graph.remove_node(node.name)
    erf = graph.make_node('Erf', [given], name=f'{name}/erf', shapes=[shape], dtypes=[dtype])
    graph.make_node(
        'Sub', [one, erf.output[0]], outputs=[made], name=name, shapes=[shape], dtypes=[dtype]
    )


def _put(content: bytes, path: pathlib.Path) -> None:
    """Writes a file that appears when it is whole."""
    part = path.with_name(f'.{path.name}.incomplete')
    part.write_bytes(content)
    os.replace(part, path)
