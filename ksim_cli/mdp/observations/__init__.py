"""Observations: what the networks see."""
