"""Commands: targets that the policy is told and rewards compare with."""
