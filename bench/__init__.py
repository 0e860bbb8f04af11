"""Benchmarks: each beside its rival, in one run, as ratios. README.md says how to run them and what they mean."""
