"""A run on a real Ray cluster of two nodes: sides, inbox and a node are killed, and it goes on."""

import contextlib
import os
import signal
import tempfile
import time
from pathlib import Path

import pytest

from hilserl_envs.learning.replay import is_usable
from hilserl_envs.learning.run_folder import RunFolder
from hilserl_envs.learning.tensor_files import load_tensors
from hilserl_envs.recording import EpisodeStore
from tests import needs
from tests.learning_run import demonstrations
from tests.train_process import TrainProcess, TrainProcesses

ROOT = Path(__file__).parents[1]
SLOW = 120.0  # on a machine that has much else to do [s]
MEMORY = 80_000_000  # of a node's object store [bytes]
SMALL = (
    "batch_size=8", "hidden_dims=[16]", "proprioception_dim=8", "training_starts=30", "utd_ratio=2",
    "checkpoint_seconds=0.2", "steps_per_publish=5", 'env={"max_episode_steps": 10}',
)  # fmt: skip
ROBOTS = ("--robots", "left=twin", "right=twin")


class Nodes:
    """A cluster: the head has the robot `left`, another node `right`."""

    def __init__(self, folder: Path):
        from ray.cluster_utils import Cluster

        self.caches = folder / "caches"
        self._cluster = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 1, "resources": {"robot_left": 1}, "object_store_memory": MEMORY,
                "include_dashboard": False,
            },
        )  # fmt: skip
        self.address = self._cluster.address
        self.add()

    def add(self) -> None:
        self._right = self._cluster.add_node(
            num_cpus=1, resources={"robot_right": 1}, object_store_memory=MEMORY
        )

    def lose(self) -> None:
        """The machine of `right` is gone, without a word."""
        self._cluster.remove_node(self._right, allow_graceful=False)

    def workers(self, kind: str) -> list[int]:
        """Process ids of the Ray actors of a class."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                ours = str(self.caches).encode() in (path / "environ").read_bytes()
                if ours and (path / "cmdline").read_bytes().startswith(b"ray::" + kind.encode()):
                    found.append(int(path.name))
        return found

    def close(self) -> None:
        self._cluster.shutdown()


@pytest.fixture
def cluster(monkeypatch):
    needs.module("ray", "cluster")
    with (
        TrainProcesses() as processes,
        tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder,
    ):  # short: sockets are in it
        monkeypatch.setenv("XDG_CACHE_HOME", str(Path(folder) / "caches"))
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # whatever tokens there are
        monkeypatch.setenv("RAY_TMPDIR", folder)
        nodes = Nodes(Path(folder))
        yield nodes, processes
        nodes.close()


def written(run: Path, robot: str) -> bytes:
    """All records of a robot's store."""
    path = run / "replays" / robot / "steps.bin"
    return path.read_bytes() if path.exists() else b""


def wait_until(what, process: TrainProcess, seconds: float = SLOW) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert process.poll() is None and time.monotonic() < until, process.log.read_text()
        time.sleep(0.05)


def goes_on(process: TrainProcess, run: Path, *robots: str) -> None:
    """Those robots act, and somebody learns from it."""
    before, policy = {robot: len(written(run, robot)) for robot in robots}, run / "policy.safetensors"
    published = policy.stat().st_mtime_ns if policy.exists() else 0
    wait_until(lambda: all(len(written(run, robot)) > size + 2000 for robot, size in before.items()), process)
    wait_until(lambda: policy.stat().st_mtime_ns > published, process)


@pytest.mark.slow
def test_a_node_and_processes_are_killed_and_the_run_goes_on(cluster, tmp_path):
    (nodes, processes), run, log = cluster, tmp_path / "run", tmp_path / "log"
    process = processes.start(
        "PickCube", "--demos", demonstrations(), "--out", run, "--obs", "state", "--cluster", nodes.address,
        *ROBOTS, "--tracker", "none", "--minutes", 9, "--set", *SMALL, log=log
    )  # fmt: skip
    goes_on(process, run, "left", "right")
    for kind in ("Inbox", "LearnerSide"):
        (pid,) = nodes.workers(kind)
        os.kill(pid, signal.SIGKILL)
        goes_on(process, run, "left", "right")
    assert log.read_text().count("or its machine was lost; it is started again") == 1  # the inbox is Ray's

    nodes.lose()
    wait_until(lambda: len(nodes.workers("ActorSide")) == 1, process)
    time.sleep(0.2)
    (mirror,) = nodes.caches.rglob("right/run/replay/steps.bin")
    here, there = written(run, "right"), mirror.read_bytes()
    lost = EpisodeStore(run / "replays" / "right")
    unfinished = [e.seed for e in lost.episodes if not e.finished]  # none, if it was between two episodes
    record = lost.schema.record.itemsize
    assert there.startswith(here) and len(there) - len(here) <= 2 * record  # a step in flight, with its reset
    goes_on(process, run, "left")  # without it
    wait_until(lambda: "no machine of the cluster offers 'robot_right'" in log.read_text(), process)
    nodes.add()
    goes_on(process, run, "left", "right")
    assert written(run, "right").startswith(here)

    # Ctrl-C: both sides have time to save.
    process.signal(signal.SIGINT)
    assert process.wait(SLOW) == 130, log.read_text()
    said = log.read_text()
    assert "Traceback" not in said and said.endswith("hilserl: interrupted\n")
    assert not any(map(nodes.workers, ("ActorSide", "LearnerSide", "Inbox")))
    assert not list(nodes.caches.rglob("left/run"))
    meta = load_tensors(RunFolder(run).checkpoint())[1]
    assert meta["updates"] == load_tensors(run / "policy.safetensors")[1]["updates"]
    stores = {name: EpisodeStore(run / "replays" / name) for name in ("left", "right")}
    assert all(store.verify() == [] for store in stores.values())
    assert [e.seed for e in stores["right"].episodes if not e.finished and not e.why] == unfinished
    assert {e.seed for e in stores["left"].episodes}.isdisjoint(e.seed for e in stores["right"].episodes)

    # It goes on to its end: the steps of all robots together.
    made = sum(e.steps for store in stores.values() for e in store.episodes if is_usable(e))
    again = processes.start(
        "--out", run, "--resume", "--cluster", nodes.address, *ROBOTS, "--tracker", "none",
        "--steps", made + 40, log=log
    )  # fmt: skip
    assert again.wait(SLOW) == 0, log.read_text()
    stores = [EpisodeStore(run / "replays" / name) for name in ("left", "right")]
    steps = sum(e.steps for store in stores for e in store.episodes if is_usable(e))
    assert made + 40 <= steps <= made + 40 + 2 * 10
    meta = load_tensors(RunFolder(run).checkpoint())[1]
    assert meta["steps"] >= made + 40 and meta["updates"] >= made + 10
