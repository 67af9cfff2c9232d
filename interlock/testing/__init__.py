"""Tools to test with: conformance kits for drivers, planners and gurus, and the lifecycle fuzzer."""
