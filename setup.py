"""Installs `segment_anything_tfds`: SA-1B for TensorFlow Datasets."""

import pathlib

import setuptools

ROOT = pathlib.Path(__file__).parent
PACKAGE = 'segment_anything_tfds'
DATA_FOLDERS = ('checksums', 'dummy_data')  # beside the package in a checkout, inside it in a wheel

EXTRAS = {
    'gcp': ['apache-beam[gcp]', 'gcsfs'],
    's3': ['s3fs'],
    'dask': ['apache-beam[dask]'],
    'training': ['keras>=3.7', 'keras-hub', 'safetensors'],
    'index': ['indexed_gzip'],
    'report': ['matplotlib'],
    'export': ['opencv-python-headless'],
    'docs': ['furo', 'myst-parser', 'sphinx>=9', 'sphinx-copybutton', 'sphinx-gallery'],
}
EXTRAS['docs'] += [*EXTRAS['training'], *EXTRAS['report']]  # what its tutorials use
EXTRAS['test'] = [
    'dill',  # the test cases of tensorflow-datasets import it without declaring it
    *EXTRAS['s3'],
    *EXTRAS['dask'],
    *EXTRAS['training'],
    *EXTRAS['index'],
    *EXTRAS['report'],
    *EXTRAS['export'],
    'apache-beam[gcp]; python_version >= "3.11"',  # pip searches very long on 3.10
    'datasets',
    'hypothesis',
    'ipykernel',
    'moto[server]',
    'mypy',
    'nbclient',
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

setuptools.setup(
    name='segment-anything-tfds',
    version='1.0.0',
    description='SA-1B for TensorFlow Datasets: a builder, and COCO RLE masks in the input graph.',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    classifiers=[
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
    python_requires='>=3.10',
    packages=[
        *setuptools.find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
        *(f'{PACKAGE}.{folder}' for folder in DATA_FOLDERS),
    ],
    package_dir={f'{PACKAGE}.{folder}': folder for folder in DATA_FOLDERS},
    package_data={'': ['*.md', '*.bib', '*.txt', '*.tsv', '*.html', '*.tar', '*.md5', 'py.typed']},
    install_requires=[
        'apache-beam>=2.69',  # the first that takes protobuf 6.31
        'defusedxml',
        'etils[epath]>=1.9',
        # What tensorflow-datasets and tensorflow-metadata need there; pip searches long for it.
        'etils<1.14; python_version < "3.11"',
        'protobuf<=6.32; python_version < "3.11"',
        'protobuf>=6.31.1',  # what tensorflow-metadata 1.21 was made with
        'filelock>=3.13',
        'fsspec',
        'google-crc32c',
        'importlib_resources',  # tensorflow-datasets imports it without declaring it
        'isal>=1.6',
        'mlcroissant>=1.0',  # the `tfds` command imports it without declaring it
        'numpy>=1.26.4',
        'orjson',
        'pillow',
        'psutil>=5.9.5',
        'pyarrow',
        'pycocotools',
        'requests',
        'scipy',  # distances to a mask's edge, in training.evaluate
        'tensorflow>=2.20',
        'tensorflow-datasets>=4.9.8',
        'tensorflow-metadata>=1.17.3',
        'tqdm',
        'urllib3>=2.2',
    ],
    extras_require=EXTRAS,
    entry_points={'console_scripts': [f'sa1b = {PACKAGE}.cli.main:main']},
)
