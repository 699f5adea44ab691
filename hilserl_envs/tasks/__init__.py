"""The tasks, by name, and how to add one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium

from hilserl_envs.errors import ConfigError, check_name
from hilserl_envs.named import import_module
from hilserl_envs.tasks.jenga_whip import JengaWhip
from hilserl_envs.tasks.object_flip import ObjectFlip
from hilserl_envs.tasks.object_handover import ObjectHandover
from hilserl_envs.tasks.pick_cube import PickCube
from hilserl_envs.tasks.ram_insertion import RamInsertion
from hilserl_envs.tasks.ssd_assembly import SsdAssembly
from hilserl_envs.tasks.task import Task, configure
from hilserl_envs.tasks.timing_belt import TimingBelt
from hilserl_envs.tasks.usb_pickup_insertion import UsbPickupInsertion

NAMESPACE = "hilserl"
TASKS: dict[str, type[Task]] = {}


def register(task: type[Task], version: int = 0, namespace: str = NAMESPACE) -> str:
    """Make a task available to `gym.make` and `gym.make_vec`; returns its id.

    Raises:
        ConfigError: the id is taken, or the class cannot be found again by name.
    """
    if not (isinstance(task, type) and issubclass(task, Task)):
        raise ConfigError(f"register takes a subclass of Task, got {task!r}")
    if "<locals>" in task.__qualname__:
        raise ConfigError(
            f"{task.__qualname__} is defined in a function, where gym.make cannot find it again"
        )
    env_id = f"{namespace}/{task.__name__}-v{version}"
    path = f"{task.__module__}:{task.__qualname__}"
    if env_id in gymnasium.registry and gymnasium.registry[env_id].kwargs.get("task") != path:
        raise ConfigError(f"{env_id} is registered already; give the task another name or version")
    gymnasium.registry.pop(env_id, None)  # the same class again: a notebook cell that was run twice
    gymnasium.register(
        id=env_id,
        entry_point="hilserl_envs.franka_env:FrankaEnv",
        vector_entry_point="hilserl_envs.twin.vector:make_twin_vector",
        max_episode_steps=task().horizon,
        kwargs={"task": path},
    )
    TASKS[env_id] = task
    return env_id


def find_task(name: str) -> type[Task]:
    """The task class of "module:Class", registered or not, or of anything that `env_id` takes.

    Raises:
        ConfigError: there is none.
    """
    if not isinstance(name, str):
        raise ConfigError(f"a task is named by a string or is a Task, got {name!r}")
    module, colon, rest = name.rpartition(":")
    if colon and (found := _task_in(module, rest, name)) is not None:
        return found
    return TASKS[env_id(name)]


def env_id(name: str) -> str:
    """The full id of a registered task given as full id, as "RamInsertion-v0" or as "RamInsertion".

    "module:PushPuck", or any other of these with a module before it, imports the module first, which
    registers the task, as in `gym.make`. Of several that a name fits it is the module's own, and of
    these the newest version.

    Raises:
        ConfigError: there is none; names the nearest. Or the module cannot be imported.
    """
    module, colon, rest = name.rpartition(":")
    named = _task_in(module, rest.rpartition("/")[2].partition("-v")[0], name) if colon else None
    fitting = {}
    for known, task in TASKS.items():
        bare, _, version = known.partition("/")[2].rpartition("-v")
        if rest in (known, f"{bare}-v{version}", bare):
            own = task is named or f"{task.__module__}.".startswith(f"{module}.")
            fitting[known] = (bool(colon) and own, int(version))
    if not fitting:
        return check_name(rest, TASKS, f"task of {module!r}" if colon else "task")
    return max(fitting, key=fitting.__getitem__)


def _task_in(module: str, path: str, name: str) -> type[Task] | None:
    """The task class of that path in a module, which is imported; None where there is none."""
    found = import_module(module, f"task {name!r}")
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, Task) else None


def make_task(task: str | Task, settings: Mapping[str, Any] | None = None) -> Task:
    """A task by name or as it is, with some of its settings changed (see `configure`)."""
    made = task if isinstance(task, Task) else find_task(task)()
    return configure(made, settings) if settings is not None else made


for _task in (
    PickCube,
    RamInsertion,
    SsdAssembly,
    UsbPickupInsertion,
    TimingBelt,
    ObjectHandover,
    ObjectFlip,
    JengaWhip,
):
    register(_task)
