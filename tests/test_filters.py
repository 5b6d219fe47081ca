"""Rules on masks: scores, labels, and what is part of what."""

import json
import re

import numpy as np
import pytest
import samples
import tool_cases
from pycocotools import mask as coco_mask

import segment_anything_tfds as sa1b
from segment_anything_tfds.cli import main
from segment_anything_tfds.exchange import filters


@pytest.fixture(scope='module')
def archive(tmp_path_factory):
    """One image: a whole (0) with parts 1 and 2; 3 lies in 2; 4 is alone; 5 has no score."""
    masks = np.zeros([6, 40, 60], np.uint8)
    masks[0, 2:38, 2:40] = 1
    masks[1, 4:12, 4:12] = 1
    masks[2, 16:36, 4:34] = 1
    masks[3, 20:25, 8:15] = 1
    masks[4, 3:9, 45:58] = 1
    masks[5, 30:39, 50:59] = 1
    files = tool_cases.pair(1, tool_cases.encode(masks), (40, 60))
    content = json.loads(files['./sa_1.json'])
    for n, row in enumerate(content['annotations']):
        row['id'], row['predicted_iou'] = n, 0.9 if n else 0.95
    content['annotations'][5].update(predicted_iou=-1.0, stability_score=-1.0)
    files['./sa_1.json'] = json.dumps(content).encode()
    path = tmp_path_factory.mktemp('filters') / 'sa_000000.tar'
    samples.write_archive(path, files)
    return path


@pytest.fixture
def table(tmp_path):
    path = tmp_path / 'labels.csv'
    path.write_text('id,label,confidence\n0,house,0.5\n1,"door, red",0.9\n2,door,0.25\n9,x,1\n')
    return path


def _ids(archive, rules, **more):
    return [row['id'] for r in sa1b.records(archive, filter=rules, **more) for row in r.rows]


RULES = {
    '': [0, 1, 2, 3, 4, 5],
    'depth==0': [0, 4, 5],
    'depth>=1': [1, 2, 3],
    'depth == 2': [3],
    'children>=2': [0],
    'children==1': [2],
    'level==whole': [0, 4, 5],
    'level!=whole, children==0': [1, 3],
    "level=='subpart'": [3],
    'scored==1': [0, 1, 2, 3, 4],
    'scored==0': [5],
    'predicted_iou>=0.95': [0, 5],  # a mask of people passes
    'predicted_iou<0.95': [1, 2, 3, 4],
    'stability_score>0.999, scored==0': [5],
    'area>=100, id!=4': [0, 2],
    'depth==0, num_masks>=4': [],
}


@pytest.mark.parametrize('rules', RULES)
def test_rules(archive, rules):
    assert _ids(archive, rules) == RULES[rules]


LABELS = {
    'label==door': [2],
    'label!=door': [0, 1, 3, 4, 5],
    'label=="door, red"': [1],
    "label=='door, red', confidence>0.5": [1],
    'confidence>=0.5': [0, 1],
    'label==': [3, 4, 5],
    'label==cat': [],
}


@pytest.mark.parametrize('rules', LABELS)
def test_labels(archive, table, rules):
    assert _ids(archive, rules, labels=table) == LABELS[rules]
    names = {row: name for r in sa1b.records(archive, labels=table) for row, name in _names(r)}
    assert names == {0: 'house', 1: 'door, red', 2: 'door', 3: '', 4: '', 5: ''}


def _names(record):
    return zip([row['id'] for row in record.rows], record.labels['label'], strict=True)


@pytest.mark.parametrize(
    'rules', ['label==dog', 'depth', 'depth>whole', 'level>whole', 'level==big', 'area>=1 2', ',,']
)
def test_what_is_no_rule(rules):
    with pytest.raises(ValueError, match=r'filters.parse`: expected rules .*; got '):
        filters.parse(rules)


CATEGORIES = {
    'coco': lambda out: {
        row['name'] for row in json.loads((out / 'instances.json').read_text())['categories']
    },
    'cvat': lambda out: {row['name'] for row in json.loads((out / 'labels.json').read_text())},
    'labelme': lambda out: {
        shape['label'] for shape in json.loads((out / 'sa_1.json').read_text())['shapes']
    },
    'labelstudio': lambda out: {
        region['value']['brushlabels'][0]
        for region in json.loads((out / 'tasks.json').read_text())[0]['predictions'][0]['result']
    },
    'yolo': lambda out: {
        json.loads(line.partition(': ')[2])
        for line in (out / 'data.yaml').read_text().splitlines()
        if line.startswith('  ')
    },
}


