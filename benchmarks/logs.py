"""How fast CloudStack's logs are read: `python -m benchmarks.logs`.

Writes a log of which one record in a hundred is about a state, reads it whole (every line counted, every transition
checked), and beside it only splits the same file into lines, which is the floor. Prints the rates, their ratio and the
most memory that Python held at once, for a part of the log and for all of it: it must not grow.
"""

from __future__ import annotations

import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.command import Measured, Wrong, begin, ended, parser
from benchmarks.result import figure
from interlock.replay.foreign.checking import Checker
from interlock.replay.foreign.overview import Overview
from interlock.replay.foreign.reading import Tally, merged

MB = 1_000_000
HEAD = (
    "2023-07-05 {:02}:{:02}:{:02},{:03} {:<5} [{}] (Work-Job-Executor-{}:ctx-5e6f7a8b job-990/job-{}) (logid:9f8e7d6c) "
)
NOISE = (
    (
        "DEBUG",
        "c.c.a.t.Request",
        'Seq 1-{}: Sending  {{ Cmd , MgmtId: 77, via: 1(kvm1), Flags: 100011, [{{"x":"y"}}] }}',
    ),
    ("DEBUG", "o.a.c.f.j.i.AsyncJobMonitor", "Remove job-{} from job monitoring"),
    ("TRACE", "c.c.v.VirtualMachinePowerStateSyncImpl", "VM power state does not change, skip DB writing. vm id: {}"),
    (
        "WARN",
        "c.c.h.d.HostDaoImpl",
        "What host {} said is no answer\n\tat com.cloud.X.y(X.java:1)\n\tat com.cloud.Z.a(Z.java:2)",
    ),
)
VM = (
    'VM instance {{"id":{0},"instanceName":"i-2-{0}-VM","type":"User"}} state transited from [{1}] to [{2}] with event '
    '[{3}]. VM\'s original host: null, new host: Host {{"id":1,"name":"kvm1","type":"Routing"}}, host before state '
    "transition: null"
)
ROUND = (
    ("Stopped", "Starting", "StartRequested"),
    ("Starting", "Running", "OperationSucceeded"),
    ("Running", "Stopping", "StopRequested"),
    ("Stopping", "Stopped", "OperationSucceeded"),
)


def write(path: Path, lines: int, vms: int = 500, every: int = 100) -> None:
    """A log of about so many lines, a transition in `every` records."""
    written = number = 0
    with path.open("w") as file:
        while written < lines:
            moved, at = divmod(number, every)
            level, logger, words = NOISE[number % len(NOISE)]
            if at == 0:
                level, logger = "DEBUG", "c.c.c.CapacityManagerImpl"
                words = VM.format(moved % vms + 1, *ROUND[moved // vms % len(ROUND)])
            second = number // 50
            when = (second // 3600 % 24, second // 60 % 60, second % 60, number % 50 * 20)
            text = HEAD.format(*when, level, logger, number % 90, number) + (words if at == 0 else words.format(number))
            file.write(text + "\n")
            written += text.count("\n") + 1
            number += 1


def read(path: Path) -> tuple[Tally, Overview]:
    """All of `interlock logs` but for the printing."""
    tally = Tally()
    return tally, Overview().add_all(Checker().check_all(merged([str(path)], tally)))


def split(path: Path) -> int:
    """The floor: the lines alone."""
    with path.open("rb") as file:
        return sum(1 for _ in file)


def seconds(work: Callable[[Path], object], path: Path) -> float:
    """How long it took of the processor: others may use it, too."""
    begun = time.process_time()
    work(path)
    return time.process_time() - begun


def most_memory(path: Path) -> int:
    """Bytes that Python held at most while reading."""
    tracemalloc.start()
    try:
        read(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    begun = begin("logs", arguments)
    asked = parser("logs", __doc__)
    asked.add_argument("--lines", type=int, default=1_000_000, help="of the log (1000000)")
    asked.add_argument("--rounds", type=int, default=3, help="how often; medians are shown (3)")
    options = asked.parse_args(begun.arguments)
    if options.lines < 10 or options.rounds < 1:
        asked.error("--lines is at least 10, --rounds at least 1")
    return ended(begun, options, lambda: _measured(options.lines, options.rounds, options.folder))


def _measured(lines: int, rounds: int, place: Path) -> Measured:
    with tempfile.TemporaryDirectory(dir=place) as folder:
        whole, part = Path(folder) / "whole.log", Path(folder) / "part.log"
        write(whole, lines)
        write(part, lines // 10)
        tally, overview = read(whole)
        if overview.findings or tally.lines != tally.understood + tally.unknown + tally.continuation:
            raise Wrong("what was read is not what was written")
        pairs = [(seconds(read, whole), seconds(split, whole)) for _ in range(rounds)]
        memory, tenth = most_memory(whole) / MB, most_memory(part) / MB
        size = whole.stat().st_size / MB
    return Measured(
        figures=[
            figure("lines read", "1/CPU s", [tally.lines / took for took, _ in pairs]),
            figure("MB read", "1/CPU s", [size / took for took, _ in pairs]),
            figure(
                "processor time of a line",
                "µs",
                [took / tally.lines * 1e6 for took, _ in pairs],
                {"split into lines alone": [floor / tally.lines * 1e6 for _, floor in pairs]},
            ),
            figure("memory at most", "MB", [memory], {"a log of a tenth": [tenth]}),
        ],
        settings={"lines": tally.lines, "MB": round(size), "lines understood": tally.understood},
    )


if __name__ == "__main__":
    sys.exit(main())
