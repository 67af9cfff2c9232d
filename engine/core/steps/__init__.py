"""The steps that operations share: one file each, with what it announces, does and settles, forward and back."""
