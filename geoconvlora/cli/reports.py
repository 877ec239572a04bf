"""Printing what is known of one thing, for people or for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer


def show_report(
    title: str, report: dict[str, Any], *, as_json: bool, json_only: Sequence[str] = ()
) -> None:
    """Print the report as JSON, or as a table for people.

    Args:
        title: Stands above the table.
        report: What JSON can hold.
        as_json: Print all of it as JSON.
        json_only: Keys, at any depth, too long for the table, which says where to find them.
    """
    import json

    if as_json:
        typer.echo(json.dumps(report, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in report.items():
        if name in json_only:
            value = "printed with --json"
        table.add_row(name, Text(_in_lines(value, json_only)))
    Console().print(table)


def _in_lines(value: Any, json_only: Sequence[str]) -> str:
    """Lists of texts and what is nested twice on lines of their own, the rest behind commas."""
    if isinstance(value, dict) and value:
        parts = {key: part for key, part in value.items() if part not in (None, {}, [])}
        if not any(isinstance(part, (dict, list)) for part in parts.values()):
            return _in_line(parts)
        lines = []
        for key, part in parts.items():
            text = "printed with --json" if key in json_only else _in_lines(part, json_only)
            lines.append(f"{key}:\n{text}" if "\n" in text else f"{key}: {text}")
        return "\n".join(lines)
    if isinstance(value, list) and any(isinstance(part, (dict, list, str)) for part in value):
        return "\n".join(f"- {_in_line(part)}" for part in value)
    return _in_line(value)


def _in_line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_in_line(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(_in_line(part) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
