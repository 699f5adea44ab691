"""What wrappers that decide on success share."""

from __future__ import annotations

import gymnasium

from hilserl_envs.errors import ConfigError


def refuse_to_judge(env: gymnasium.Env, wrapper: gymnasium.Wrapper) -> None:
    """Refuse a stack in which somebody else decides on success before `wrapper` does.

    Raises:
        ConfigError: the environment ends its episodes by itself, or a `ScriptedOverseer`
            further in would go by another success.
    """
    name = type(wrapper).__name__
    if getattr(env.unwrapped, "ends_on_success", False):
        raise ConfigError(
            f"{name}: this environment ends its episodes on its own idea of success; make it with "
            "ends_on_success=False"
        )
    if env.has_wrapper_attr("attention"):
        raise ConfigError(
            f"{name}: the overseer further in would not learn of this success; put {name} inside of "
            "ScriptedOverseer, with make_env(..., reward=...)"
        )
