"""The journal's tools: what it says of the past, whether that is true, and what would have happened otherwise.

Each tool is a pure function of transitions, whatever they were read from; `source` reads them. Nothing here writes to
the database of an engine.
"""
