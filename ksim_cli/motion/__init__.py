"""Reference motions: reading them, fitting them to a robot, resampling, and gathering in JAX."""
