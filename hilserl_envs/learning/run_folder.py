"""`RunFolder`: everything a run needs to be resumed, evaluated or understood.

It is the link between actor and learner too: transitions go one way through the replay store,
weights come back by files that are written under a temporary name and renamed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hilserl_envs.errors import ConfigError, LearningError
from hilserl_envs.learning.batch import Inputs
from hilserl_envs.learning.caches import row_size
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.run_settings import CHANGEABLE, RunSettings, with_changes
from hilserl_envs.learning.tensor_files import explained, load_tensors, write_atomically
from hilserl_envs.recording import EpisodeStore
from hilserl_envs.recording.describe import check_demonstrates, describe_env, versions
from hilserl_envs.recording.files import LOCK
from hilserl_envs.recording.lock import lock
from hilserl_envs.tasks.setup import ArmAction

VERSION = 1  # of the folder's format
FILES = "files"  # folder in it, of those that its settings name


class RunFolder:
    """A run on disk.

    Args:
        path: of the folder, which `create` made.

    Attributes:
        settings: of the run; the files that they name are its own copies.
        inputs: what of an observation the policy sees.
        layout: of the actions.
        replay: folder of the store of its own experience, where one actor makes it.
        replays: folder of several such stores, one a robot, by its name.
        demonstrations: folder of the copied demonstrations.
        features: folder of cached features.
        policy: file of the weights that act now.

    Raises:
        ConfigError: there is no run.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        try:
            config = json.loads((self.path / "config.json").read_text())
            if config["format"] != VERSION:
                raise ConfigError(
                    f"{self.path} has format {config['format']}, this version reads {VERSION}; "
                    "take the version that made it"
                )
            self._set(RunSettings.from_json(config["settings"]))
            self.inputs = Inputs(config["state"], {key: tuple(v) for key, v in config["cameras"].items()})
            self.layout = tuple(
                ArmAction(prefix, start, gripper, tuple(axes))
                for prefix, start, gripper, axes in config["layout"]
            )
        except (FileNotFoundError, NotADirectoryError):
            raise ConfigError(
                f"{self.path} is no run: it has no config.json; give the folder of one, or make one "
                "with `hilserl train`"
            ) from None
        except ConfigError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise LearningError(
                f"{self.path / 'config.json'} is damaged: {error!r}; restore it from a copy"
            ) from None
        self.replay, self.replays = self.path / "replay", self.path / "replays"
        self.demonstrations = self.path / "demonstrations"
        self.features, self.policy = self.path / "features", self.path / "policy.safetensors"
        self.learner_log = self.path / "learner.jsonl"

    def _set(self, settings: RunSettings) -> None:
        self._stored = settings  # with paths in the folder
        self.settings = settings.with_files(
            lambda _, name: str(self.path / name) if name.startswith(f"{FILES}/") else name
        )

    def change(self, changes: Sequence[str]) -> None:
        """Change settings that a run may take up on its way (see `CHANGEABLE`), while no side runs.

        Raises:
            ConfigError: another setting, or a value that does not fit.
            LearningError: no room.
        """
        settings = with_changes(self._stored, changes, CHANGEABLE)
        config = json.loads((self.path / "config.json").read_text())
        config["settings"] = settings.to_json()
        write_atomically(self.path / "config.json", json.dumps(config, indent=1).encode())
        self._set(settings)

    @property
    def experience(self) -> list[Path]:
        """Folders of all stores of its own experience, those included that nobody has written to yet."""
        of_robots = sorted(self.replays.iterdir()) if self.replays.exists() else []
        return [self.replay, *of_robots] if self.replay.exists() or not of_robots else of_robots

    @classmethod
    def create(cls, path: str | Path, settings: RunSettings, demonstrations: Path | None) -> RunFolder:
        """A new run, with a copy of its demonstrations and of the files that its settings name.

        Raises:
            ConfigError: something is there already, or there are no demonstrations where the run
                has some.
            RecordingError: the demonstrations are damaged.
        """
        path = Path(path)
        if (path / "config.json").exists():
            raise ConfigError(f"{path} holds a run already; resume it, or give another folder")
        if path.exists() and any(path.iterdir()):
            raise ConfigError(
                f"{path} is not empty, and holds no run; empty it, or give another folder for the run"
            )
        if settings.demonstrations and demonstrations is None:
            raise ConfigError("no demonstrations: record some with `hilserl record`, and give their folder")
        if not settings.demonstrations and demonstrations is not None:
            raise ConfigError(f"a run without demonstrations got {demonstrations}; leave them out")
        settings.make_encoder()  # what is wrong with it is said before there is a folder
        inputs, layout, description = _seen_and_done(settings)
        if settings.demonstrations:
            store = EpisodeStore(demonstrations)
            check_demonstrates(store.meta, description, str(demonstrations), images=bool(inputs.cameras))
            inputs.check_store(store.schema, str(demonstrations))
            if len(store.transitions()) == 0:
                raise ConfigError(f"{demonstrations} holds no episode that is kept; record some")
            _copy_store(demonstrations, path / "demonstrations")
        path.mkdir(parents=True, exist_ok=True)

        def copied(what: str, file: str) -> str:
            name = f"{FILES}/{what}{Path(file).suffix}"
            write_atomically(path / name, Path(file).read_bytes())
            return name

        config = {
            "format": VERSION,
            "settings": settings.with_files(copied).to_json(),
            "state": dict(inputs.state),
            "cameras": dict(inputs.cameras),
            "layout": [list(arm) for arm in layout],
            "versions": {**versions(), "torch": torch.__version__},
        }
        # Last: with it, the folder is a run.
        write_atomically(path / "config.json", json.dumps(config, indent=1).encode())
        return cls(path)

    def checkpoint(self, name: str = "last") -> Path:
        """File of a checkpoint: "last" or "best"."""
        return self.path / "checkpoints" / f"{name}.safetensors"

    def hold(self, side: str) -> Any:
        """A lock that one process has for a side of the run; call it to let go.

        Raises:
            ConfigError: another process has it.
        """
        try:
            return lock(self.path / "sides" / side)
        except ConfigError:
            raise ConfigError(
                f"{self.path} is being trained already: another process is its {side}; stop that one first"
            ) from None

    def seconds(self) -> float:
        """Wall-clock time that the run took up to its last checkpoint [s]."""
        path = self.checkpoint()
        return load_tensors(path)[1]["seconds"] if path.exists() else 0.0

    def describe(self) -> str:
        """What it is and what it needs, in lines for people."""
        settings, cameras = self.settings, self.inputs.cameras
        lines = [f"{settings.task}, {settings.algorithm} from {settings.obs}, in {self.path}"]
        if settings.demonstrations:
            demonstrations = EpisodeStore(self.demonstrations)
            steps = len(demonstrations.transitions())
            lines.append(f"demonstrations: {len(demonstrations)} episodes, {steps} steps")
        row, fresh = row_size(settings, cameras) if cameras else 0, settings.crops_at_update
        kept = "frames" if fresh else "features"
        of_images = (
            f"up to {settings.cached_frames * row / 1e9:.1f} GB of {kept} (of the newest "
            f"{settings.replay_capacity} frames), and "
        )
        lines.append(
            f"disk: {of_images if cameras else ''}the recording, which is never cut short; "
            f"{shutil.disk_usage(self.path).free / 1e9:.0f} GB are free"
        )
        numbers = 2 * 4 * (self.inputs.state_size + 16) * settings.replay_capacity
        # Images of the batches, and what a CNN's gradients need of them, as measured.
        numbers += 20 * settings.agent.batch_size * row if fresh else 0
        lines.append(
            f"memory: about {1.0 + numbers / 1e9:.1f} GB for all processes, without the disk's cache"
        )
        return "\n".join(lines)

    def log(self, values: Mapping[str, Any]) -> None:
        """Append a line of the learner's metrics.

        Raises:
            LearningError: no room.
        """
        with explained(self.learner_log), open(self.learner_log, "ab+") as file:
            size = file.seek(0, os.SEEK_END)
            if size and os.pread(file.fileno(), 1, size - 1) != b"\n":
                file.write(b"\n")  # a kill tore the last line
            file.write(json.dumps(dict(values)).encode() + b"\n")

    def learner_lines(self) -> Iterator[dict[str, Any]]:
        """The learner's metrics; of updates that were made twice after a kill, the later."""
        if not self.learner_log.exists():
            return
        lines = []
        for line in self.learner_log.read_text().splitlines():
            try:
                values = json.loads(line)
            except ValueError:
                continue  # torn by a kill
            while lines and lines[-1]["updates"] >= values["updates"]:
                lines.pop()
            lines.append(values)
        yield from lines


def _seen_and_done(settings: RunSettings) -> tuple[Inputs, tuple[ArmAction, ...], dict[str, Any]]:
    """What the run's policy sees, the layout of its actions, and what its environment is made of.

    The twin tells it, on any robot; a person's device is left alone, a script's is tried.
    """
    env = settings.make_env(watched=settings.overseer is not None, robot="twin")
    try:
        return Inputs.of_env(env), env.get_wrapper_attr("action_layout"), describe_env(env)
    finally:
        env.close()


def _copy_store(folder: Path, target: Path) -> None:
    """Copy a store; what is there afterwards is whole, or nothing.

    Raises:
        LearningError: no room, or not allowed.
    """
    unfinished = target.with_name(f"{target.name}.tmp")
    try:
        with explained(target):
            shutil.copytree(folder, unfinished, ignore=shutil.ignore_patterns(LOCK))
            unfinished.rename(target)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
