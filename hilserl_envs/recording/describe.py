"""What made a recording, as plain JSON: environment, wrappers, task, versions; and the way back."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import math
import platform
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np

from hilserl_envs.errors import ConfigError
from hilserl_envs.named import load_named
from hilserl_envs.recording.schema import Schema
from hilserl_envs.wrappers.action import ActionTransform

_PACKAGES = ("gymnasium", "mujoco", "numpy")
# Arguments of an environment, and wrappers, that change what a reward means, or a seed.
_MEANING = {"settings": None, "ends_on_success": True, "randomise": False}  # by name, and what they are else
_JUDGING = ("PersonReward", "ClassifierReward")
_OF_IMAGES = ("CropImages",)  # wrappers that convert nothing else
_SCALES = ("translation_scale", "rotation_scale")  # of the actions of an arm
_TRUSTED = ("hilserl_envs.", "gymnasium.")  # modules whose wrappers a recording may name


def describe_env(env: gymnasium.Env) -> dict[str, Any]:
    """What an environment is made of.

    `env`: id and the spec it was made from; `wrappers` from inside out, each with name,
    entry point, constructor arguments, and whether it changes what observations or
    actions mean; `task`: its settings; `action_names`: of the numbers of an action;
    `fps`: control steps a second. What JSON cannot hold is {"repr": "..."}.
    """
    spec = env.unwrapped.spec
    fields = {} if spec is None else {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}
    fields = {name: value for name, value in fields.items() if name not in ("namespace", "name", "version")}
    task = getattr(env.unwrapped, "task", None)
    return {
        "env": {"id": spec.id if spec else type(env.unwrapped).__name__, "spec": json_value(fields) or None},
        "wrappers": [_wrapper(wrapper) for wrapper in _stack(env)],
        "task": {"name": type(task).__name__, "settings": _settings(task)} if task is not None else None,
        "action_names": _action_names(env),
        "fps": env.metadata.get("render_fps"),
    }


@functools.cache
def versions() -> dict[str, str]:
    """Of Python, this package and those that a recording depends on."""
    import hilserl_envs

    installed = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), "hilserl_envs": hilserl_envs.__version__, **installed}


def _conversions(description: Mapping[str, Any]) -> dict[str, str]:
    """What a recording's numbers depend on, in words: the environment and the wrappers that convert."""
    words = {}
    if env := description.get("env"):
        words["the environment"] = env["id"]
    converting = [wrapper for wrapper in description.get("wrappers", ()) if wrapper["converts"]]
    for number, wrapper in enumerate(converting, start=1):
        words[f"converting wrapper {number}"] = f"{wrapper['name']}({wrapper['kwargs']})"
    return words


def _reward(description: Mapping[str, Any]) -> dict[str, str]:
    """What a recording's rewards depend on, in words."""
    kwargs = ((description.get("env") or {}).get("spec") or {}).get("kwargs") or {}
    words = {f"its {name}": str(kwargs.get(name, default)) for name, default in _MEANING.items()}
    judging = [wrapper["name"] for wrapper in description.get("wrappers", ()) if wrapper["name"] in _JUDGING]
    return words | {"who judges": ", ".join(judging) or "the task"}


def _scales(description: Mapping[str, Any]) -> dict[str, str]:
    """How far an action of length 1 goes."""
    arms = ((description.get("task") or {}).get("settings") or {}).get("arms") or {}
    return {
        f"the {name} of the arm {arm!r}": str(setup[name]) for arm, setup in arms.items() for name in _SCALES
    }


