"""The figures of `bench` as Markdown."""

from collections.abc import Sequence

_KEY = ('model', 'runs', 'input', 'size', 'threads')
_RATIOS = {
    'times_copy': '× copy',
    'times_sgemm': '× sgemm',
    'times_luma': '× luma',
    'faster_than_onnxruntime': 'onnxruntime ÷',
    'faster_than_pytorch': 'pytorch ÷',
    'faster_than_one_thread': 'one thread ÷',
}


def table(figures: dict) -> str:
    """Times: every row, the floors of its size, input and threads first. Then how rows of the same
    rounds compare: times as long as a floor or luma, and times as fast as another row."""
    times, ratios = [], []
    for floor in figures['floors']:
        where = (floor['input'], floor['size'], floor['threads'])
        for title, name in (('plain copy', 'copy'), ('sgemm, 108 MAC/pixel', 'sgemm')):
            tenth, middle, (low, high) = (
                floor[f'{name}_{what}ms'] for what in ('fastest_tenth_', '', 'quartiles_')
            )
            times.append(('*floor*', title, *where, tenth, middle, f'{low:g}–{high:g}', *[''] * 5))
        for row in figures['rows']:
            if (row['input'], row['size'], row['threads']) == where:
                low, high = row['quartiles_ms']
                times.append(
                    (
                        row['model'], row['runs'], *where, row['fastest_tenth_ms'],
                        row['median_ms'], f'{low:g}–{high:g}', row['p95_ms'], row['p99_ms'],
                        row['fps'], row['cpu_ms'], row['peak_mb'],
                    )
                )  # fmt: skip
                shown = ('' if row[name] is None else row[name] for name in _RATIOS)
                ratios.append((row['model'], row['runs'], *where, *shown))
    what = ('fuser', 'runs on', 'input', 'size', 'threads')
    header = (
        *what, 'fastest tenth ms', 'median ms', 'quartiles', 'p95', 'p99', 'frames/s', 'CPU ms',
        'peak MB',
    )  # fmt: skip
    return f'{markdown(header, times)}\n\n{markdown((*what, *_RATIOS.values()), ratios)}'


def comparison(before: dict, after: dict) -> str:
    """Rows that both have: medians, and how many times faster ``after`` is.

    The last column divides by the sgemm floors of the two runs: a machine that was slower
    or busier during one of them drops out.
    """
    header = (*_KEY, 'before ms', 'after ms', 'times faster', 'at equal floors')
    old = {tuple(row[key] for key in _KEY): row for row in before['rows']}
    floors = [
        {(f['input'], f['size'], f['threads']): f['sgemm_ms'] for f in figures['floors']}
        for figures in (before, after)
    ]
    rows = []
    for row in after['rows']:
        key = tuple(row[name] for name in _KEY)
        if key in old:
            gain = old[key]['median_ms'] / row['median_ms']
            drift = floors[0][key[2:]] / floors[1][key[2:]]
            medians = (old[key]['median_ms'], row['median_ms'])
            rows.append((*key, *medians, f'{gain:.2f}', f'{gain / drift:.2f}'))
    return markdown(header, rows)


def markdown(header: Sequence, rows: Sequence[Sequence]) -> str:
    """A Markdown table, columns aligned."""
    lines = [
        [f'{cell:g}' if isinstance(cell, float) else str(cell) for cell in row]
        for row in (header, *rows)
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ['-' * width for width in widths])
    return '\n'.join(
        f'| {" | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True))} |' for line in lines
    )
