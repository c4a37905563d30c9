"""Physics: models, and the engines that step many environments of one model.

Nothing outside this package knows which engine runs.
"""
