"""Label Studio's own server: predictions go in by its API, are seen, corrected, exported, imported.

`.ci/tools` installs the server; where it or Chromium is absent, this skips.
"""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

import numpy as np
import pytest
import requests
import samples
import tool_cases

import segment_anything_tfds as sa1b
from segment_anything_tfds.exchange import carried

HERE = pathlib.Path(__file__).resolve().parent
USER, PASSWORD, TOKEN = 'tester@example.org', 'not-a-secret', '0' * 40
SIZE = (120, 180)
_STARTS = 400  # seconds, most of them for the tables of its database


class Server:
    """A server on the loopback interface, with its API."""

    def __init__(self, url: str):
        self.url = url

    def call(self, method, path, **options):
        response = requests.request(
            method,
            f'{self.url}/api/{path}',
            headers={'Authorization': f'Token {TOKEN}'},
            timeout=120,
            **options,
        )
        assert response.status_code < 300, f'{method} {path}: {response.text[:500]}'
        return response.json()


@contextlib.contextmanager
def _serve(files, folder):
    """A server that serves `files` as its local storage, and keeps its data in `folder`."""
    tools = os.environ.get('SEGMENT_ANYTHING_TOOLS') or HERE.parent / 'build' / 'tools'
    python = pathlib.Path(tools) / 'labelstudio' / 'bin' / 'python'
    if not python.exists():
        pytest.skip('Label Studio is not installed: see .ci/tools')
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        port = sock.getsockname()[1]
    settings = {
        'LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED': 'true',
        'LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT': str(files),
        'COLLECT_ANALYTICS': 'false',
        'LATEST_VERSION_CHECK': 'false',
        'SENTRY_DSN': '',
        'FRONTEND_SENTRY_DSN': '',
    }
    start = 'from label_studio.server import main; main()'
    account = ['--username', USER, '--password', PASSWORD, '--user-token', TOKEN]
    place = ['--port', str(port), '--internal-host', '127.0.0.1', '--data-dir', str(folder)]
    options = ['--no-browser', '--enable-legacy-api-token', '--log-level', 'ERROR']
    command = [str(python), '-c', start, 'start', *place, *account, *options]
    with open(folder / 'log.txt', 'w', encoding='utf-8') as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, **settings}, start_new_session=True
        )
    try:
        server = Server(f'http://127.0.0.1:{port}')
        _wait(server, process, folder / 'log.txt')
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(server, process, log):
    deadline = time.monotonic() + _STARTS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(requests.ConnectionError):
            if requests.get(f'{server.url}/health', timeout=30).ok:
                return
        time.sleep(0.5)
    raise AssertionError(f'Label Studio has not started: {log.read_text()[-2000:]}')


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp('source') / 'sa_000005.tar'
    masks = np.zeros([4, *SIZE], np.uint8)
    masks[0, 10:60, 10:80] = 1
    masks[0, 20:40, 30:60] = 0  # a hole
    masks[1, 70:110, 20:70] = 1
    masks[2, 5:50, 100:170] = 1
    masks[3, 70:75, 100:105] = masks[3, 90:115, 130:175] = 1  # two parts
    samples.write_archive(path, tool_cases.pair(50_001, tool_cases.encode(masks), SIZE))
    return path


def _project(server, out):
    """A project with the export's configuration, images and tasks; its id, and the task's."""
    config = (out / 'labeling_config.xml').read_text()
    project = server.call('POST', 'projects', json={'title': 'SA-1B', 'label_config': config})
    storage = {'project': project['id'], 'path': str(out / 'images'), 'use_blob_urls': True}
    server.call('POST', 'storages/localfiles', json=storage)
    tasks = json.loads((out / 'tasks.json').read_text())
    server.call('POST', f'projects/{project["id"]}/import', json=tasks)
    (task,) = server.call('GET', f'tasks?project={project["id"]}')['tasks']
    return project['id'], task['id']


