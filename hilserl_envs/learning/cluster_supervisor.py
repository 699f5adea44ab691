"""`ClusterSupervisor`: the sides of a run on a Ray cluster, watched until the run is over."""

from __future__ import annotations

import socket
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import hilserl_envs
from hilserl_envs.errors import ConfigError, LearningError
from hilserl_envs.learning.cluster import ActorSide, ClusterActor, LearnerSide, Side
from hilserl_envs.learning.inbox import Inbox
from hilserl_envs.learning.mirror import actor_files
from hilserl_envs.learning.replay import is_usable
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.supervisor import LOOK, PATIENCE, RESTARTS, RESTARTS_WITHIN, WANT_OF_MEMORY
from hilserl_envs.recording import EpisodeStore
from hilserl_envs.recording.files import META

MISSED_AFTER = 5.0  # what a side needs, and no machine offers [s]
TAKEN_AFTER = 60.0  # what it needs, and seems to be another's [s]


@dataclass
class _Placed:
    """A side as the supervisor has it."""

    name: str
    kind: type[Side]
    options: dict[str, Any]
    arguments: tuple
    handle: Any = None
    placing: Any = None  # what the answer to a first question comes by
    since: float = 0.0  # when it was asked [s]
    running: Any = None  # what its end is told by
    told: bool = False
    done: bool = False
    deaths: list[float] = field(default_factory=list)


class ClusterSupervisor:
    """Places the sides of a run on the cluster that this process is connected to.

    The learner and the inbox are on this machine, beside the run's folder; each actor is where
    its robot is. One that was killed, or whose machine is lost, is placed again.

    Args:
        run: its folder, on this machine.
        actors: of the run; none where nobody acts.
        steps: see `Budget`.
        device: of the learner, "cpu" or "cuda".
        view: see `Actor`.
        tell: called with a line when something happened.

    Raises:
        ConfigError: this machine offers Ray no GPU for a learner that needs one.
    """

    def __init__(
        self,
        run: RunFolder,
        actors: Sequence[ClusterActor],
        steps: int | None,
        device: str,
        view: str,
        tell: Callable[[str], None],
    ):
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray, self._tell = ray, tell
        here = ray.get_runtime_context().get_node_id()
        offered = next(node["Resources"] for node in ray.nodes() if node["NodeID"] == here)
        gpus = int(device == "cuda")
        if offered.get("GPU", 0) < gpus:
            raise ConfigError(
                "--torch-device cuda: Ray knows of no GPU of this machine, where the learner is; start its "
                "Ray with --num-gpus=1, or give this command on a machine with one"
            )
        pinned = {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=False)}
        self._inbox = (
            ray.remote(Inbox)
            .options(**pinned, max_restarts=-1, max_task_retries=-1)
            .remote(_stores(run, actors), str(run.policy.resolve()), _steps(run))
        )
        self._learner = _Placed(
            "learner",
            LearnerSide,
            pinned | {"num_gpus": gpus},
            (self._inbox, str(run.path.resolve()), steps, device),
        )
        self._actors = []
        for actor in actors:
            wanted = {"num_cpus": 0, "resources": {actor.resource: 1}} if actor.resource else {"num_cpus": 1}
            files = actor_files(run, actor.name, actor.robot)
            arguments = (self._inbox, _run_id(run), actor.name, files, steps, view)
            name = f"actor {actor.name}".rstrip()
            options = {"scheduling_strategy": "SPREAD", **wanted}
            self._actors.append(_Placed(name, ActorSide, options, arguments))

    def run(self, look: Callable[[], bool]) -> None:
        """Until the run is over, or `look`, called again and again, answers that it is time to stop.

        Raises:
            LearningError: a side ended with an error, or was lost too often; the others were stopped.
        """
        try:
            for side in self._sides:
                self._place(side)
            while not self._over and not look():
                for side in self._sides:
                    if not side.done:
                        self._look_at(side)
                time.sleep(LOOK)
        except BaseException:
            self._stop()
            raise
        if failed := self._stop():
            raise LearningError("; ".join(failed))

    @property
    def _sides(self) -> list[_Placed]:
        return [self._learner, *self._actors]

    @property
    def _over(self) -> bool:
        # Of an actor that waits for its robot nothing is wanted any more.
        return self._learner.done and all(side.done or side.running is None for side in self._actors)

    def _place(self, side: _Placed) -> None:
        side.handle = self._ray.remote(side.kind).options(**side.options).remote()
        side.placing, side.running = side.handle.version.remote(), None
        side.since, side.told = time.monotonic(), False

    def _look_at(self, side: _Placed) -> None:
        waited_for = side.placing if side.running is None else side.running
        if not self._ray.wait([waited_for], timeout=0)[0]:
            if side.running is None and not side.told and (missing := self._missing(side)):
                side.told = True
                self._tell(f"the {side.name} waits: {missing}")
            return
        try:
            answer = self._answer(side, waited_for)
        except self._ray.exceptions.RayActorError as error:
            if error.actor_init_failed:
                raise LearningError(f"the {side.name} cannot be: {error}") from None
            self._lost(side)
            return
        if side.running is None:
            _check_version(side.name, answer)
            side.running = side.handle.run.remote(*side.arguments)
        elif answer is None:
            side.done = True
        else:
            raise LearningError(_stopped(side, answer))

    def _answer(self, side: _Placed, reference: Any) -> str | None:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            return str(error)

    def _lost(self, side: _Placed) -> None:
        self._ray.kill(side.handle)  # where only the way to it was lost
        if side.running is not None:
            now = time.monotonic()
            side.deaths = [t for t in side.deaths if now - t < RESTARTS_WITHIN] + [now]
            if len(side.deaths) > RESTARTS:
                raise LearningError(
                    f"the {side.name} was lost {RESTARTS + 1} times in {RESTARTS_WITHIN:.0f} s; "
                    f"{WANT_OF_MEMORY}"
                )
            self._tell(f"the {side.name} or its machine was lost; it is started again")
        self._place(side)

    def _missing(self, side: _Placed) -> str | None:
        """What a side waits for, in words; None where it only starts, for all that is known."""
        waited = time.monotonic() - side.since
        if waited < MISSED_AFTER:
            return None
        (resource,) = side.options.get("resources", ["GPU" if side.options.get("num_gpus") else "CPU"])
        if resource not in self._ray.cluster_resources():
            address = self._ray.get_runtime_context().gcs_address
            return (
                f"no machine of the cluster offers {resource!r}. On the one where it shall be: ray start "
                f"--address={address} --resources='{{\"{resource}\": 1}}'"
            )
        return (
            None if waited < TAKEN_AFTER else f"another run, perhaps, has all of {resource!r} that there is"
        )

    def _stop(self) -> list[str]:
        """Have the sides stop; returns what failed meanwhile, in words."""
        ray, until, failed = self._ray, time.monotonic() + PATIENCE, []
        going = [side for side in self._sides if side.running is not None and not side.done]
        try:
            while going and time.monotonic() < until:
                self._inbox.stop.remote()  # again, for one that was killed and knows nothing
                ended = ray.wait([side.running for side in going], num_returns=len(going), timeout=LOOK)[0]
                for side in [side for side in going if side.running in ended]:
                    going.remove(side)
                    try:
                        answer = self._answer(side, side.running)
                    except ray.exceptions.RayActorError:
                        answer = "it was lost while it stopped"
                    failed += [] if answer is None else [_stopped(side, answer)]
            for side in going:
                self._tell(f"the {side.name} does not stop; it is killed. What it had saved is good")
        finally:
            for handle in [side.handle for side in self._sides if side.handle] + [self._inbox]:
                ray.kill(handle)
        return failed


