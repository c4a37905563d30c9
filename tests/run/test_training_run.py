from ksim_cli.run.training_run import total_steps
from tests.helpers import tiny_cartpole


def test_the_run_ends_at_whichever_limit_comes_first():
    class Context:
        num_steps = 10

    class Parts:
        context = Context

    both = tiny_cartpole(max_env_steps=100, num_iterations=2, num_envs=4)
    assert total_steps(both, Parts) == 80
    assert total_steps(tiny_cartpole(max_env_steps=None, num_iterations=None), Parts) is None
