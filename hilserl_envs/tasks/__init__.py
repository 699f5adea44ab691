"""The tasks, by name, and how to add one."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import gymnasium

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.tasks.pick_cube import PickCube
from hilserl_envs.tasks.ram_insertion import RamInsertion
from hilserl_envs.tasks.task import Task, configure

NAMESPACE = "hilserl"
TASKS: dict[str, type[Task]] = {}


def register(task: type[Task], version: int = 0, namespace: str = NAMESPACE) -> str:
    """Make a task available to `gym.make` and `gym.make_vec`; returns its id.

    Raises:
        ConfigError: the id is taken.
    """
    env_id = f"{namespace}/{task.__name__}-v{version}"
    if env_id in gymnasium.registry:
        raise ConfigError(f"{env_id} is registered already; give the task another name or version")
    gymnasium.register(
        id=env_id,
        entry_point="hilserl_envs.franka_env:FrankaEnv",
        vector_entry_point="hilserl_envs.twin.vector:make_twin_vector",
        max_episode_steps=task().horizon,
        kwargs={"task": f"{task.__module__}:{task.__qualname__}"},
    )
    TASKS[env_id] = task
    return env_id


def find_task(name: str) -> type[Task]:
    """The task class of an id, of a bare name such as "RamInsertion", or of "module:Class".

    Raises:
        ConfigError: there is none.
    """
    if not isinstance(name, str):
        raise ConfigError(f"a task is named by a string or is a Task, got {name!r}")
    if ":" not in name:
        return TASKS[env_id(name)]
    module, _, qualname = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), qualname)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"cannot load the task {name!r}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise ConfigError(f"{name!r} is {found!r}, not a subclass of Task")
    return found


def env_id(name: str) -> str:
    """The full id of a registered task given as full id, as "RamInsertion-v0" or as "RamInsertion".

    Raises:
        ConfigError: there is none; names the nearest.
    """
    for known in TASKS:
        bare = known.partition("/")[2]
        if name in (known, bare, bare.rpartition("-v")[0]):
            return known
    return check_name(name, TASKS, "task")


def make_task(task: str | Task, settings: Mapping[str, Any] | None = None) -> Task:
    """A task by name or as it is, with some of its settings changed (see `configure`)."""
    made = task if isinstance(task, Task) else find_task(task)()
    return configure(made, settings) if settings is not None else made


for _task in (PickCube, RamInsertion):
    register(_task)