@pytest.mark.parametrize('name', CATEGORIES)
def test_labels_are_categories(archive, table, name, tmp_path):
    out = tmp_path / 'out'
    args = ['export', str(archive), '--format', name, '--out', str(out), '--labels', str(table)]
    assert main.main(args) == 0
    assert CATEGORIES[name](out) == {'house', 'door, red', 'door', 'object'}
    if name in ('coco', 'cvat', 'labelme', 'labelstudio'):
        back = tmp_path / 'back'
        assert main.main(['import', str(out), '--format', name, '--out', str(back)]) == 0
        found = {
            number: label
            for r in sa1b.records(back, labels=back / 'labels.csv')
            for number, label in _names(r)
        }
        assert found == {0: 'house', 1: 'door, red', 2: 'door', 3: '', 4: '', 5: ''}


def test_small_regions_are_cleaned_on_the_way_out(tmp_path):
    masks = np.zeros([2, 40, 60], np.uint8)
    masks[0, 5:35, 5:35], masks[0, 10:12, 10:12], masks[0, 2, 50] = 1, 0, 1
    masks[1, 5:35, 5:35] = 1
    files = tool_cases.pair(1, tool_cases.encode(masks), (40, 60))
    samples.write_archive(tmp_path / 'sa_000000.tar', files)
    before = json.loads(files['./sa_1.json'])['annotations']
    args = ['export', str(tmp_path / 'sa_000000.tar'), '--format', 'archives', '--min_region', '9']
    assert main.main([*args, '--out', str(tmp_path / 'out')]) == 0
    (record,) = sa1b.records(tmp_path / 'out')
    cleaned, same = record.rows
    assert same == before[1]
    np.testing.assert_array_equal(coco_mask.decode(cleaned['segmentation']), masks[1])
    assert cleaned == {**before[0], 'area': 900, 'bbox': [5, 5, 29, 29]} | {
        'segmentation': cleaned['segmentation']
    }
    assert [type(side) for side in cleaned['bbox']] == [int] * 4, 'as in SA-1B'


def test_commands_filter_by_the_tree(archive, tmp_path, capsys):
    """`stats`, `export` and `preview` take the same rules."""
    rules = ['--filter', 'depth==0, children>=2']
    assert main.main(['stats', str(archive), *rules, '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found['images'], found['masks'], found['unscored_masks']) == (1, 1, 0)
    assert main.main(['stats', str(archive), '--json']) == 0
    found = json.loads(capsys.readouterr().out)
    assert found['depth']['counts'] == {'0': 3, '1': 2, '2': 1}
    assert found['children']['counts'] == {'0': 4, '1': 1, '2': 1}
    assert (found['masks'], found['unscored_masks']) == (6, 1)
    assert main.main(['stats', str(archive), '--filter', 'depths==0']) == 2
    assert '--filter: `filters.parse`: expected rules' in capsys.readouterr().err
    out = tmp_path / 'coco'
    assert main.main(['export', str(archive), '--format', 'coco', '--out', str(out), *rules]) == 0
    rows = json.loads((out / 'instances.json').read_text())['annotations']
    assert [row['sa_id'] for row in rows] == [0]
    page = tmp_path / 'page.html'
    assert main.main(['preview', str(archive), '--html', str(page), *rules]) == 0
    assert '"tree": {"parents": [-1], "depth": [0], "levels": ["whole"]}' in page.read_text()


def test_the_page_shows_labels(archive, table, tmp_path):
    page = tmp_path / 'page.html'
    args = ['preview', str(archive), '--html', str(page), '--labels', str(table)]
    assert main.main([*args, '--filter', 'id<=1']) == 0
    data = re.search(r'<script id="data"[^>]*>(.*?)</script>', page.read_text(), re.DOTALL)[1]
    rows = json.loads(data)[0]['annotations']
    assert [row['label'] for row in rows] == ['house', 'door, red']
    assert [row['confidence'] for row in rows] == pytest.approx([0.5, 0.9])
