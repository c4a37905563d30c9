"""Rewards. Penalties are the same thing with a negative weight.

What is wanted has a value in [0, 1], but for `feet_air_time`, which counts seconds and may be
negative. What is to be avoided, "a penalty", has a value from 0 up: give it a negative weight.
"""
