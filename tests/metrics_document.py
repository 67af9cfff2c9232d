"""docs/metrics.md, made from the table in interlock/telemetry/table.py and the text around it.

    python -m tests.metrics_document > docs/metrics.md

`tests/test_metrics.py` holds the two equal.
"""

from __future__ import annotations

import sys
from pathlib import Path

from interlock.telemetry.table import METRICS, Metric

TEXT = Path(__file__).parent / "metrics_document.md"
TABLE = "<!-- the table -->\n"


def document() -> str:
    """The whole text."""
    head = "| metric | type | labels | of | what |\n| --- | --- | --- | --- | --- |\n"
    return TEXT.read_text().replace(TABLE, head + "".join(map(_row, METRICS)))


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{name}`" for name in metric.labels)
    return f"| `{metric.exposed}` | {metric.kind} | {labels} | {metric.of} | {metric.help} |\n"


if __name__ == "__main__":
    sys.stdout.write(document())
