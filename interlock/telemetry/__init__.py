"""What an engine does, for those who watch it from outside: Prometheus metrics and OpenTelemetry traces.

    from interlock.telemetry.metrics import Metrics
    from interlock.telemetry.traces import Traces

    async with Engine.open(url, observers=[Metrics(registry), Traces()]) as engine: ...

Nothing of it is imported by an engine that was opened without.
"""
