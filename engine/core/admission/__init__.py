"""Admission: what a request must meet before it becomes an operation. One file a subject, one function a rule.

`admit.py` is the door for every request; `wanted.py` puts together what a deploy wants from the files beside it, which
the other operations use as well. A rule is a function named `must_…`, or one that returns what it looked up: it is
met, or it raises an `InvalidRequest` that names the subject, what is wrong and what to do. Nothing is written for a
request that is refused.
"""
