"""The lifecycle fuzzer: the pure core, tables in memory, and a hypervisor that lies, driven by one seed."""
