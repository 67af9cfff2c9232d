"""One file a command, or a family of commands. None is imported before it is run; `..main` has the table of them."""
