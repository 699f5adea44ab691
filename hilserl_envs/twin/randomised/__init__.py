"""A twin that differs from episode to episode: what it looks like, weighs, and how late it is."""

from hilserl_envs.twin.randomised.robot import RandomisedTwin

__all__ = ["RandomisedTwin"]
