"""Traces: the tree of what an operation does, in the caller's own trace, and through crashes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from interlock import DeployVM, Engine, InvalidRequest, Way
from interlock.drivers.simulator import FaultKind
from interlock.engine.core.inputs import trace_in
from interlock.engine.orchestrator import drives, plugins, tasks
from interlock.replay.past import Past
from interlock.replay.recheck import Recheck, Verdict
from interlock.replay.rules import Book
from interlock.schema.commands import AnyCommand, Outcome
from interlock.telemetry import traces as module
from interlock.telemetry.traces import Traces
from tests.dying import AFTER, BEFORE, Holding, doomed
from tests.witness import Recorder, noted
from tests.world import World, cloud, world

Tree: TypeAlias = list[Any]
"""Names, each followed by the tree below it if there is one."""


class Collector:
    """A tracer provider and what it has exported."""

    def __init__(self, **options: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**options)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        """All that have ended, by when they began."""
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, *names: str) -> list[ReadableSpan]:
        """Those of some names."""
        return [span for span in self.spans if span.name in names]

    def tree(self) -> Tree:
        """Of names; what was begun at one moment, as effects of a step are, by name."""
        below: dict[int | None, list[ReadableSpan]] = defaultdict(list)
        known = {span.context.span_id for span in self.spans}
        for span in self.spans:
            parent = span.parent.span_id if span.parent else None
            below[parent if parent in known else None].append(span)
        return _tree(below, None)


def _tree(below: dict[int | None, list[ReadableSpan]], parent: int | None) -> Tree:
    spans = below[parent]
    if all(span.kind is SpanKind.CLIENT for span in spans):
        spans = sorted(spans, key=lambda span: span.name)
    found: Tree = []
    for span in spans:
        found.append(span.name)
        if span.context.span_id in below:
            found.append(_tree(below, span.context.span_id))
    return found


PREPARED: Tree = ["prepare", ["CreateVolume", "PrepareNic"]]
STARTED: Tree = ["domain", ["StartDomain"]]
UNDONE: Tree = ["undo domain", ["StopDomain"], "undo prepare", ["DeleteVolume", "ReleaseNic"]]


def outcome(span: ReadableSpan) -> object:
    return (span.attributes or {}).get("interlock.outcome")


async def test_a_deploy_is_a_tree_of_steps_and_effects(tmp_path: Path) -> None:
    seen = Collector()
    async with world(tmp_path, observers=[Traces(seen.provider)]) as lab:
        operation = await lab.deploy()
    assert seen.tree() == ["request deploy", ["deploy", [*PREPARED, *STARTED]]]
    assert len({span.context.trace_id for span in seen.spans}) == 1
    request, deploy = seen.spans[:2]
    assert (request.kind, deploy.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    assert deploy.attributes == {
        "interlock.operation.id": operation.id,
        "interlock.operation.kind": "deploy",
        "interlock.vm.id": operation.vm_id,
        "interlock.taken_over": False,
        "interlock.outcome": "Succeeded",
    }
    assert [event.name for event in deploy.events] == ["Claimed", "StepSucceeded", "OperationSucceeded"]
    (start,) = seen.named("StartDomain")
    assert start.attributes is not None
    assert start.attributes["interlock.driver"] == "simulator"
    assert str(start.attributes["interlock.effect.token"]).startswith(f"{operation.id}/1/domain/do/")
    assert {span.status.status_code for span in seen.spans} == {StatusCode.UNSET}
    for span in seen.spans[2:]:
        assert (deploy.start_time or 0) <= (span.start_time or 0) <= (span.end_time or 0) <= (deploy.end_time or 0)


async def test_a_deploy_that_is_placed_anew_shows_both_placements_and_what_was_waited_for(tmp_path: Path) -> None:
    seen = Collector()
    async with world(tmp_path, observers=[Traces(seen.provider)]) as lab:
        await lab.order("CreateVolume", FaultKind.TRANSIENT)
        await lab.order("StartDomain", FaultKind.REFUSE)
        assert (await lab.deploy()).attempt == 2
    first: Tree = ["prepare", ["CreateVolume", "PrepareNic", "wait", "CreateVolume", "PrepareNic"]]
    assert _sorted(seen.tree()) == _sorted(
        ["request deploy", ["deploy", [*first, *STARTED, *UNDONE, *PREPARED, *STARTED]]]
    )
    refused, done = seen.named("domain")
    assert (outcome(refused), outcome(done)) == ("refused", "done")
    assert refused.status.status_code is StatusCode.ERROR and refused.status.description
    assert [(span.attributes or {})["interlock.attempt"] for span in (refused, done)] == [1, 2]
    once, again = seen.named("CreateVolume")[:2]
    assert (outcome(once), outcome(again)) == ("transient", "done")
    assert once.status.status_code is StatusCode.ERROR
    (deploy,) = seen.named("deploy")
    assert (outcome(deploy), deploy.status.status_code) == ("Succeeded", StatusCode.UNSET)
    assert {"OperationRetry", "OperationFailed", "OperationResumed"} <= {event.name for event in deploy.events}


def _sorted(tree: Tree) -> Tree:
    """Effects that go out together are in no order."""
    return [
        sorted(each) if isinstance(each, list) and all(isinstance(name, str) for name in each) else
        _sorted(each) if isinstance(each, list) else each
        for each in tree
    ]  # fmt: skip


async def test_a_deploy_that_is_undone_says_why(tmp_path: Path) -> None:
    seen = Collector()
    async with world(tmp_path, observers=[Traces(seen.provider)]) as lab:
        await lab.order("StartDomain", FaultKind.REFUSE_VM)
        operation = await lab.deploy()
        assert operation.state == "Failed"
    assert _sorted(seen.tree()) == ["request deploy", ["deploy", [*PREPARED, *STARTED, *UNDONE]]]
    (deploy,) = seen.named("deploy")
    assert (outcome(deploy), deploy.status.status_code) == ("Failed", StatusCode.ERROR)
    assert deploy.status.description == operation.error
    assert {outcome(span) for span in seen.named("undo domain", "undo prepare")} == {"done"}


async def test_a_stuck_one_that_is_resolved_goes_on_in_its_trace(tmp_path: Path) -> None:
    seen = Collector()
    async with world(tmp_path, observers=[Traces(seen.provider)]) as lab:
        await lab.order("StartDomain", FaultKind.REFUSE_VM)
        await lab.order("StopDomain", FaultKind.REFUSE_VM)
        stuck = await lab.deploy()
        assert stuck.state == "Stuck"
        await (await lab.engine.resolve(stuck.id, Way.UNDO, "well again")).ended()
    assert seen.tree() == ["request deploy", ["deploy", [*PREPARED, *STARTED, *UNDONE[:2]], "deploy", UNDONE]]
    first, second = seen.named("deploy")
    assert (outcome(first), outcome(second)) == ("Stuck", "Failed")
    assert outcome(seen.named("undo domain")[0]) == "stuck"
    assert (second.attributes or {})["interlock.taken_over"] is False


# --- whose trace it is


async def test_the_callers_trace_goes_on(tmp_path: Path) -> None:
    seen = Collector()
    async with world(tmp_path, observers=[Traces(seen.provider)]) as lab:
        with seen.tracer.start_as_current_span("caller") as caller:
            handle = await lab.engine.deploy(lab.request())
        await handle.wait()
        async with lab.engine.transaction() as connection:
            with seen.tracer.start_as_current_span("joined"):
                joined = await lab.engine.deploy(lab.request("two"), connection=connection)
        await joined.wait()
        rows = await lab.engine.history(joined.vm_id or "")
    deploy: Tree = ["request deploy", ["deploy", [*PREPARED, *STARTED]]]
    assert seen.tree() == ["caller", deploy, "joined", deploy]
    assert seen.named("deploy")[0].context.trace_id == caller.get_span_context().trace_id
    (asked,) = [row.detail for row in rows if row.machine == "operation" and row.version == 1]
    request = seen.named("request deploy")[1].context
    assert trace_in(asked) == f"00-{request.trace_id:032x}-{request.span_id:016x}-{request.trace_flags:02x}"


async def test_a_caller_that_is_not_sampled_stays_so(tmp_path: Path) -> None:
    seen, others = Collector(), Collector(sampler=ALWAYS_OFF)
    async with world(tmp_path, observers=[Traces(seen.provider)]) as lab:
        with others.tracer.start_as_current_span("caller"):
            handle = await lab.engine.deploy(lab.request())
        await handle.wait()
    assert seen.tree() == []


class Instrumented(Recorder):
    """A driver that makes a span of its own, as instrumented clients do."""

    tracer: trace.Tracer

    async def perform(self, command: AnyCommand, *, token: str, fence: int) -> Outcome:
        with self.tracer.start_as_current_span("http"):
            return await super().perform(command, token=token, fence=fence)


async def test_what_a_driver_does_is_below_its_effect(tmp_path: Path) -> None:
    seen = Collector()
    Instrumented.tracer = seen.tracer
    async with world(tmp_path, wrap=Instrumented, observers=[Traces(seen.provider)]) as lab:
        with seen.tracer.start_as_current_span("caller"):
            await lab.deploy()
        assert trace.get_current_span() is trace.INVALID_SPAN
    steps = ["prepare", ["CreateVolume", ["http"], "PrepareNic", ["http"]], "domain", ["StartDomain", ["http"]]]
    assert seen.tree() == ["caller", ["request deploy", ["deploy", steps]]]


async def test_a_request_that_is_refused_leaves_nothing_but_that_it_was_asked(tmp_path: Path) -> None:
    seen = Collector()
    traces = Traces(seen.provider)
    async with world(tmp_path, observers=[traces]) as lab:
        with pytest.raises(InvalidRequest, match="offering"):
            await lab.engine.deploy(DeployVM(name="web", offering="none", template="t"))
        assert not traces._asked and not traces._drives
        await lab.deploy()
        assert not traces._asked and not traces._drives and not traces._steps._now
    assert seen.tree() == ["request deploy", "request deploy", ["deploy", [*PREPARED, *STARTED]]]


# --- crashes
# Who takes over has a driver that reports nothing: what the simulator said before the guest ran costs a look after it,
# or not, as it comes.


async def _held(lab: World, driver: Holding, command: str, when: str) -> str:
    driver.hold(command, when=when)
    handle = await lab.engine.deploy(lab.request())
    await asyncio.wait_for(driver.held.wait(), 10)
    return handle.id


@pytest.mark.parametrize("when", [BEFORE, AFTER])
async def test_whoever_takes_over_goes_on_in_the_same_trace(tmp_path: Path, database_url: str, when: str) -> None:
    dead, heir = Collector(), Collector()
    made, wrap = noted(Holding)
    async with doomed(tmp_path, database_url, wrap, description=cloud(), observers=[Traces(dead.provider)]) as lab:
        with dead.tracer.start_as_current_span("caller") as caller:
            operation_id = await _held(lab, made[-1], "StartDomain", when)
        # What a killed process has not ended is never seen.
        ended = [span.name for span in dead.spans]
    assert sorted(ended) == ["CreateVolume", "PrepareNic", "caller", "prepare", "request deploy"]
    async with world(tmp_path, url=database_url, wrap=Recorder, observers=[Traces(heir.provider)]) as lab:
        await lab.engine.idle()
        assert (await (await lab.engine.handle(operation_id)).ended()).state == "Succeeded"
    assert heir.tree() == ["deploy", STARTED]
    (deploy,), (request,) = heir.named("deploy"), dead.named("request deploy")
    assert deploy.parent is not None
    assert (deploy.context.trace_id, deploy.parent.span_id) == (
        caller.get_span_context().trace_id,
        request.context.span_id,
    )
    assert (deploy.attributes or {})["interlock.taken_over"] is True
    assert (outcome(deploy), [event.name for event in deploy.events]) == (
        "Succeeded",
        ["Claimed", "OperationSucceeded"],
    )
    vm_id = (deploy.attributes or {})["interlock.vm.id"]
    assert isinstance(vm_id, str)
    token = (heir.named("StartDomain")[0].attributes or {})["interlock.effect.token"]
    assert token == f"{operation_id}/1/domain/do/vm {vm_id}"


async def test_an_engine_that_closes_ends_its_spans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "LEFT_BEHIND", 0.0)
    seen, (made, wrap) = Collector(), noted(Holding)
    traces = Traces(seen.provider)
    async with world(tmp_path, wrap=wrap, observers=[traces]) as lab:
        await _held(lab, made[-1], "StartDomain", BEFORE)
    assert not traces._drives
    assert seen.tree() == ["request deploy", ["deploy", [*PREPARED, *STARTED]]]
    (deploy,) = seen.named("deploy")
    assert outcome(deploy) is None
    assert outcome(seen.named("StartDomain")[0]) == "cut"
    async with world(tmp_path, observers=[traces]) as lab:
        await lab.engine.idle()
    assert [outcome(span) for span in seen.named("deploy")] == [None, "Succeeded"]


async def test_an_operation_of_an_engine_without_traces_begins_one(tmp_path: Path, database_url: str) -> None:
    seen, (made, wrap) = Collector(), noted(Holding)
    async with doomed(tmp_path, database_url, wrap, description=cloud()) as lab:
        await _held(lab, made[-1], "StartDomain", BEFORE)
    async with world(tmp_path, url=database_url, wrap=Recorder, observers=[Traces(seen.provider)]) as lab:
        await lab.engine.idle()
    assert seen.tree() == ["deploy", STARTED]
    assert seen.named("deploy")[0].parent is None


async def test_what_others_drive_is_not_remembered_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 2)
    monkeypatch.setattr(drives, "IN_FLIGHT", 0)
    traces = Traces(Collector().provider)
    async with world(tmp_path, observers=[traces]) as lab:
        for number in range(4):
            await lab.engine.deploy(lab.request(f"vm-{number}"))
        assert len(traces._asked) == 2


async def test_one_that_waited_long_is_found_again_in_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 0)
    seen = Collector()
    async with world(tmp_path, observers=[Traces(seen.provider)]) as lab:
        await (await lab.engine.deploy(lab.request(start=False))).wait()
        await lab.run("start")
    assert seen.tree()[2:] == ["request start", ["start", [*PREPARED, *STARTED]]]


# --- what it must not change


async def test_a_traced_journal_is_decided_the_same_again(tmp_path: Path) -> None:
    seen = Collector()
    async with world(tmp_path, observers=[Traces(seen.provider)]) as lab:
        await lab.deploy()
        await lab.run("stop")
        rows = [row async for page in lab.engine.journal() for row in page]
    recheck = Recheck(Past(), Book(plugins.planners({}), plugins.gurus({})))
    answers = [*recheck.add(rows), *recheck.end()]
    assert {answer.verdict for answer in answers} == {Verdict.SAME}
    assert sum(trace_in(row.detail) is not None for row in rows) == 2


async def test_traces_are_of_one_engine_at_a_time(tmp_path: Path) -> None:
    traces = Traces(Collector().provider)
    async with world(tmp_path, observers=[traces]):
        with pytest.raises(InvalidRequest, match="another engine's"):
            async with Engine.open(str(tmp_path / "other.db"), observers=[traces]):
                pass


async def test_without_an_sdk_nothing_is_journaled(tmp_path: Path) -> None:
    async with world(tmp_path, observers=[Traces(trace.NoOpTracerProvider())]) as lab:
        operation = await lab.deploy()
        rows = await lab.engine.history(operation.vm_id or "")
    assert rows and not any(trace_in(row.detail) for row in rows)
