"""Printing what is known of one thing, for people or for programs."""

from __future__ import annotations

from typing import Any

import typer


def show_report(title: str, report: dict[str, Any], *, as_json: bool) -> None:
    """Print the report as JSON, or as a table with nested parts as indented JSON."""
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
        nested = isinstance(value, (dict, list)) and bool(value)
        shown = json.dumps(value, indent=1, ensure_ascii=False) if nested else str(value)
        table.add_row(name, Text(shown))
    Console().print(table)
