"""The HTML page, opened in a real browser from a file, without a network."""

import json
import re
import shutil

import numpy as np
import pytest
from pycocotools import mask as mask_utils

from segment_anything_tfds.report import page


@pytest.fixture(scope='module')
def browser():
    playwright = pytest.importorskip('playwright.sync_api')
    path = shutil.which('chromium') or shutil.which('chromium-browser')
    if path is None:
        pytest.skip('Chromium is not installed')
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=['--no-sandbox'])
        yield browser
        browser.close()


def _annotation(mask, identity, **fields):
    rle = mask_utils.encode(np.asfortranarray(mask))
    rows, columns = np.nonzero(mask)
    x, y = (int(columns.min()), int(rows.min())) if len(rows) else (0, 0)
    box = [x, y, int(np.ptp(columns)), int(np.ptp(rows))] if len(rows) else [0, 0, 0, 0]
    return {
        'id': identity,
        'area': len(rows),
        'bbox': [float(edge) for edge in box],
        'segmentation': {'size': list(mask.shape), 'counts': rle['counts'].decode()},
        'predicted_iou': 0.9,
        'stability_score': 0.95,
        'point_coords': [[float(x), float(y)]],
        'crop_box': [0.0, 0.0, float(mask.shape[1]), float(mask.shape[0])],
        **fields,
    }


def _sample(masks, name='sa_1.jpg', **fields):
    image = np.full([*masks.shape[1:], 3], 90, np.uint8)
    return page.Sample(
        name, image, [_annotation(mask, 100 + i, **fields) for i, mask in enumerate(masks)]
    )


def _open(browser, tmp_path, samples):
    path = tmp_path / 'page.html'
    path.write_text(page.render(samples), encoding='utf-8')
    errors = []
    tab = browser.new_page(viewport={'width': 1000, 'height': 700})
    tab.on('pageerror', lambda error: errors.append(str(error)))
    tab.on(
        'request', lambda request: errors.append(request.url) if request.url[:4] == 'http' else 0
    )
    tab.goto(path.as_uri())
    return tab, errors


_READ_MASKS = """() => state.masks.map(m => ({id: m.fields.id, x: m.x, y: m.y, w: m.w, h: m.h,
    pixels: m.pixels, bits: m.bits.join('')}))"""


def _drawn_masks(tab):
    height, width = tab.evaluate('[$("bottom").height, $("bottom").width]')
    masks = {}
    for found in tab.evaluate(_READ_MASKS):
        mask = np.zeros([height, width], np.uint8)
        bits = (np.frombuffer(found['bits'].encode(), np.uint8) - 48).reshape(
            found['h'], found['w']
        )
        if bits.size:
            mask[found['y'] :, found['x'] :][: found['h'], : found['w']] = bits
        masks[found['id'] - 100] = (mask, found['pixels'])
    return [masks[i] for i in sorted(masks)]