def _seen(server, project, task):
    """What Chromium shows of the task: for each region its label, and how much it has painted."""
    playwright = pytest.importorskip('playwright.sync_api')
    chromium = shutil.which('chromium') or shutil.which('chromium-browser')
    if chromium is None:
        pytest.skip('Chromium is not installed')
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=['--no-sandbox'])
        tab = browser.new_page(viewport={'width': 1400, 'height': 900})
        tab.set_default_timeout(120_000)
        tab.goto(f'{server.url}/user/login')
        tab.fill('input[name=email]', USER)
        tab.fill('input[name=password]', PASSWORD)
        tab.press('input[name=password]', 'Enter')
        tab.wait_for_url(lambda url: '/user/login' not in url)
        tab.goto(f'{server.url}/projects/{project}/data?task={task}')
        tab.wait_for_function('() => window.Htx?.annotationStore?.selected?.regions?.length === 4')
        tab.wait_for_function(
            '() => window.Htx.annotationStore.selected.names.get("image").naturalWidth > 1'
        )
        tab.wait_for_function(f'() => ({_PAINTED})().every(region => region.pixels > 0)')
        found = tab.evaluate(_PAINTED)
        browser.close()
    return found


_PAINTED = """() => window.Htx.annotationStore.selected.regions.map(region => {
  const group = window.Konva.stages.flatMap(stage => stage.find('#' + region.cleanId))[0]
    || window.Konva.stages.flatMap(stage => stage.find('.' + region.cleanId))[0];
  const canvas = group ? group.toCanvas() : null;
  let pixels = 0;
  if (canvas && canvas.width && canvas.height) {
    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    for (let i = 3; i < data.length; i += 4) if (data[i]) pixels++;
  }
  return { type: region.type, labels: region.labelings ? region.labelName : '', pixels };
})"""


def _correct(server, task):
    """Deletes one mask, changes one and adds one, as a person would; by the API."""
    (prediction,) = server.call('GET', f'predictions?task={task}')
    result = prediction['result']
    assert [region['type'] for region in result] == ['brushlabels'] * 4
    kept = [result[0], result[2], result[3]]
    kept[1]['value'] = result[1]['value']  # other pixels, the same id
    new = {**result[1], 'id': 'drawnByHand'}
    del new['meta']
    server.call('POST', f'tasks/{task}/annotations', json={'result': [*kept, new]})
    return result


@pytest.mark.slow
def test_there_and_back_through_the_server(source, tmp_path):
    out = tmp_path / 'files' / 'export'
    out.parent.mkdir()
    url = '/data/local-files/?d=export/images/'
    sa1b.export(source, format='labelstudio', out=out, image_url=url, progress=None)
    (tmp_path / 'server').mkdir()
    with _serve(out.parent, tmp_path / 'server') as server:
        project, task = _project(server, out)
        seen = _seen(server, project, task)
        predicted = _correct(server, task)
        exported = server.call('GET', f'projects/{project}/export?exportType=JSON')
    (tmp_path / 'project.json').write_text(json.dumps(exported))

    before = next(iter(sa1b.records(source))).rows
    assert [region['meta']['sa_id'] for region in predicted] == [row['id'] for row in before]
    assert len(seen) == 4 and {region['type'] for region in seen} == {'brushregion'}
    painted = [region['pixels'] for region in seen]
    ratios = np.array(painted) / [row['area'] for row in before]
    assert ratios.max() / ratios.min() < 1.15, 'the page paints each mask at its size'

    counts = sa1b.import_data(
        tmp_path / 'project.json',
        format='labelstudio',
        images=out / 'images',
        out=tmp_path / 'back',
    )
    assert (counts['unchanged'], counts['changed'], counts['new']) == (2, 1, 1)
    rows = next(iter(sa1b.records(tmp_path / 'back'))).rows
    assert rows[0] == before[0] and rows[2] == before[3], 'byte for byte, with all scores'
    changed, new = rows[1], rows[3]
    assert changed['id'] == before[2]['id'] and new['id'] == carried.new_id(50_001, 0)
    for row in (changed, new):
        assert row['segmentation'] == before[1]['segmentation']
        assert row['predicted_iou'] == row['stability_score'] == carried.NO_SCORE
