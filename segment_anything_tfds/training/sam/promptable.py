"""SAM as a Keras model that trains: many prompts an image, masks chosen by the least loss.

KerasHub's `SAMImageSegmenter` is built for inference (its `fit` raises NotImplementedError) and
takes one object an image. `PromptableSegmenter` wraps it: the image is encoded once, K prompts are
decoded, and `compile`, `fit`, `evaluate`, `predict` and `save` are Keras's own. A saved model comes
back with `keras.saving.load_model` once this class has been imported.
"""

from __future__ import annotations

import keras
from keras import ops

from segment_anything_tfds.training import content, losses
from segment_anything_tfds.training.sam import (
    checks,
    global_attention,
    kerashub,
    rounds,
    steps,
    tokens,
)

_PACKAGE = 'segment_anything_tfds'
_PARTS = ('image_encoder', 'prompt_encoder', 'mask_decoder')


@keras.saving.register_keras_serializable(_PACKAGE)
class PromptableSegmenter(keras.Model):
    """A KerasHub SAM for `model.fit` on what a `training.Recipe` gives.

    Inputs, a dict with batch B, masks an image K and points a mask P:

    | name | shape | |
    |---|---|---|
    | `image` | [B, H, W, 3] | RGB, 0 to 255, any dtype; normalised here, once |
    | `content_size` | [B, 2] | optional; height and width without the padding right and below |
    | `point_coords` | [B, K, P, 2] | x, y in pixels of the image |
    | `point_labels` | [B, K, P] | 1 foreground, 0 background, -1 padding |
    | `boxes_xyxy`, `has_box` | [B, K, 4], [B, K] | optional; a box counts where `has_box` is 1 |
    | `mask_input`, `has_mask_input` | [B, K, h, w], [B, K] | optional; logits of an earlier mask |

    Outputs, a dict: `masks` logits [B, K, M, h, w] with h = H / 4, `iou_pred` [B, K, M], and
    `candidates` float [B, K, M], 1 where an output may be chosen: the multimask outputs (1 to
    M - 1) for a single click, the first for every other prompt, as SAM does. With `content_size`
    also `content` [B, K, 2], its parts of the square, by which losses, metrics and clicks leave the
    padding out. Other keys are ignored.

    For equal weights the outputs are those of Meta's `segment_anything`: the padding is zero after
    normalising, and each prompt becomes exactly its tokens, whatever slots are left over.

    Args:
      segmenter: a `keras_hub.models.SAMImageSegmenter`, or its `SAMBackbone`.
      corrections: rounds of correction clicks in each training step. Each adds a click drawn
        uniformly from the error region and passes the logits before it on as `mask_input`; the
        losses of all rounds are added (SAM, appendix A: 8 clicks; SAM 2's image stage: 7). The
        gradient stops between rounds.
      refine: two more rounds without a click, in which the model learns to improve its own logits:
        one before a correction drawn at random, one at the end (SAM, appendix A; SAM 2 has none).
      prompt_layout: `'sam'` (a box is two tokens, points end with a padding token) or `'sam2'`
        (padding after boxes too).
      multimask: which outputs are candidates in training: `'ambiguous'` as above, or `'coin_flip'`,
        the multimask outputs or the first, drawn for each step (EfficientViT-SAM).
      pixel_mean: subtracted from each channel, before KerasHub's image encoder normalises.
      pixel_std: each channel is then divided by it; the encoder expects 0 to 1.
      seed: of the correction clicks.

    Raises:
      ValueError: an unknown `prompt_layout` or `multimask`, or a prompt encoder that does not
        compute in float32: a mixed policy (`keras.config.set_dtype_policy`) is for the image
        encoder alone.

    Example:
      >>> model = PromptableSegmenter(training.small_sam(64))
      >>> loss, metric = training.SegmentAnythingLoss(), training.MeanMaskIoU()
      >>> model.compile('adamw', loss=loss, metrics=[metric])
    """

    def __init__(
        self,
        segmenter,
        *,
        corrections=0,
        refine=False,
        prompt_layout='sam',
        multimask='ambiguous',
        pixel_mean=(0.0, 0.0, 0.0),
        pixel_std=(255.0, 255.0, 255.0),
        seed=0,
        **kwargs,
    ):
        super().__init__(**{'dtype': 'float32', **kwargs})  # coordinates need it
        kerashub.check_version()
        self.backbone = getattr(segmenter, 'backbone', segmenter)
        checks.check(self.backbone, prompt_layout, multimask)
        self.mask_decoder = self.backbone.mask_decoder  # with PyTorch untracked by the backbone
        if not self.mask_decoder.built:  # KerasHub builds it in the segmenter, not in the backbone
            self.mask_decoder.build()
        self.corrections, self.refine = corrections, refine
        self.prompt_layout, self.multimask = prompt_layout, multimask
        self.pixel_mean = tuple(map(float, pixel_mean))
        self.pixel_std = tuple(map(float, pixel_std))
        self._normalises_twice = checks.warn_of_normalising_twice(self.pixel_mean, self.pixel_std)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.mask_metrics = []
        self.lora_rank = None
        self.built = True

    def encode(self, image, content_size=None, training=False, heads_in_turns=False):
        """Embeds images: [B, H, W, 3] gives [B, H / 16, W / 16, C].

        Args:
          image: RGB, 0 to 255, any dtype.
          content_size: int [B, 2], height and width of the image without its padding, which lies
            right and below. It becomes zero after normalising, as SAM's; without, nothing does.
          training: whether layers train.
          heads_in_turns: for inference in less memory; see `global_attention`.
        """
        image = ops.cast(image, 'float32')
        image = (image - ops.array(self.pixel_mean)) / ops.array(self.pixel_std)
        if content_size is not None and not self._normalises_twice:
            inside = content.inside(self._share(content_size), *image.shape[1:3])
            image = ops.where(inside[..., None], image, ops.array(kerashub.MEAN))
        if heads_in_turns:
            return global_attention.encode(self.backbone.image_encoder, image)
        return self.backbone.image_encoder(image, training=training)

    def decode(self, embeddings, prompts):
        """Decodes masks for K prompts an image.

        Args:
          embeddings: [B, h, w, C], or repeated for each prompt, [B, K, h, w, C].
          prompts: of the inputs.
        """
        batch, count = ops.shape(prompts['point_labels'])[:2]
        if len(embeddings.shape) == 4:
            embeddings = tokens.for_each(embeddings, count)
        encoder = self.backbone.prompt_encoder
        flat = {name: tokens.flat(prompts[name]) for name in tokens.NAMES if name in prompts}
        sparse, valid = tokens.embed(encoder, flat, self.prompt_layout)
        dense = kerashub.no_mask(encoder)
        if 'mask_input' in flat:
            given = ops.cast(flat['mask_input'], 'float32')
            dense = kerashub.embed_masks(encoder, given, flat['has_mask_input'])
        masks, iou_pred = kerashub.decode(
            self.mask_decoder,
            tokens.flat(embeddings),
            kerashub.embed_grid(encoder),
            sparse,
            dense,
            valid,
        )
        outputs = {
            'masks': ops.reshape(masks, (batch, count, *masks.shape[1:])),
            'iou_pred': ops.reshape(iou_pred, (batch, count, iou_pred.shape[-1])),
            'candidates': tokens.candidates(prompts, iou_pred.shape[-1]),
        }
        if 'content_size' in prompts:
            outputs['content'] = tokens.for_each(self._share(prompts['content_size']), count)
        return outputs

    def _share(self, content_size):
        """Gives height and width of the content in parts of the image: [B, 2]."""
        size = ops.array(self.backbone.prompt_encoder.input_image_size, dtype='float32')
        return ops.cast(content_size, 'float32') / size

    def call(self, inputs, training=False):
        embeddings = self.encode(inputs['image'], inputs.get('content_size'), training=training)
        outputs = self.decode(embeddings, inputs)
        if training:
            outputs['image_embeddings'] = embeddings
            if self.multimask == 'coin_flip':
                outputs['candidates'] = tokens.flip_coin(outputs['candidates'], self.seed_generator)
        return outputs

    def compile(self, optimizer='adamw', loss=None, *, metrics=(), **kwargs):
        """Compiles as `keras.Model.compile`; loss and metrics see the dict of all outputs at once.

        Where the image encoder computes in float16, the loss is scaled, as Keras does for models
        that are float16 throughout.
        """
        checks.check_trainable(self)
        loss = keras.losses.get(loss) or losses.SegmentAnythingLoss()
        optimizer = steps.with_loss_scale(keras.optimizers.get(optimizer), self.backbone)
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        self.mask_metrics = list(metrics or ())

    def fit(self, x=None, *args, shuffle=None, **kwargs):
        """Fits as `keras.Model.fit`; `shuffle` is for arrays, since a dataset shuffles itself."""
        shuffle = steps.is_arrays(x) if shuffle is None else shuffle
        return super().fit(x, *args, shuffle=shuffle, **kwargs)

    def make_train_function(self, force=False):
        steps.build_optimizer(self)
        return super().make_train_function(force)

    def train_step(self, *args, **kwargs):
        with steps.unused_prompts_are_no_mistake():
            return super().train_step(*args, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        outputs = _without_embeddings(y_pred)
        total = self.loss(y, outputs, sample_weight)
        if training and (self.corrections or self.refine):
            seed = self.seed_generator
            count = ops.shape(x['point_labels'])[1]
            embeddings = tokens.for_each(y_pred['image_embeddings'], count)
            total = rounds.add_losses(
                total,
                x,
                y,
                outputs,
                rounds.plan(self.corrections, self.refine, seed=seed),
                decode=lambda prompts: self.decode(embeddings, prompts),
                loss=lambda found: self.loss(y, found, sample_weight),
                seed=seed,
                written_out=self.jit_compile and x['point_labels'].shape[0] is None,
            )
        return sum(self.losses, total)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        for metric in self.mask_metrics:
            metric.update_state(y, _without_embeddings(y_pred), sample_weight)
        return self.get_metrics_result()

    def corrected(self, prompts, truth, outputs, *, point=None, label=None, clicks=True):
        """Gives the prompts with one more click and the chosen logits as `mask_input`.

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
        if point is None:
            place = keras.random.uniform(ops.shape(truth)[:2], seed=self.seed_generator)
            point, label = rounds.draw_click(truth, outputs, place)
        return rounds.add_click(prompts, outputs, point, ops.where(clicks, label, -1), truth.shape)

    def enable_lora(self, rank, lora_alpha=None):
        """Trains the image encoder's attention by LoRA: low-rank additions to frozen kernels.

        The rest of the image encoder is frozen; prompt encoder and mask decoder train as before.
        `save` and `checkpoints.save` add the additions to the kernels; a loaded model has its
        encoder frozen until `enable_lora` is called again. Call it before `compile`.

        Args:
          rank: of the additions.
          lora_alpha: their scale is `lora_alpha / rank`; the rank if None.

        Raises:
          ValueError: where LoRA is enabled already.
        """
        kerashub.enable_lora(self.backbone.image_encoder, rank, lora_alpha)
        self.lora_rank = rank

    def save_own_variables(self, store):
        super().save_own_variables(store)
        store['seed'] = keras.ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store):
        if 'seed' in store:  # else a file of version 1.0
            self.seed_generator.state.assign(store['seed'])

    def get_config(self):
        return {
            **super().get_config(),
            'segmenter': keras.saving.serialize_keras_object(self.backbone),
            'corrections': self.corrections,
            'refine': self.refine,
            'prompt_layout': self.prompt_layout,
            'multimask': self.multimask,
            'pixel_mean': self.pixel_mean,
            'pixel_std': self.pixel_std,
            'seed': self.seed,
            'frozen': [part for part in _PARTS if self._is_frozen(part)],
        }

    def _is_frozen(self, part):
        has_lora = part == 'image_encoder' and self.lora_rank
        return bool(has_lora) or not getattr(self.backbone, part).trainable

    @classmethod
    def from_config(cls, config):
        segmenter = keras.saving.deserialize_keras_object(config['segmenter'])
        for part in config.get('frozen', ()):
            getattr(segmenter, part).trainable = True  # only a change reaches all its layers
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


def _without_embeddings(outputs):
    return {name: value for name, value in outputs.items() if name != 'image_embeddings'}
