"""The page: its sections put together into one HTML file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from .charts.boxes import box_plots
from .charts.scatter import scatter_plots
from .charts.timeline import curve_values, metric_plots, pairing_plot
from .gallery import Gallery
from .pictures import encode
from .summary import summary_rows
from .view import View, finite, number, plural


def write_report(
    path: Path,
    results: dict,
    timing: dict,
    picture: Callable[[str, str], np.ndarray],
    found: Sequence[tuple[str, np.ndarray]] = (),
    segmented: Sequence[tuple[str, np.ndarray]] = (),
) -> None:
    """Write the report: one HTML file that needs nothing else, the same bytes for the same input.

    picture: (stem, name) -> uint8, (H, W, 3) BGR or (H, W); name is 'visible', 'thermal' or a
    model's.  It is called once for each of at most 60 pictures, those of one stem in a row.
    found: captions and pictures of what a detector finds in the fused image only. segmented: of
    masks.
    """
    view = View(results, timing)
    gallery = Gallery.of(view, picture)
    curves = curve_values(view) if view.sequence and view.images else None
    html = render(
        view,
        _sections(view, bool(gallery.scenes)),
        gallery=gallery,
        found=[(caption, encode(image)) for caption, image in found],
        segmented=[(caption, encode(image)) for caption, image in segmented],
        data={'pictures': gallery.data, 'curves': curves},
    )
    Path(path).write_text(html, encoding='utf-8')


def render(view: View, sections: Sequence[tuple[str, str, bool]], **more: Any) -> str:
    """The page. sections: id, title and whether there is anything in it; each has a template of its
    id."""
    return (
        environment()
        .get_template('page.html')
        .render(
            view=view,
            results=view.results,
            sections=[(id_, title) for id_, title, wanted in sections if wanted],
            summary_rows=summary_rows(view),
            box_plots=box_plots,
            scatter_plots=scatter_plots,
            pairing_plot=pairing_plot,
            metric_plots=metric_plots,
            **more,
        )
    )


def environment() -> jinja2.Environment:
    """Every name that results hold is escaped; only our own charts are markup."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {'plural': plural, 'number': number, 'fixed': _fixed}
    environment.policies['json.dumps_kwargs'] = {'separators': (',', ':'), 'allow_nan': False}
    return environment


def _fixed(value: float | None, decimals: int) -> str:
    """A number with so many decimals; a dash where there is none."""
    value = finite(value)
    return '–' if value is None else f'{value:.{decimals}f}'


def _sections(view: View, pictures: bool) -> list[tuple[str, str, bool]]:
    metrics = bool(view.metrics)
    return [
        ('summary', 'Summary', True),
        ('distributions', 'Distributions', metrics),
        ('cost', 'Cost and quality', metrics),
        ('detection', 'Detection', bool(view.results.get('detection'))),
        ('segmentation', 'Segmentation', bool(view.results.get('segmentation'))),
        ('time-line', 'Time line', bool(view.sequence)),
        ('pictures', 'Pictures', pictures),
        ('extremes', 'Best and worst', pictures and metrics),
        ('definitions', 'Definitions', True),
        ('origin', 'Origin', True),
    ]
