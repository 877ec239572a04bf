"""``geoconvlora info``: what a scene or a model file says of itself."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from geoconvlora.cli.messages import warnings_as_lines
from geoconvlora.cli.options import Json
from geoconvlora.cli.reports import show_report


def info(
    file: Annotated[
        str,
        typer.Argument(help="A scene, a model file, base weights, or a bundled name."),
    ],
    as_json: Json = False,
) -> None:
    """Say what a scene, a model file or base weights of ours say of themselves."""
    with warnings_as_lines():
        report = _report(file)
    show_report(file, report, as_json=as_json, json_only=("config",))


def _report(file: str) -> dict[str, Any]:
    from geoconvlora.weights.report import describe_weights, is_weights

    if is_weights(file):
        return describe_weights(file)
    from geoconvlora.scenes.report import describe_scene

    return describe_scene(file).model_dump(mode="json")
