"""Reports of benchmarks: all of one form, and the documentation's tables are made from them."""

import importlib
import json
import pathlib
import subprocess
import sys

import pytest

REPO = pathlib.Path(__file__).resolve().parent.parent
BENCHMARKS = REPO / 'benchmarks'
REPORTS = sorted((BENCHMARKS / 'results').glob('*.json'))


@pytest.fixture
def load(monkeypatch):
    """Imports a module of `benchmarks/`."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.mark.parametrize('path', REPORTS, ids=lambda path: path.stem)
def test_a_report_says_when_where_and_with_what_it_was_measured(path):
    report = json.loads(path.read_text())
    assert (BENCHMARKS / f'{path.stem}.py').exists()
    assert report['date'] and report['machine']['cores'] and report['versions']['numpy']
    times = [row for row in report['rows'] if 'wall' in row]
    assert times
    for row in times:
        assert row['unit'] in ('s', 'ms')
        assert row['cores'] == pytest.approx(row['cpu'] / row['wall'], abs=0.01, rel=0.01)


def test_pages_hold_the_tables_of_the_reports(load):
    tables = load('tables')
    for page in tables.PAGES:
        text = (REPO / page).read_text()
        assert '<!-- measured: ' in text
        assert tables.filled(text) == text, f'{page}: run `python benchmarks/tables.py --write`'


def test_a_changed_report_changes_its_page(load, monkeypatch, tmp_path):
    tables = load('tables')
    for path in REPORTS:
        report = json.loads(path.read_text())
        report['rows'] = [
            {**row, **({'wall': 123.0} if 'wall' in row else {})} for row in report['rows']
        ]
        (tmp_path / path.name).write_text(json.dumps(report))
    monkeypatch.setattr(tables, 'RESULTS', tmp_path)
    for page in tables.PAGES:
        text = (REPO / page).read_text()
        assert '123 ' in tables.filled(text) and tables.filled(text) != text


def test_time_of_commands_counts(load):
    report = load('_report')
    code = 'import time\nwhile time.process_time() < 0.2: pass'
    cost = report.seconds(lambda: subprocess.run([sys.executable, '-c', code], check=True))
    assert 0.2 <= cost.cpu <= cost.wall + 0.1
    assert report.seconds(lambda: None).cpu < 0.1


def test_report_has_versions_targets_and_a_note(load, tmp_path, capsys):
    report_lib = load('_report')
    report = report_lib.Report(['no-such-package'], note='busy', file=tmp_path / 'rows.json')
    assert 'no-such-package is not installed' in capsys.readouterr().out
    ours = report.time('ours', report_lib.Cost(2.0, 3.0))
    report.ratio('theirs / ours', report_lib.Cost(1.0, 9.0), ours, '>= 0.6')
    report.value('large', 5, '<= 5')
    report.write()
    found = json.loads((tmp_path / 'rows.json').read_text())
    assert found['versions']['no-such-package'] is None and found['note'] == 'busy'
    time, wall, cpu, large = found['rows']
    assert time == {'name': 'ours', 'unit': 's', 'wall': 2.0, 'cpu': 3.0, 'cores': 1.5}
    assert wall['value'] == 0.5 and wall['ok'] is False and not report.ok
    assert cpu['value'] == 3 and cpu['ok'] is None
    assert large['ok'] is True
