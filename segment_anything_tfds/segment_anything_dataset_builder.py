"""The `segment_anything` dataset: SA-1B, one TFDS shard an archive."""

from __future__ import annotations

import numpy as np
import tensorflow_datasets.public_api as tfds

from segment_anything_tfds import tfds_parts
from segment_anything_tfds.prepare import builder_options
from segment_anything_tfds.source import released, selection
from segment_anything_tfds.source.archive import paths
from segment_anything_tfds.source.remote import links_file

_LONGEST_CONFIG = 200
_HOMEPAGE = 'https://ai.facebook.com/datasets/segment-anything-downloads'


class _Selections(dict):
    """Says that it holds every selection: TFDS refuses a config that a class does not list."""

    def __contains__(self, name) -> bool:
        try:
            return bool(selection.parse(name))
        except ValueError:
            return False


class Builder(tfds_parts.FileReaderBuilder, skip_registration=True):
    """Builds SA-1B from its archives, without a shuffle of the data and without an extracted copy.

    Configs name the archives: none means every archive that the links file lists or that lies in
    `manual_dir`; `segment_anything/20-29+130` means those.
    """

    VERSION = tfds.core.Version('1.0.0')
    RELEASE_NOTES = {'1.0.0': 'Initial release.'}  # noqa: RUF012
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        f'Accept the licence at {_HOMEPAGE}, download the file with the links, and save it in'
        f' `manual_dir` as `{links_file.FILE_NAME}`. Archives that lie in `manual_dir` already'
        ' (`sa_000020.tar`, or extracted in a folder `sa_000020/`) are read from there; all others'
        ' are read from their links, without being stored.'
    )

    # The `tfds` command takes no config where a class lists none. The one without a name stands for
    # all archives, whose path has no config in it; to the methods of a builder there is none.
    builder_configs = _Selections()
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name='', description='All archives.')]  # noqa: RUF012

    def __init__(
        self,
        *,
        on_error: str = 'fail',
        decode_images: bool = False,
        shards_per_archive: int = 1,
        digests: str | None = None,
        **kwargs,
    ):
        """Constructs the builder.

        Args:
          on_error: what to do with a record that breaks a rule: `'fail'` lists all such records in
            one error, after the archives without any have been finished; `'skip'` leaves them out
            and reports each in `faults.jsonl` beside the dataset.
          decode_images: whether to decode every JPEG fully, besides checking its structure.
          shards_per_archive: how many shards the examples of one archive are spread over.
          digests: path of a list of MD5 digests, in `md5sum`'s format, that archives have to match;
            one that does not fails, or is left out with `on_error='skip'`. Without it, a digest
            that differs from a published one is a warning, and that of a copy known to be corrupt
            a fault. Extracted archives have no digest.
          **kwargs: `data_dir`, `config`, `version` and `file_format`, as in every TFDS builder.

        Raises:
          ValueError: for an unknown `on_error`, a `shards_per_archive` below 1, or a config that
            names no archives.
        """
        choices = {
            'on_error': on_error,
            'decode_images': decode_images,
            'shards_per_archive': shards_per_archive,
            'digests': digests,
        }
        self._options = builder_options.Options(**choices)
        self.BUILDER_CONFIGS = []
        with paths.served(kwargs.get('data_dir')):
            super().__init__(**kwargs)
        tfds_parts.remember_choices(self, file_format=kwargs.get('file_format'), **choices)
        if not self._is_prepared():
            self._tell_what_is_known()

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=_features(),
            homepage=_HOMEPAGE,
            license=f'Custom (see: {_HOMEPAGE})',
            metadata=tfds.core.MetadataDict(),
        )

    @classmethod
    def get_builder_config(cls, name, version=None) -> tfds.core.BuilderConfig:
        """Gives the config that stands for a selection of archives, such as `20-29+130`."""
        del version
        numbers = selection.parse(name)
        name = selection.format(numbers)
        if len(name) > _LONGEST_CONFIG:
            raise ValueError(
                f'Builder: expected a config of at most {_LONGEST_CONFIG} characters, as it names a'
                f' folder; got {len(name)}. Put the links of these archives alone in `manual_dir`.'
            )
        return tfds.core.BuilderConfig(
            name=name, description=f'{len(numbers)} of the 1000 archives.'
        )

    def _create_builder_config(self, builder_config, version):
        if isinstance(builder_config, tfds.core.BuilderConfig):
            builder_config = builder_config.name
        return super()._create_builder_config(builder_config or None, version)

    def _tell_what_is_known(self) -> None:
        """Tells TFDS sizes and counts of the released archives; a build puts its own there."""
        config = self.builder_config
        archives = len(selection.parse(config.name)) if config else released.ARCHIVES
        split = tfds.core.SplitInfo(
            name='train',
            shard_lengths=released.images(archives),
            num_bytes=released.share(released.DATASET_BYTES, archives),
            filename_template=tfds_parts.filename_template(self),
        )
        self.info.set_splits(tfds.core.SplitDict([split]))
        self.info.download_size = released.share(released.DOWNLOAD_BYTES, archives)

    def download_and_prepare(
        self, *, download_config: tfds.download.DownloadConfig | None = None, **kwargs
    ) -> None:
        """Builds the selection, unless it is prepared; see TFDS for the arguments."""
        from segment_anything_tfds.prepare import (
            session,  # imports Beam, which reading does without
        )

        config = download_config or tfds.download.DownloadConfig()
        dataset_dir = self.data_path
        if session.is_for_tfds(dataset_dir, config.download_mode):
            super().download_and_prepare(download_config=config, **kwargs)
            session.clear(dataset_dir)
            return
        with session.begin(dataset_dir) as self._session:
            # What is needed on disk is known once the archives are found; TFDS would ask before.
            self.info.set_splits(tfds.core.SplitDict([]))
            self.info.download_size = 0
            try:
                with tfds_parts.writing_to(self, self._session.workshop):
                    super().download_and_prepare(download_config=config, **kwargs)
                    self._session.finish(self.info)
            except BaseException:
                self._tell_what_is_known()
                raise

    def _download_and_prepare(self, dl_manager, download_config) -> None:
        if download_config.max_examples_per_split == 0:
            return  # metadata alone, as in TFDS
        summary = self._session.build(dl_manager, download_config, self, self._options)
        self.info.metadata.update(summary.metadata())
        self.info.set_splits(tfds.core.SplitDict([summary.split_info]))

    def _log_download_bytes(self) -> None:
        """Says nothing: TFDS speaks here of a folder that the data set only passes through."""

    def _log_download_done(self) -> None:
        """Says nothing: see `session.Session.finish`."""

    def as_dataset(self, *args, **kwargs):
        self._check_is_prepared('as_dataset')
        return super().as_dataset(*args, **kwargs)

    def as_data_source(self, *args, **kwargs):
        self._check_is_prepared('as_data_source')
        return super().as_data_source(*args, **kwargs)

    def _is_prepared(self) -> bool:
        return (self.data_path / tfds_parts.INFO_FILE_NAME).exists()

    def _check_is_prepared(self, function: str) -> None:
        if not self._is_prepared():
            from segment_anything_tfds.prepare import finding

            raise finding.not_prepared(function, self.data_path, self.builder_config_name)


