"""Admission: what a request must meet before it becomes an operation. One function a rule, one file a subject.

`admit.py` is the door; `wanted.py` puts together what a deploy wants from the files beside it. A request is admitted
whole or refused with an error that names the rule's subject and what to do; nothing is written for a refused one.
"""