def _differences(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [
        f"{name} was {was.get(name, 'absent')} and is {now.get(name, 'absent')} now"
        for name in dict.fromkeys([*was, *now])
        if was.get(name) != now.get(name)
    ]


def check_same(meta: Mapping[str, Any], schema: Schema, description: Mapping[str, Any]) -> None:
    """Refuse to append to a store what means something else than what is there.

    Raises:
        ConfigError: keys, shapes, environment or converting wrappers differ; says which.
    """
    differences = meta["schema"].differences(schema)
    if description:
        was, now = (_conversions(made) | _reward(made) for made in (meta, description))
        differences += _differences(was, now)
    if differences:
        raise ConfigError(
            f"cannot append to this store: {'; '.join(differences)}. Record into another folder, or make the "
            "environment as it was"
        )


def check_demonstrates(
    meta: Mapping[str, Any], description: Mapping[str, Any], where: str, images: bool = True
) -> None:
    """Refuse to learn in an environment from a recording whose observations or actions mean something else.

    Who judges may differ. A recording that does not tell its environment (one from elsewhere)
    is taken at its word.

    Args:
        meta: of the recording's store.
        description: of the environment, see `describe_env`.
        where: the recording is, for the error.
        images: whether the environment's images are seen.

    Raises:
        ConfigError: task, converting wrappers or scales of the actions differ; says which.
    """
    if not meta.get("env"):
        return
    was, now = (_conversions(_seen(made, images)) | _scales(made) for made in (meta, description))
    if differences := _differences(was, now):
        raise ConfigError(
            f"{where} was recorded in another environment: {'; '.join(differences)}. Record with the same "
            "task and settings, or learn with those of the recording"
        )


def _seen(description: Mapping[str, Any], images: bool) -> dict[str, Any]:
    """Without what changes images alone, where nobody sees any."""
    wrappers = [w for w in description.get("wrappers", ()) if images or w["name"] not in _OF_IMAGES]
    return {**description, "wrappers": wrappers}


def rebuild_env(description: Mapping[str, Any], **arguments: Any) -> gymnasium.Env:
    """The environment of a recording, with the same observations and actions.

    The wrappers that convert are put on again; takeovers, rewards and recorders are left
    out.

    Args:
        description: the store's meta data.
        arguments: of `gym.make`, in place of the recorded ones, such as render_mode.

    Raises:
        ConfigError: it was not recorded from a registered environment, or holds something
            that cannot be made from its description.
    """
    spec = (description.get("env") or {}).get("spec")
    if not spec:
        raise ConfigError("this recording does not say how its environment was made; give one")
    if spec["id"] not in gymnasium.registry:
        raise ConfigError(
            f"{spec['id']!r} is not registered; import the module that registers it first (`hilserl replay` "
            "does with --task MODULE:NAME)"
        )
    fixed = gymnasium.registry[spec["id"]].kwargs  # what the id stands for, such as the task's class
    recorded = {name: value for name, value in spec["kwargs"].items() if name not in fixed}
    limits = [w["kwargs"]["max_episode_steps"] for w in description["wrappers"] if w["name"] == "TimeLimit"]
    arguments = {**recorded, "max_episode_steps": min(limits, default=None), **arguments}
    env = gymnasium.make(spec["id"], **_made(arguments, spec["id"]))
    for wrapper in description["wrappers"]:
        if wrapper["converts"]:
            env = _wrapper_class(wrapper["entry_point"])(
                env, **_made(wrapper["kwargs"] or {}, wrapper["name"])
            )
    return env


def json_value(value: Any) -> Any:
    """`value` as JSON holds it: tuples and arrays as lists, anything else as {"repr": "..."}."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: json_value(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [json_value(item) for item in value]
    return {"repr": repr(value)}


def _stack(env: gymnasium.Env) -> list[gymnasium.Wrapper]:
    """The wrappers of an environment, from inside out."""
    wrappers = []
    while isinstance(env, gymnasium.Wrapper):
        wrappers.insert(0, env)
        env = env.env
    return wrappers


def _wrapper(wrapper: gymnasium.Wrapper) -> dict[str, Any]:
    converting = gymnasium.ObservationWrapper | gymnasium.ActionWrapper | ActionTransform
    kwargs = getattr(wrapper, "_saved_kwargs", None)  # of RecordConstructorArgs
    return {
        "name": type(wrapper).__name__,
        "entry_point": f"{type(wrapper).__module__}:{type(wrapper).__qualname__}",
        "kwargs": json_value(kwargs),
        "converts": isinstance(wrapper, converting)
        or wrapper.observation_space != wrapper.env.observation_space
        or wrapper.action_space != wrapper.env.action_space,
    }


def _settings(task: Any) -> Any:
    """A dataclass as dictionaries, all the way down."""
    if dataclasses.is_dataclass(task):
        return {field.name: _settings(getattr(task, field.name)) for field in dataclasses.fields(task)}
    if isinstance(task, Mapping):
        return {str(key): _settings(value) for key, value in task.items()}
    return json_value(task)


def _action_names(env: gymnasium.Env) -> list[str] | None:
    if not env.has_wrapper_attr("action_layout"):
        return None
    return [
        arm.prefix + name
        for arm in env.get_wrapper_attr("action_layout")
        for name in (*arm.axes, *["gripper"] * arm.gripper)
    ]


def _made(kwargs: Mapping[str, Any], owner: str) -> dict[str, Any]:
    """Arguments that were recorded as themselves."""
    for name, value in kwargs.items():
        if isinstance(value, Mapping) and set(value) == {"repr"}:
            raise ConfigError(
                f"{owner} was made with {name}={value['repr']}, which cannot be made again from that"
            )
    return dict(kwargs)


def _wrapper_class(entry_point: str) -> type[gymnasium.Wrapper]:
    """A wrapper of this package or of gymnasium; a recording cannot have anything else imported."""
    if not entry_point.startswith(_TRUSTED):
        raise ConfigError(
            f"the recording's wrapper {entry_point} is not of this package or gymnasium; give an environment"
        )
    found = load_named(entry_point, "wrapper of the recording")
    if not (isinstance(found, type) and issubclass(found, gymnasium.Wrapper)):
        raise ConfigError(f"{entry_point} is {found!r}, not a wrapper")
    return found
