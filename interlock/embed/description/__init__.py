"""The cloud description in parts: what may be written (`tables`), what it becomes (`topology`, `networks`, `people`,
`offers`, `firewall`, `knobs`), and what must hold of it all (`rules`). `interlock.embed.cloud` puts them together.
"""
