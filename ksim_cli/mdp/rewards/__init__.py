"""Rewards. Penalties are the same thing with a negative weight.

What is wanted has a value in [0, 1], what is to be avoided a value from 0 up: give it a negative
weight.
"""