def _features() -> tfds.features.FeaturesDict:
    return tfds.features.FeaturesDict(
        {
            'image': tfds.features.FeaturesDict(
                {
                    'content': tfds.features.Image(doc='Content of the image.'),
                    'file_name': np.str_,
                    'height': np.uint64,
                    'image_id': np.uint64,
                    'width': np.uint64,
                }
            ),
            'annotations': tfds.features.Sequence(_annotation_features()),
        }
    )


def _annotation_features() -> tfds.features.FeaturesDict:
    return tfds.features.FeaturesDict(
        {
            'area': tfds.features.Scalar(dtype=np.uint64, doc='The area in pixels of the mask.'),
            'bbox': tfds.features.BBoxFeature(doc='The box around the mask, in TFDS format.'),
            'crop_box': tfds.features.BBoxFeature(
                doc='The crop of the image used to generate the mask, in TFDS format.'
            ),
            'id': tfds.features.Scalar(dtype=np.uint64, doc='Identifier for the annotation.'),
            'point_coords': tfds.features.Tensor(
                shape=(1, 2),
                dtype=np.float64,
                doc='The point coordinates input to the model to generate the mask.',
            ),
            'predicted_iou': tfds.features.Scalar(
                dtype=np.float64, doc="The model's own prediction of the mask's quality."
            ),
            'segmentation': tfds.features.FeaturesDict(
                {
                    'counts': np.str_,
                    'size': tfds.features.Tensor(shape=(2,), dtype=np.uint64),
                },
                doc=(
                    'Encoded segmentation mask in COCO RLE format (dict with keys `size` and'
                    ' `counts`).'
                ),
            ),
            'stability_score': tfds.features.Scalar(
                dtype=np.float64, doc="A measure of the mask's quality."
            ),
        }
    )
