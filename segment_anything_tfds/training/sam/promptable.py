"""SAM as a Keras model that trains: many prompts an image, masks chosen by the least loss.

KerasHub's `SAMImageSegmenter` is built for inference (its `fit` raises NotImplementedError) and
takes one object an image. `PromptableSegmenter` wraps it: the image is encoded once, K prompts are
decoded, and `compile`, `fit`, `evaluate`, `predict` and `save` are Keras's own. A saved model comes
back with `keras.saving.load_model` once this class has been imported.
"""

from __future__ import annotations

import keras
from keras import ops

from segment_anything_tfds.training import corrections as corrections_lib
from segment_anything_tfds.training import losses, metrics

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
_PACKAGE = 'segment_anything_tfds'
_PARTS = ('image_encoder', 'prompt_encoder', 'mask_decoder')


@keras.saving.register_keras_serializable(_PACKAGE)
class PromptableSegmenter(keras.Model):
    """A KerasHub SAM for `model.fit` on what a `training.Recipe` gives.

    Inputs, a dict with batch B, masks an image K and points a mask P:

    | name | shape | |
    |---|---|---|
    | `image` | [B, H, W, 3] | RGB, 0 to 255, any dtype; normalised here |
    | `point_coords` | [B, K, P, 2] | x, y in pixels of the image |
    | `point_labels` | [B, K, P] | 1 foreground, 0 background, -1 padding |
    | `boxes_xyxy`, `has_box` | [B, K, 4], [B, K] | optional; a box counts where `has_box` is 1 |
    | `mask_input`, `has_mask_input` | [B, K, h, w], [B, K] | optional; logits of an earlier mask |

    Outputs, a dict: `masks` logits [B, K, M, h, w] with h = H / 4, `iou_pred` [B, K, M], and
    `candidates` float [B, K, M], 1 where an output may be chosen: the multimask outputs (1 to
    M - 1) for a single click, the first for every other prompt, as SAM does. Other keys are
    ignored.

    Args:
      segmenter: a `keras_hub.models.SAMImageSegmenter`, or its `SAMBackbone`.
      corrections: rounds of correction clicks in each training step. Each adds a click drawn
        uniformly from the error region and passes the logits before it on as `mask_input`; the
        losses of all rounds are added (SAM, appendix A: 8 clicks; SAM 2's image stage: 7). The
        gradient stops between rounds.
      refine: two more rounds without a click, in which the model learns to improve its own logits:
        one before a correction drawn at random, one at the end (SAM, appendix A; SAM 2 has none).
      pixel_mean: subtracted from each channel; SAM's `pixel_mean`.
      pixel_std: each channel is divided by it; SAM's `pixel_std`.
      seed: of the correction clicks.

    Raises:
      ValueError: a prompt encoder that does not compute in float32. KerasHub's cannot do otherwise,
        so a mixed policy (`keras.config.set_dtype_policy`) is for the image encoder alone.

    Example:
      >>> model = PromptableSegmenter(training.small_sam(64))
      >>> model.compile('adamw', loss=losses.SegmentAnythingLoss(), metrics=[metrics.MeanMaskIoU()])
    """

    def __init__(
        self,
        segmenter,
        *,
        corrections=0,
        refine=False,
        pixel_mean=PIXEL_MEAN,
        pixel_std=PIXEL_STD,
        seed=0,
        **kwargs,
    ):
        super().__init__(**{'dtype': 'float32', **kwargs})  # coordinates need it
        _check_dtype(segmenter)
        self.backbone = getattr(segmenter, 'backbone', segmenter)
        self.mask_decoder = self.backbone.mask_decoder  # with PyTorch untracked by the backbone
        self.corrections, self.refine = corrections, refine
        self.pixel_mean, self.pixel_std = tuple(pixel_mean), tuple(pixel_std)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.mask_metrics = []
        self.built = True

    def encode(self, image, training=False):
        """Image embeddings: [B, H, W, 3] gives [B, H / 16, W / 16, C]."""
        image = (ops.cast(image, 'float32') - ops.array(self.pixel_mean)) / ops.array(
            self.pixel_std
        )
        return self.backbone.image_encoder(image, training=training)

    def decode(self, embeddings, prompts):
        """Masks for K prompts an image: embeddings [B, h, w, C] and the prompts of the inputs."""
        labels = prompts['point_labels']
        batch, count = ops.shape(labels)[0], labels.shape[1]
        sparse, dense, positional = self._embed_prompts(prompts)
        outputs = self.mask_decoder(
            image_embeddings=ops.repeat(embeddings, count, axis=0),
            prompt_sparse_embeddings=sparse,
            prompt_dense_embeddings=dense,
            prompt_dense_positional_embeddings=positional,
        )
        masks, iou_pred = outputs['masks'], outputs['iou_pred']
        masks = ops.reshape(masks, (batch, count, *masks.shape[1:]))
        iou_pred = ops.reshape(iou_pred, (batch, count, iou_pred.shape[-1]))
        return {
            'masks': masks,
            'iou_pred': iou_pred,
            'candidates': _candidates(prompts, iou_pred.shape[-1]),
        }

    def call(self, inputs, training=False):
        embeddings = self.encode(inputs['image'], training=training)
        outputs = self.decode(embeddings, inputs)
        if training:
            outputs['image_embeddings'] = embeddings
        return outputs

    def compile(self, optimizer='adamw', loss=None, *, metrics=(), **kwargs):
        """As `keras.Model.compile`; loss and metrics see the whole dict of outputs at once."""
        loss = keras.losses.get(loss) or losses.SegmentAnythingLoss()
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        self.mask_metrics = list(metrics or ())

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        total = self.loss(y, _without_embeddings(y_pred), sample_weight)
        for clicks in self._rounds() if training else ():
            embeddings = y_pred['image_embeddings']
            x = self.corrected(x, y, y_pred, clicks=clicks)
            y_pred = {**self.decode(embeddings, x), 'image_embeddings': embeddings}
            total += self.loss(y, _without_embeddings(y_pred), sample_weight)
        return sum(self.losses, total)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        for metric in self.mask_metrics:
            metric.update_state(y, _without_embeddings(y_pred), sample_weight)
        return self.get_metrics_result()

    def _rounds(self):
        """Whether each round of correction adds a click."""
        if not self.refine:
            return [True] * self.corrections
        rounds = range(self.corrections + 1)
        without = keras.random.randint(
            (), 0, max(1, self.corrections), seed=self.seed_generator, dtype='int32'
        )
        return [*(ops.not_equal(without, number) for number in rounds), False]

    def corrected(self, prompts, truth, outputs, *, point=None, label=None, clicks=True):
        """The prompts with one more click and the chosen logits as `mask_input`.

        Args:
          prompts: the inputs of the model.
          truth: true masks [B, K, h, w], in 0 to 1.
          outputs: what the model gave for these prompts.
          point: float [B, K, 2] (x, y) in pixels of the masks; drawn from the error if not given.
          label: int [B, K] of that point.
          clicks: bool []; without, the point is padding (label -1), and only the logits are new.

        Returns:
          The inputs of the next round; `point_coords` and `point_labels` are one longer.
        """
        logits = ops.stop_gradient(metrics.choose_mask(outputs)[0])
        if point is None:
            point, label = corrections_lib.sample_correction(
                ops.cast(truth, 'float32'), logits, seed=self.seed_generator
            )
        height, width = prompts['image'].shape[1:3]
        scale = ops.array([width / truth.shape[-1], height / truth.shape[-2]])
        point = (point + 0.5) * scale - 0.5
        label = ops.where(clicks, label, -1)
        labels = prompts['point_labels']
        return {
            **prompts,
            'point_coords': ops.concatenate(
                [ops.cast(prompts['point_coords'], 'float32'), point[..., None, :]], axis=-2
            ),
            'point_labels': ops.concatenate(
                [labels, ops.cast(label, labels.dtype)[..., None]], axis=-1
            ),
            'mask_input': logits,
            'has_mask_input': ops.ones_like(labels[..., 0], dtype='float32'),
        }

    def _embed_prompts(self, prompts):
        """Flattens [B, K] to one axis and gives sparse, dense and positional embeddings."""
        encoder = self.backbone.prompt_encoder
        labels = _flat(prompts['point_labels'], 2)
        points = _flat(prompts['point_coords'], 2)
        if 'boxes_xyxy' in prompts:
            embedded = encoder(points=points, labels=labels)
            corners = self._embed_corners(prompts)
        else:
            padding = [(0, 0), (0, 1)]
            embedded = encoder(
                points=ops.pad(points, [*padding, (0, 0)]),
                labels=ops.pad(labels, padding, constant_values=-1),
            )
            corners = None
        sparse = embedded['prompt_sparse_embeddings']
        sparse = sparse if corners is None else ops.concatenate([sparse, corners], axis=1)
        dense = embedded['prompt_dense_embeddings']
        if 'mask_input' in prompts:
            given = encoder.mask_downscaler(_flat(prompts['mask_input'], 2)[..., None])
            present = _flat(prompts['has_mask_input'], 2)[:, None, None, None] > 0
            dense = ops.where(present, given, dense)
        return sparse, dense, embedded['prompt_dense_positional_embeddings']

    def _embed_corners(self, prompts):
        """Two tokens a box, [B K, 2, C]; padding where there is no box.

        Not through `SAMPromptEncoder(boxes=...)`: its product of [N, 1, 2, 2] with [2, C] writes
        out of bounds in TensorFlow 2.21 with oneDNN, and it cannot leave single boxes out.
        """
        encoder = self.backbone.prompt_encoder
        corners = ops.reshape(_flat(prompts['boxes_xyxy'], 2), (-1, 2, 2))
        positions = encoder.positional_embedding_layer.encode_coordinates(
            ops.cast(corners, 'float32') + 0.5, encoder.input_image_size
        )
        only = ops.arange(1, dtype='int32')
        kinds = ops.stack(
            [encoder.top_left_corner_embed(only), encoder.bottom_right_corner_embed(only)], axis=1
        )
        present = _flat(prompts['has_box'], 2)[:, None, None] > 0
        return ops.where(present, positions + kinds, encoder.not_a_point_embed(only))

    def get_config(self):
        return {
            **super().get_config(),
            'segmenter': keras.saving.serialize_keras_object(self.backbone),
            'corrections': self.corrections,
            'refine': self.refine,
            'pixel_mean': self.pixel_mean,
            'pixel_std': self.pixel_std,
            'seed': self.seed,
            'frozen': [part for part in _PARTS if not getattr(self.backbone, part).trainable],
        }

    @classmethod
    def from_config(cls, config):
        segmenter = keras.saving.deserialize_keras_object(config['segmenter'])
        for part in config.get('frozen', ()):
            getattr(segmenter, part).trainable = True  # else it seems frozen, and most is not
            getattr(segmenter, part).trainable = False
        config = {key: value for key, value in config.items() if key != 'frozen'}
        return cls(**{**config, 'segmenter': segmenter})

    def get_compile_config(self):
        config = super().get_compile_config()
        if not config:
            return config
        return {**config, 'metrics': keras.saving.serialize_keras_object(self.mask_metrics)}

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)


