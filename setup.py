"""Installs `segment_anything_tfds`: SA-1B for TensorFlow Datasets."""

import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).parent
PACKAGE = 'segment_anything_tfds'
URL = 'https://github.com/segment-anything-tfds/segment-anything-tfds'
DATA_FOLDERS = ('checksums', 'dummy_data')  # beside the package in a checkout, inside it in a wheel

EXTRAS = {
    'gcp': ['apache-beam[gcp]', 'gcsfs>=2023.12'],
    's3': ['s3fs>=2023.12'],
    'dask': ['apache-beam[dask]'],
    'training': ['keras>=3.7', 'keras-hub>=0.19', 'safetensors>=0.4.3'],
    'index': ['indexed_gzip>=1.8.7'],
    'onnx': ['tf2onnx>=1.17'],  # the first that numpy 2 was seen to work with
    'report': ['matplotlib>=3.8.2'],
    'export': ['opencv-python-headless>=4.9'],
    'docs': [
        f'{name}; python_version >= "3.11"'  # Sphinx 9 needs it
        for name in (
            'furo',
            'jupytext',
            'myst-parser',
            'sphinx>=9',
            'sphinx-copybutton',
            'sphinx-gallery',
        )
    ],
}
EXTRAS['test'] = [
    *EXTRAS['docs'],
    'dill',  # the test cases of tensorflow-datasets import it without declaring it
    *EXTRAS['s3'],
    *EXTRAS['dask'],
    *EXTRAS['training'],
    *EXTRAS['index'],
    *EXTRAS['onnx'],
    *EXTRAS['report'],
    *EXTRAS['export'],
    'apache-beam[gcp]; python_version >= "3.11"',  # pip searches very long on 3.10
    'datasets',
    'hypothesis',
    'ipykernel',
    'moto[server]',
    'mypy',
    'nbclient',
    'onnxruntime',
    'opencv-python-headless',  # connected parts of masks are compared with it
    'playwright',
    'psutil',
    'pytest',
    'pytest-xdist',
    'ruff',
    'setuptools>=77',
    'webdataset',
    'wheel',
]
# The other sides of benchmarks/; CONTRIBUTING names those that are not Python packages.
EXTRAS['bench'] = [
    *EXTRAS['dask'],
    *EXTRAS['training'],
    *EXTRAS['report'],
    'datasets',
    'jax',
    'opencv-python-headless>=4.9',
    'rlemasklib',
    'torch>=2.4',
    'webdataset',
]
# What its tutorials use; those that miss something are shown and not run.
EXTRAS['docs'] += [*EXTRAS['training'], *EXTRAS['report'], *EXTRAS['s3']]
EXTRAS['docs'] += ['grain', 'jax', 'moto[server]', 'torch']


def long_description() -> str:
    """Gives the README with links and pictures that also work away from the repository."""
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    text = re.sub(r'(!\[[^]]*\]\()(?!https?:|#)', rf'\1{URL}/raw/main/', text)
    return re.sub(r'(\]\()(?!https?:|#)', rf'\1{URL}/blob/main/', text)


setuptools.setup(
    name='segment-anything-tfds',
    version='1.0.0',
    description='SA-1B for TensorFlow Datasets: a builder, and COCO RLE masks in the input graph.',
    long_description=long_description(),
    long_description_content_type='text/markdown',
    license_expression='Apache-2.0',
    license_files=['LICENSE'],
    author='The segment_anything_tfds authors',
    url=URL,
    project_urls={
        'Source': URL,
        'Issues': f'{URL}/issues',
        'Changelog': f'{URL}/blob/main/CHANGELOG.md',
        'Data set': 'https://ai.meta.com/datasets/segment-anything/',
    },
    keywords=['segment anything', 'SA-1B', 'tensorflow datasets', 'masks', 'COCO RLE'],
    classifiers=[
        'Development Status :: 5 - Production/Stable',
        'Intended Audience :: Developers',
        'Intended Audience :: Science/Research',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3',
        *(f'Programming Language :: Python :: 3.{minor}' for minor in range(10, 14)),
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Topic :: Scientific/Engineering :: Image Recognition',
        'Typing :: Typed',
    ],
    python_requires='>=3.10',
    packages=[
        *setuptools.find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
        *(f'{PACKAGE}.{folder}' for folder in DATA_FOLDERS),
    ],
    package_dir={f'{PACKAGE}.{folder}': folder for folder in DATA_FOLDERS},
    package_data={
        '': [
            '*.md',
            '*.bib',
            '*.txt',
            '*.tsv',
            '*.html',
            '*.js',
            '*.tar',
            '*.md5',
            '*.npz',
            'py.typed',
        ]
    },
    install_requires=[
        'apache-beam>=2.69',  # the first that takes protobuf 6.31
        'defusedxml>=0.7.1',
        'etils[epath]>=1.9',
        # What tensorflow-datasets and tensorflow-metadata need there; pip searches long for it.
        'etils<1.14; python_version < "3.11"',
        'protobuf<=6.32; python_version < "3.11"',
        'protobuf>=6.31.1',  # what tensorflow-metadata 1.21 was made with
        'fsspec>=2023.12',
        'google-crc32c>=1.6',
        'importlib_resources>=5.12',  # tensorflow-datasets imports it without declaring it
        'isal>=1.6',
        'mlcroissant>=1.0',  # the `tfds` command imports it without declaring it
        'numpy>=1.26.4',
        'orjson>=3.9.10',
        'pillow>=10.1',
        'psutil>=5.9.5',
        'pyarrow>=15',
        'pycocotools>=2.0.7',  # the loop in TFDS's catalog decodes masks with it
        'requests>=2.31',
        'scipy>=1.11.4',  # distances to a mask's edge, in training.evaluate
        'tensorflow>=2.20',
        'tensorflow-datasets>=4.9.8',
        'tensorflow-metadata>=1.17.3',
        'tqdm>=4.66',
        'urllib3>=2.2',
    ],
    extras_require=EXTRAS,
    entry_points={'console_scripts': [f'sa1b = {PACKAGE}.cli.main:main']},
)