@pytest.mark.parametrize('size', [(37, 53), (1, 20), (20, 1), (1600, 900)])
def test_page_decodes_the_masks(browser, tmp_path, size):
    rng = np.random.default_rng(0)
    coarse = rng.random([6, 1 + size[0] // 9, 1 + size[1] // 9]) < 0.4
    masks = coarse.repeat(9, 1).repeat(9, 2)[:, : size[0], : size[1]].astype(np.uint8)
    masks[0], masks[1] = 0, 1
    masks[2] = rng.random(size) < 0.5
    tab, errors = _open(browser, tmp_path, [_sample(masks)])
    drawn = _drawn_masks(tab)
    scale = min(1, 1280 / max(size))
    rows, columns = (
        ((np.arange(round(edge * scale)) + 0.5) * edge / round(edge * scale)).astype(int)
        for edge in size
    )
    assert len(drawn) == len(masks)
    for (found, pixels), mask in zip(drawn, masks, strict=True):
        np.testing.assert_array_equal(found, mask[rows][:, columns])
        assert pixels == mask.sum()
    assert not errors


@pytest.fixture
def two_squares(browser, tmp_path):
    masks = np.zeros([2, 100, 200], np.uint8)
    masks[0, 10:90, 10:90] = 1
    masks[1, 30:50, 30:50] = 1
    first = _sample(masks, 'first <script>alert(1)</script>.jpg')
    first.annotations[1].update(predicted_iou=0.99, stability_score=0.97)
    tab, errors = _open(browser, tmp_path, [first, _sample(masks[:1], 'second.jpg')])
    yield tab
    assert not errors
    tab.close()


def _hover(tab, x, y, shown):
    """Moves to a pixel, and waits until the page shows the mask of this id; '' for none."""
    box = tab.locator('#top').bounding_box()
    scale = box['width'] / 200
    tab.mouse.move(box['x'] + x * scale, box['y'] + y * scale)
    tab.wait_for_function('id => $("stage").dataset.mask === id', arg=shown)


def _field(tab, name):
    text = tab.locator('#fields').inner_text().split('\n')
    return dict(zip(text[::2], text[1::2], strict=True)).get(name)


def test_hover_shows_the_smallest_mask_and_its_fields(two_squares):
    tab = two_squares
    _hover(tab, 70, 70, '100')
    assert _field(tab, 'id') == '100' and _field(tab, 'area') == '6400'
    _hover(tab, 150, 50, '')
    assert tab.locator('#none').is_visible()
    _hover(tab, 40, 40, '101')
    assert _field(tab, 'id') == '101' and _field(tab, 'predicted_iou') == '0.99'
    assert _field(tab, 'share of image') == '2.00 %'
    alpha = tab.evaluate('[...$("top").getContext("2d").getImageData(150, 50, 1, 1).data]')
    assert alpha[3] == 110, 'the rest of the image is dimmed'


@pytest.fixture
def family(browser, tmp_path):
    """A whole (100) with two parts (101, 102), one of which has a part (103); and 104, apart."""
    masks = np.zeros([5, 100, 200], np.uint8)
    masks[0, 10:90, 10:90] = 1
    masks[1, 20:60, 20:60] = 1
    masks[2, 65:85, 20:60] = 1
    masks[3, 30:50, 30:50] = 1
    masks[4, 10:90, 120:190] = 1
    tab, errors = _open(browser, tmp_path, [_sample(masks), _sample(masks[:1], 'second.jpg')])
    yield tab
    assert not errors
    tab.close()


def _at(tab, x, y):
    code = f'[...$("top").getContext("2d").getImageData({x}, {y}, 1, 1).data]'
    return tab.evaluate(code)


def test_parent_and_children_are_lit(family):
    _hover(family, 25, 40, '101')
    related = family.evaluate('[$("stage").dataset.parent, $("stage").dataset.children]')
    assert related == ['100', '103']
    assert _field(family, 'level') == 'part, depth 1' and _field(family, 'parent') == '100'
    assert _field(family, 'children') == '103'
    alone, parent, outside = _at(family, 25, 40), _at(family, 80, 80), _at(family, 150, 50)
    assert outside == [0, 0, 0, 110] and parent == [0, 0, 0, 55], 'the parent is less dark'
    colors = {mask['id']: mask['color'] for mask in family.evaluate(_READ_COLORS)}
    child = _at(family, 40, 40)
    assert child[3] > alone[3] > 0, 'the child is filled over the mask'
    assert max(abs(a - b) for a, b in zip(alone[:3], colors[101], strict=True)) <= 4
    edge = _at(family, 10, 50)  # the outline of the parent
    assert edge[3] == 255
    light = [min(255, part + 50) for part in colors[100]]
    assert max(abs(a - b) for a, b in zip(edge[:3], light, strict=True)) <= 4


_READ_COLORS = '() => state.masks.map(m => ({id: m.fields.id, color: m.color}))'


def test_keys_lead_through_the_tree(family):
    _hover(family, 40, 40, '103')
    assert _field(family, 'level') == 'subpart, depth 2'
    for key, shown in (('ArrowUp', '101'), ('ArrowUp', '100'), ('ArrowUp', '100')):
        family.keyboard.press(key)
        assert _field(family, 'id') == shown
    assert _field(family, 'parent') == 'none' and _field(family, 'children') == '101, 102'
    family.keyboard.press('ArrowDown')
    assert _field(family, 'id') == '101'


def test_level_slider(family):
    count, level = family.locator('#count'), family.locator('#level')
    output = family.locator('label:has(#level) output')
    assert count.inner_text() == '5 of 5 masks' and output.inner_text() == 'all'
    assert level.get_attribute('max') == '2'
    for value, text, shown in (('0', '0: wholes', 2), ('1', '1: parts', 2)):
        level.fill(value)
        assert (output.inner_text(), count.inner_text()) == (text, f'{shown} of 5 masks')
    _hover(family, 40, 40, '101')  # its part is of another level, but lit
    assert family.evaluate('$("stage").dataset.children') == '103'
    level.fill('2')
    assert count.inner_text() == '1 of 5 masks' and output.inner_text() == '2: parts of parts'
    family.locator('#next').click()  # an image without such a level shows its deepest
    assert count.inner_text() == '1 of 1 masks' and output.inner_text() == '0: wholes'


def test_masks_without_scores_pass_the_sliders(browser, tmp_path):
    masks = np.zeros([2, 100, 200], np.uint8)
    masks[0, 10:90, 10:90] = masks[1, 10:90, 110:190] = 1
    sample = _sample(masks)
    sample.annotations[1].update(predicted_iou=-1.0, stability_score=-1.0)
    tab, errors = _open(browser, tmp_path, [sample])
    tab.locator('#predicted_iou').fill('1')
    assert tab.locator('#count').inner_text() == '1 of 2 masks'
    _hover(tab, 150, 50, '101')
    assert _field(tab, 'predicted_iou') == 'none: made by people' and not errors


def test_filters(two_squares):
    tab = two_squares
    count = tab.locator('#count')
    assert count.inner_text() == '2 of 2 masks'
    tab.locator('#predicted_iou').fill('0.95')
    assert count.inner_text() == '1 of 2 masks'
    _hover(tab, 40, 40, '101')
    _hover(tab, 70, 70, '')
    assert tab.locator('#none').is_visible(), 'a hidden mask is not found'
    tab.locator('#predicted_iou').fill('0.9')
    tab.locator('#stability_score').fill('0.96')
    assert count.inner_text() == '1 of 2 masks'
    tab.locator('#stability_score').fill('0.95')
    tab.locator('#area_max').fill('0.7')
    _hover(tab, 40, 40, '101')
    assert count.inner_text() == '1 of 2 masks' and _field(tab, 'id') == '101'
    tab.locator('#area_min').fill('0.7')
    assert count.inner_text() == '0 of 2 masks'


def test_keyboard(two_squares):
    tab = two_squares
    assert tab.locator('#name').inner_text() == 'first <script>alert(1)</script>.jpg'
    tab.keyboard.press(']')
    assert _field(tab, 'id') == '101'
    tab.keyboard.press(']')
    assert _field(tab, 'id') == '100'
    tab.keyboard.press('Escape')
    assert tab.locator('#fields').inner_text() == ''
    tab.keyboard.press('ArrowRight')
    tab.wait_for_function('location.hash === "#2"')
    assert tab.locator('#name').inner_text() == 'second.jpg'
    tab.keyboard.press('ArrowRight')
    tab.wait_for_function('location.hash === "#1"')
    pixel = '[...$("bottom").getContext("2d").getImageData(70, 70, 1, 1).data]'
    assert tab.evaluate(pixel)[3] > 0
    tab.keyboard.press('m')
    assert tab.evaluate(pixel)[3] == 0


def test_narrow_window_has_no_scrollbar_to_the_side(browser, tmp_path):
    masks = np.ones([2, 300, 600], np.uint8)
    samples = [_sample(masks, f'sa_{"7" * 30}{n}.jpg') for n in range(12)]
    tab, errors = _open(browser, tmp_path, samples)
    tab.set_viewport_size({'width': 400, 'height': 700})
    assert tab.evaluate('document.documentElement.scrollWidth') == 400
    image = tab.locator('#stage').bounding_box()
    assert image['width'] > 300 and image['x'] >= 0 and image['x'] + image['width'] <= 400
    aside = tab.locator('aside').bounding_box()
    assert aside['y'] >= image['y'] + image['height'] and not errors


def test_page_is_complete_in_itself_and_its_data_stays_inside_its_script():
    masks = np.ones([1, 4, 4], np.uint8)
    text = page.render([_sample(masks, '</script><script>alert(1)</script>')])
    assert not re.search(r'(?:src|href)="?https?:|@import|url\(', text)
    data = re.search(r'<script id="data"[^>]*>(.*?)</script>', text, re.S)[1]
    assert json.loads(data)[0]['name'] == '</script><script>alert(1)</script>'
    assert text.count('</script>') == 2


def test_no_samples():
    with pytest.raises(ValueError, match=r'page.render`: expected `samples` .*; got none'):
        page.render([])