def _check_dtype(segmenter):
    encoder = getattr(segmenter, 'backbone', segmenter).prompt_encoder
    for layer in (encoder, encoder.top_left_corner_embed):
        if layer.compute_dtype != 'float32':
            raise ValueError(
                'model.PromptableSegmenter: expected `segmenter` with a prompt encoder of float32; '
                f'got {layer.compute_dtype}. Make it while keras.config.dtype_policy() is float32.'
            )


def _candidates(prompts, num_outputs):
    """1 for the outputs that these prompts ask for, [B, K, M]; SAM 2's `_use_multimask`."""
    labels = prompts['point_labels']
    clicks = ops.sum(ops.cast(labels >= 0, 'float32'), axis=-1)
    if 'boxes_xyxy' in prompts:
        clicks = clicks + 2 * ops.cast(prompts['has_box'], 'float32')
    if 'mask_input' in prompts:
        clicks = clicks + 2 * ops.cast(prompts['has_mask_input'], 'float32')
    ambiguous = ops.cast(clicks <= 1, 'float32')[..., None]
    first = ops.one_hot(ops.zeros((), dtype='int32'), num_outputs, dtype='float32')
    return ambiguous * (1 - first) + (1 - ambiguous) * first if num_outputs > 1 else first


def _flat(x, axes):
    """Joins the first two axes."""
    return ops.reshape(x, (-1, *x.shape[axes:]))


def _without_embeddings(outputs):
    return {name: value for name, value in outputs.items() if name != 'image_embeddings'}
