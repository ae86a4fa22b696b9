"""`swap simulate`, `swap size`, `swap validate`: the planner's commands."""

from __future__ import annotations

import typer

commands = typer.Typer()
