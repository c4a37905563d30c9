"""Configuration: its schema, how Hydra composes it, and how a mistake in it is reported."""
