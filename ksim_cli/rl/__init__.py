"""Reinforcement learning over the `Env` protocol; knows nothing of MuJoCo, terms or Hydra."""
