"""A few rows as one message, on PostgreSQL: the statements that write them one after the other, values as literals.

`executemany` asks the server for each table, and waits, while this process holds the lock that all others wait for: a
commit of one operation was a dozen round trips. A script is one. The server parses each row of it, so this is for few
rows; many rows are cheaper by `executemany`.

Promises: what a script writes is what `executemany` would have written, in the same order; a row that is refused ends
it, with the same refusal. There is none for a value that no literal can say: the caller goes on with `executemany`,
and hears what is wrong with it. Literals do not depend on how the server's `standard_conforming_strings` is set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

Row = Sequence[Any]

_PARAMETER = re.compile(r"\$([0-9]+)")


def script(work: Iterable[tuple[str, Sequence[Row]]]) -> str | None:
    """The message; None if there is a value that it cannot say.

    Args:
        work: statements with parameters $1, $2, …, each with the rows to run it with.
    """
    try:
        said = "; ".join([_filled(sql)(list(map(literal, row))) for sql, rows in work for row in rows])
        said.encode()  # a lone surrogate is no text
        return said
    except ValueError:
        return None


def literal(value: object) -> str:
    """A value as SQL.

    Raises:
        ValueError: there is no such literal.
    """
    if value is None:
        return "NULL"
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("PostgreSQL's text holds no NUL")
        quoted = value.replace("'", "''")
        return f"'{quoted}'" if "\\" not in value else "E'" + quoted.replace("\\", "\\\\") + "'"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"'{value!r}'"  # quoted, so that a sign binds before the cast that follows
    raise ValueError(f"no literal for {value!r}")


@lru_cache(maxsize=256)
def _filled(sql: str) -> Callable[[list[str]], str]:
    """What puts literals in the place of a statement's parameters."""
    first, *rest = _PARAMETER.split(sql)
    numbers, texts = [int(number) - 1 for number in rest[::2]], rest[1::2]

    def fill(literals: list[str]) -> str:
        return first + "".join([literals[at] + text for at, text in zip(numbers, texts, strict=True)])

    return fill
