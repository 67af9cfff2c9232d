"""One scenario for each thing an operation can be: what is there before, and what is asked. Plain data.

Each is played on the ground of `ground.py`, whose names it uses. Numbers are given in order: what the n-th request
makes is called n-0 (operation), n-1 (VM, or a disk of its own), n-2 … (NICs, then disks).
"""

from __future__ import annotations

from typing import Any, NamedTuple

Request = tuple[str, dict[str, Any]]


class Scenario(NamedTuple):
    """What is asked once, after what is there has been made."""

    name: str
    before: tuple[Request, ...]
    asked: Request


VM = "1-1"
_IN_A = {"zone": "a", "account": "ann", "offering": "small", "template": "t"}
BARE: Request = ("deploy", _IN_A)
"""One NIC and a root disk."""
RICH: Request = ("deploy", {**_IN_A, "nics": [{"network": "net"}, {"network": "back"}], "data_disks_mib": [1024]})
"""Two NICs, a root and a data disk: NICs 1-2 and 1-3, disks 1-4 and 1-5."""
IDLE: Request = ("deploy", {**_IN_A, "start": False})
IN_POD: Request = ("deploy", {**_IN_A, "zone": "b"})
"""Its address comes with the pod of its host."""
STOP: Request = ("stop", {"vm": VM})
DESTROY: Request = ("destroy", {"vm": VM})
SPARE: Request = ("create-disk", {"name": "spare", "offering": "any", "size_mib": 1024, "zone": "a", "account": "ann"})
DETACH: Request = ("detach-disk", {"volume": "1-5"})


def _of(kind: str, **fields: Any) -> Request:
    return kind, {"vm": VM, **fields}


SCENARIOS = (
    Scenario("deploy", (), RICH),
    Scenario("deploy, not started", (), IDLE),
    Scenario("deploy, address of a pod", (), IN_POD),
    Scenario("start, first", (IDLE,), _of("start")),
    Scenario("start, again", (RICH, STOP), _of("start")),
    Scenario("start, address of a pod", (IN_POD, STOP), _of("start")),
    Scenario("stop", (RICH,), STOP),
    Scenario("stop, forced", (BARE,), _of("stop", forced=True)),
    Scenario("reboot", (BARE,), _of("reboot")),
    Scenario("destroy, running", (RICH,), DESTROY),
    Scenario("destroy, stopped", (BARE, STOP), DESTROY),
    Scenario("recover", (BARE, DESTROY), _of("recover")),
    Scenario("expunge, destroyed", (RICH, DESTROY), _of("expunge")),
    Scenario("expunge, allocated", (IDLE,), _of("expunge")),
    Scenario("migrate", (RICH,), _of("migrate")),
    Scenario("scale, growing", (BARE,), _of("scale", offering="medium")),
    Scenario("scale, shrinking", (("deploy", {**_IN_A, "offering": "medium"}),), _of("scale", offering="small")),
    Scenario("scale, stopped", (BARE, STOP), _of("scale", offering="medium")),
    Scenario("restore", (RICH, STOP), _of("restore", template="big")),
    Scenario("assign", (BARE, STOP), _of("assign", account="ben")),
    Scenario("add-nic, running", (BARE,), _of("add-nic", nic={"network": "back"})),
    Scenario("add-nic, stopped", (BARE, STOP), _of("add-nic", nic={"network": "back"})),
    Scenario("remove-nic, running", (RICH,), _of("remove-nic", network="back")),
    Scenario("remove-nic, stopped", (RICH, STOP), _of("remove-nic", network="back")),
    Scenario("set-default-nic", (RICH,), _of("set-default-nic", network="back")),
    Scenario("create-disk", (), SPARE),
    Scenario("attach-disk, new, running", (BARE, SPARE), _of("attach-disk", volume="2-1")),
    Scenario("attach-disk, used, running", (RICH, DETACH), _of("attach-disk", volume="1-5")),
    Scenario("attach-disk, stopped", (BARE, STOP, SPARE), _of("attach-disk", volume="3-1")),
    Scenario("detach-disk, running", (RICH,), DETACH),
    Scenario("detach-disk, stopped", (RICH, STOP), DETACH),
    Scenario("resize-disk, running", (RICH,), ("resize-disk", {"volume": "1-5", "size_mib": 2048})),
    Scenario("resize-disk, alone", (RICH, DETACH), ("resize-disk", {"volume": "1-5", "size_mib": 2048})),
    Scenario("resize-disk, not made", (SPARE,), ("resize-disk", {"volume": "1-1", "size_mib": 2048})),
    Scenario("delete-disk, used", (RICH, DETACH), ("delete-disk", {"volume": "1-5"})),
    Scenario("delete-disk, not made", (SPARE,), ("delete-disk", {"volume": "1-1"})),
    Scenario("secure", (BARE,), _of("secure")),
    Scenario("follow, all is well", (RICH,), _of("follow")),
    Scenario("follow, seen elsewhere", (BARE,), _of("follow", host="a1-h-2")),
    Scenario("follow, stopped", (BARE, STOP), _of("follow")),
    Scenario("evict, nobody there", (), ("evict", {"guest": "stranger", "host": "a1-h-1"})),
)
