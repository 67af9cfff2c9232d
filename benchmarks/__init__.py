"""Measurements anyone can repeat, each beside its floor from the same run. See README.md; nothing here is shipped."""