def _stores(run: RunFolder, actors: Sequence[ClusterActor]) -> dict[str, str]:
    """The folder of each actor's store, made."""
    stores = {actor.name: run.replays / actor.name if actor.name else run.replay for actor in actors}
    for folder in stores.values():  # that the learner knows how many there will be
        folder.mkdir(parents=True, exist_ok=True)
    return {name: str(folder.resolve()) for name, folder in stores.items()}


def _steps(run: RunFolder) -> dict[str, int]:
    """Steps of each store so far."""
    stores = [EpisodeStore(folder) for folder in run.experience if (folder / META).exists()]
    return {
        "" if store.folder == run.replay else store.folder.name: sum(
            episode.steps for episode in store.episodes if is_usable(episode)
        )
        for store in stores
    }


def _run_id(run: RunFolder) -> str:
    """By which the actors' machines tell this run's mirrors from another's."""
    path = run.path.resolve()
    return f"{path.name}-{zlib.crc32(f'{socket.gethostname()}:{path}'.encode()):08x}"


def _check_version(name: str, theirs: str) -> None:
    if theirs != hilserl_envs.__version__:
        raise ConfigError(
            f"the machine of the {name} has hilserl_envs {theirs}, this one {hilserl_envs.__version__}; "
            "install the same on both"
        )


def _stopped(side: _Placed, why: str) -> str:
    return f"the {side.name} stopped with an error: {why}; resume the run when it is mended"
