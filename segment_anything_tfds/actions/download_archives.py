"""Archives from their links into a folder; what is there stays."""

from __future__ import annotations

from segment_anything_tfds.actions import choosing, fleet, job, licence, link_report, places
from segment_anything_tfds.source import checksums, meter


def download(
    file: choosing.Path,
    *,
    to: choosing.Path = '.',
    archives: choosing.Archives = None,
    jobs: int = 4,
    limit_rate: int | None = None,
    digests: choosing.Path | None = None,
    extract: str | None = None,
    delete_archives: bool = False,
    accept_license: bool = False,
    progress: meter.Show = True,
) -> list[fleet.Outcome]:
    """Downloads archives: in parallel, going on where an earlier run or connection stopped.

    Call it again and it does what is missing: archives are known by their names, so a renewed links
    file goes on where the old one stopped. An archive has its name only when it is whole.

    Args:
      file: the links file, or the folder that has it.
      to: the folder where archives go.
      archives: numbers of the archives that are wanted, such as `'20-29,130'`; all by default.
      jobs: archives at a time.
      limit_rate: bytes a second, of all jobs together.
      digests: a file of MD5 digests to check against, as `md5sum` writes them.
      extract: also extract into `images/` and `annotations/`: `'together'`, of all archives, which
        `verify` and other tools read but no build does; or `'apart'`, of each archive in a folder
        of its own, which builds read too.
      delete_archives: delete an archive once all of it is extracted; one with faults stays.
      accept_license: say that you accept the SA-1B Dataset Research License; once for a folder.
      progress: whether and how to show progress: `True`, nothing, or a function that is called
        with a `Progress` in bytes.

    Returns:
      What became of each archive: `status` is `'downloaded'`, `'present'`, `'failed'` or
      `'stopped'`, and `message` says why.

    Raises:
      FileNotFoundError: there is no links file.
      ValueError: an argument is malformed; the licence was not accepted; links have expired.
      OSError: there is no room on the disk, or no server can be reached.
    """
    plan = job.Plan(
        places.local_folder('to', to),
        _positive('jobs', jobs),
        limit_rate,
        extract and choosing.one_of('extract', extract, ('together', 'apart')),
        delete_archives,
        progress,
    )
    if delete_archives and not extract:
        raise choosing.ArgumentError('--delete_archives: expected --extract beside it; got none')
    found = link_report.read(file)
    chosen = choosing.among(archives, found.archives, found.path)
    known = checksums.load([digests] if digests else [])
    plan.to.mkdir(parents=True, exist_ok=True)
    if not licence.is_accepted(plan.to):
        if not accept_license:
            raise choosing.ArgumentError(
                f'expected the licence to be accepted; got accept_license=False.\n{licence.NOTICE}'
                'Read it, then pass accept_license=True.'
            )
        licence.accept(plan.to)
    return job.Job(plan, known).run(found, chosen)


def _positive(name: str, value: int) -> int:
    if value < 1:
        raise choosing.ArgumentError(f'--{name}: expected a whole number, 1 or more; got {value}')
    return value
