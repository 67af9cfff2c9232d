"""The table in docs/metrics.md, made from the one in interlock/telemetry/table.py.

    python -m tests.metrics_document      # writes it into the document

`tests/test_metrics.py` holds the two equal.
"""

from __future__ import annotations

from pathlib import Path

from interlock.telemetry.table import METRICS, Metric

DOCUMENT = Path(__file__).parents[1] / "docs" / "metrics.md"
HEAD = "| metric | type | labels | of | what |\n| --- | --- | --- | --- | --- |\n"


def document(text: str) -> str:
    """The document with the table as it should be."""
    before, _, rest = text.partition(HEAD)
    _, gap, after = rest.partition("\n\n")
    return before + HEAD + "".join(map(_row, METRICS)).removesuffix("\n") + gap + after


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{name}`" for name in metric.labels)
    return f"| `{metric.exposed}` | {metric.kind} | {labels} | {metric.of} | {metric.help} |\n"


if __name__ == "__main__":
    DOCUMENT.write_text(document(DOCUMENT.read_text()))
