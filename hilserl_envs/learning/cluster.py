"""A run on a Ray cluster: how to get there, and its sides as Ray actors around the same loops.

Ray is imported in functions only: a run on one machine needs none.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hilserl_envs.errors import ConfigError, HilserlError

if TYPE_CHECKING:
    from ray.actor import ActorHandle

INSTALL = 'pip install "hilserl_envs[cluster]"'
NEWS_EVERY = 0.1  # between two looks for a policy, or whether to stop [s]
_REACHED = 5.0  # for a machine to answer [s]
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """Being part of a cluster.

    Args:
        address: HOST:PORT of its head, or "auto" for the cluster that this machine is a node of.

    Raises:
        ConfigError: Ray is not installed, there is no cluster, or this machine is no node of it.
    """
    try:
        import ray
    except ImportError as error:
        raise ConfigError(f"--cluster needs Ray, got: {error}. Install it: {INSTALL}") from None
    if address != "auto":
        _check_answers(address)
    try:
        ray.init(address=address, logging_level="WARNING")
    except Exception as error:  # of many kinds
        raise ConfigError(
            f"cannot train on the Ray cluster at {address}: {error}\nGive this command on the machine that "
            "learns and holds the run's folder, and make it a node first: `ray start --head`, or "
            "`ray start --address=HEAD:6379`"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise ConfigError(
            f"--cluster is HOST:PORT of the head of a Ray cluster that this machine is a node of, or auto; "
            f"got {address!r}"
        )
    try:
        socket.create_connection((host, int(port)), _REACHED).close()
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"nobody answers at {address}: {error}. Start a Ray cluster with `ray start --head`, and give "
            "the address that it says"
        ) from None


@dataclass(frozen=True)
class ClusterActor:
    """One of the run's actors.

    Args:
        name: of its robot and its store; "" where there is one actor and no name.
        robot: as `make_env` takes it; None leaves the run's.
        resource: of Ray, which the robot's machine offers; None for any machine.
    """

    name: str = ""
    robot: str | None = None
    resource: str | None = None


def cluster_actors(robots: Sequence[str], number: int) -> list[ClusterActor]:
    """The actors of a run: one for each of the robots NAME=ROBOT, or else a number of them alike.

    Raises:
        ConfigError: a robot without a name, a name that cannot be, or twice the same.
    """
    if number < 1:
        raise ConfigError(f"--actors must be at least 1, got {number}")
    if not robots:
        return [ClusterActor()] if number == 1 else [ClusterActor(f"twin_{i + 1}") for i in range(number)]
    if number > 1:
        raise ConfigError(f"--robots names every actor; leave out --actors {number}")
    actors: dict[str, ClusterActor] = {}
    for text in robots:
        name, _, robot = text.partition("=")
        if not robot or not _NAME.fullmatch(name):
            raise ConfigError(
                "a robot is NAME=ROBOT, such as left_bench=http://10.0.0.7:5000 or sim=twin, its name of "
                f"letters, digits, _ and -; got {text!r}"
            )
        if name in actors:
            raise ConfigError(f"two robots have the name {name!r}; their recordings would mix")
        actors[name] = ClusterActor(name, robot, f"robot_{name}")
    return list(actors.values())


# What follows runs on the cluster.


class RemoteInbox:
    """An `Inbox` that is a Ray actor, called as if it were here.

    A call that meets an inbox that was killed waits for the next one, and is made again.
    """

    def __init__(self, handle: ActorHandle):
        self._handle = handle

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            import ray

            try:
                return ray.get(getattr(self._handle, method).remote(*arguments))
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, HilserlError) else error from None

        return call


class Side(ABC):
    """A side of a run, as a Ray actor."""

    def version(self) -> str:
        """Of this package on the machine that it runs on."""
        import hilserl_envs

        return hilserl_envs.__version__

    def run(self, *arguments: Any) -> str | None:
        """All that it has to do; returns what kept it from that, if anything did, in words."""
        from hilserl_envs.learning.extra import torch

        torch.set_num_threads(1)
        try:
            self._run(*arguments)
        except HilserlError as error:
            return str(error)
        return None

    @abstractmethod
    def _run(self, inbox: ActorHandle, *arguments: Any) -> None:
        """Do it.

        Args:
            inbox: of the run.
            arguments: plain values.
        """


class LearnerSide(Side):
    """The learner, beside the run's folder."""

    def _run(self, inbox: ActorHandle, path: str, steps: int | None, device: str) -> None:
        from hilserl_envs.learning.inbox import patiently
        from hilserl_envs.learning.loops import Budget, run_learner
        from hilserl_envs.learning.run_folder import RunFolder

        run = RunFolder(path)
        patiently(lambda: run.hold("learner"))()  # the last one may not be gone yet
        with _following(RemoteInbox(inbox).told_to_stop) as told:
            run_learner(run, Budget(steps, told), device)


class ActorSide(Side):
    """One actor, beside its robot."""

    def _run(
        self,
        inbox: ActorHandle,
        run_id: str,
        name: str,
        files: dict[str, bytes],
        steps: int | None,
        view: str,
    ) -> None:
        from hilserl_envs.learning.loops import Budget, run_actor
        from hilserl_envs.learning.mirror import Mirror

        here = RemoteInbox(inbox)
        with contextlib.ExitStack() as stack:
            mirror = Mirror(mirrors() / run_id / (name or "replay"), here, name, files)
            stack.callback(mirror.close)

            def news() -> bool:
                mirror.refresh_policy()
                return here.told_to_stop()

            told = stack.enter_context(_following(news))
            stack.callback(mirror.ship)  # how the last episode ended

            def shipped() -> bool:
                """Asked after every step, and after every episode."""
                mirror.ship()
                return told()

            run_actor(mirror.run, Budget(steps, shipped), view, mirror.steps_of_all)


def mirrors() -> Path:
    """Where the actors of this machine keep their mirrors."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hilserl" / "mirrors"


@contextlib.contextmanager
def _following(look: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
    """Have a thread look again and again; yields whether it is time to stop, by what it saw."""
    stop, over = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def follow() -> None:
        try:
            while not over.wait(NEWS_EVERY):
                if look():
                    stop.set()
        except BaseException as error:
            failed.append(error)
            stop.set()

    thread = threading.Thread(target=follow, name="news of the run", daemon=True)
    thread.start()
    try:
        yield stop.is_set
    finally:
        over.set()
        thread.join()
    if failed:
        raise failed[0]
