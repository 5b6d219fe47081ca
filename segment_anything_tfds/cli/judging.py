"""`sa1b evaluate` from Python."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
from typing import Any

from segment_anything_tfds.actions import choosing


def evaluate(
    paths: choosing.Paths,
    *,
    model: choosing.Path | None = None,
    results: choosing.Path | None = None,
    against: choosing.Path | None = None,
    archives: str | None = None,
    filter: str | None = None,
    limit: int | None = None,
    on_error: str = 'fail',
    **options: Any,
) -> dict[str, Any]:
    """Judges a Keras model, predicted masks, or other annotations, against those of some data.

    Args:
      paths: what holds the truth; for a model, the folder of a prepared dataset.
      model: a saved Keras model.
      results: masks as COCO results JSON.
      against: other annotations of the same images.
      archives: numbers of the archives that are wanted, such as `'20-29,130'`; all by default.
      filter: rules for the truth joined by commas, such as `'area>=1000'`.
      limit: how many images to judge at most.
      on_error: `'fail'` stops at the first record that breaks a rule, `'skip'` leaves it out.
      **options: the other options of `sa1b evaluate`, such as `split='train[10shard:]'` and
        `clicks='1,3,5'`.

    Returns:
      What `sa1b evaluate --json` prints.

    Raises:
      FileNotFoundError: a path does not exist.
      TypeError: there is no such option.
      ValueError: an argument is malformed, or not one of the three is given.
    """
    from segment_anything_tfds.cli import evaluate as command

    judged = {'model': model, 'results': results, 'against': against}
    given = {name: os.fspath(value) for name, value in judged.items() if value is not None}
    if len(given) != 1 and not options.keys() & {'proposals'}:
        raise choosing.ArgumentError(
            f'`evaluate`: expected one of {", ".join(judged)}; got {", ".join(given) or "none"}.'
        )
    parser = argparse.ArgumentParser(exit_on_error=False)
    command.add_arguments(parser)
    known = {action.dest for action in parser._actions}
    if unknown := options.keys() - known:
        raise TypeError(f'`evaluate`: expected options of `sa1b evaluate`; got {sorted(unknown)}')
    options |= given | {
        'archives': archives,
        'filter': filter,
        'limit': limit,
        'on_error': on_error,
    }
    words = [os.fspath(path) for path in choosing.listed(paths)]
    words += [f'--{name}={value}' for name, value in options.items() if value is not None]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        command.run(parser.parse_args([*words, '--json']))
    return json.loads(printed.getvalue())
