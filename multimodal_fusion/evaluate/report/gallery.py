"""The pictures of the report: the viewer that flips between layers, best and worst images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .pictures import SOURCES, Picture, SceneImages, encode, extremes, layers, lead, scenes
from .view import MetricView, View

LABELS = {'visible': 'RGB', 'thermal': 'thermal'}


@dataclass(frozen=True)
class Place:
    """One place in the viewer. shots: (number of the layer, label, data URI).

    whole: both sources are there; other scenes are opened from the card of an extreme alone.
    """

    stem: str
    reason: str
    width: int
    height: int
    shots: list[tuple[int, str, str]]
    whole: bool


@dataclass(frozen=True)
class Layer:
    """One line of the list of pictures. style: of its swatch."""

    label: str
    style: str
    muted: bool


@dataclass(frozen=True)
class Gallery:
    """All that the sections of pictures show; empty where results have no images.

    models, lead: options and first choice of the model whose extremes are listed.
    data: what report.js needs.
    """

    scenes: list[Place]
    layers: list[Layer]
    models: list[tuple[str, str]]
    lead: str
    data: dict[str, Any]

    @staticmethod
    def of(view: View, picture: Picture) -> Gallery:
        shown = scenes(view)
        if not shown:
            return Gallery([], [], [], '', {})
        names = layers(view)
        return Gallery(
            [_scene(view, scene, picture, names) for scene in shown],
            [_layer(view, name) for name in names],
            [(str(index), model.name) for index, model in enumerate(view.models)],
            str(view.models.index(lead(view))),
            _data(view, shown, names),
        )


def _scene(view: View, scene: SceneImages, picture: Picture, names: list[str]) -> Place:
    image = view.images[scene.index]
    shots = [
        (names.index(name), LABELS.get(name, name), encode(picture(image['stem'], name)))
        for name in scene.names
    ]
    whole = all(name in scene.names for name in SOURCES)
    return Place(image['stem'], scene.reason, image['width'], image['height'], shots, whole)


def _layer(view: View, name: str) -> Layer:
    if name in LABELS:
        return Layer(LABELS[name], 'source', False)
    model = next(model for model in view.models if model.name == name)
    return Layer(name, model.style, model.baseline)


def _data(view: View, shown: list[SceneImages], names: list[str]) -> dict[str, Any]:
    models = [model.name for model in view.models]
    numbers = {scene.index: number for number, scene in enumerate(shown)}
    columns = {
        (model, metric.name): view.values(model, metric.name)
        for model in models
        for metric in view.metrics
    }

    def entry(model: str, metric: MetricView, index: int) -> list:
        value = metric.show(columns[model, metric.name][index])
        return [view.images[index]['stem'], value, numbers.get(index, -1)]

    return {
        'layers': [models.index(name) if name in models else -1 for name in names],
        'layerOf': [names.index(model) for model in models],
        'metrics': [metric.name for metric in view.metrics],
        'arrows': [metric.arrow for metric in view.metrics],
        'values': [
            [
                [metric.show(columns[model, metric.name][scene.index]) for metric in view.metrics]
                for model in models
            ]
            for scene in shown
        ],
        'extremes': [
            [
                [
                    [entry(model, metric, index) for index in side]
                    for side in extremes(view, model, metric)
                ]
                for metric in view.metrics
            ]
            for model in models
        ],
    }
