"""`RunFolder`: everything a run needs to be resumed, evaluated or understood.

It is the link between actor and learner too: transitions go one way through the replay store,
weights come back by files that are written under a temporary name and renamed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hilserl_envs.errors import ConfigError, LearningError
from hilserl_envs.learning.batch import Inputs
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.run_settings import RunSettings
from hilserl_envs.recording import EpisodeStore
from hilserl_envs.recording.describe import versions
from hilserl_envs.recording.lock import lock
from hilserl_envs.tasks.setup import ArmAction

VERSION = 1  # of the folder's format


class RunFolder:
    """A run on disk.

    Args:
        path: of the folder, which `create` made.

    Attributes:
        settings: of the run.
        inputs: what of an observation the policy sees.
        layout: of the actions.
        replay: folder of the store of its own experience.
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
        except FileNotFoundError:
            raise ConfigError(f"{self.path} is no run: it has no config.json") from None
        except ValueError as error:
            raise LearningError(f"{self.path / 'config.json'} is damaged: {error}; restore it") from None
        if config.get("format") != VERSION:
            raise ConfigError(f"{self.path} has format {config.get('format')}, this version reads {VERSION}")
        self.settings = RunSettings.from_json(config["settings"])
        self.inputs = Inputs(config["state"], {key: tuple(v) for key, v in config["cameras"].items()})
        self.layout = tuple(
            ArmAction(prefix, start, gripper, tuple(axes))
            for prefix, start, gripper, axes in config["layout"]
        )
        self.replay, self.demonstrations = self.path / "replay", self.path / "demonstrations"
        self.features, self.policy = self.path / "features", self.path / "policy.safetensors"
        self.learner_log = self.path / "learner.jsonl"
        self.features.mkdir(exist_ok=True)

    @classmethod
    def create(cls, path: str | Path, settings: RunSettings, demonstrations: Path | None) -> RunFolder:
        """A new run, with a copy of its demonstrations.

        Raises:
            ConfigError: something is there already, or there are no demonstrations where the run
                has some.
            RecordingError: the demonstrations are damaged.
        """
        path = Path(path)
        inputs, layout = _seen_and_done(settings)
        if (path / "config.json").exists():
            raise ConfigError(f"{path} holds a run already; resume it, or give another folder")
        if path.exists() and any(path.iterdir()):
            raise ConfigError(f"{path} is not empty; give another folder")
        if settings.demonstrations:
            if demonstrations is None:
                raise ConfigError(
                    "no demonstrations: record some with `hilserl record`, and give their folder"
                )
            store = EpisodeStore(demonstrations)
            inputs.check_store(store.schema, str(demonstrations))
            if len(store) == 0:
                raise ConfigError(f"{demonstrations} holds no episode that is kept; record some")
            path.mkdir(parents=True, exist_ok=True)
            unfinished = path / "demonstrations.tmp"
            shutil.copytree(demonstrations, unfinished, ignore=shutil.ignore_patterns("lock"))
            unfinished.rename(path / "demonstrations")
        path.mkdir(parents=True, exist_ok=True)
        config = {
            "format": VERSION,
            "settings": settings.to_json(),
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
        folder = self.path / "sides" / side
        folder.mkdir(parents=True, exist_ok=True)
        return lock(folder)

    def seconds(self) -> float:
        """Wall-clock time that the run took up to its last checkpoint [s]."""
        path = self.checkpoint()
        return load_tensors(path)[1]["seconds"] if path.exists() else 0.0

    def describe(self) -> str:
        """What it is and what it needs, in lines for people."""
        settings, frames = self.settings, {}
        lines = [f"{settings.task}, {settings.algorithm} from {settings.obs}, in {self.path}"]
        if settings.demonstrations:
            demonstrations = EpisodeStore(self.demonstrations)
            steps = len(demonstrations.transitions())
            lines.append(f"demonstrations: {len(demonstrations)} episodes, {steps} steps")
        if settings.obs == "pixels":
            encoder = settings.make_encoder()
            frames = {key: encoder.feature_shape(*shape[:2]) for key, shape in self.inputs.cameras.items()}
        row = settings.crops * sum(c * (h * w + 2) for c, h, w in frames.values())
        free = shutil.disk_usage(self.path).free
        lines.append(
            f"disk: up to {settings.replay_capacity * row / 1e9:.1f} GB of features (the newest "
            f"{settings.replay_capacity} frames), and the recording; {free / 1e9:.0f} GB are free"
        )
        numbers = 4 * (self.inputs.state_size + 16) * settings.replay_capacity
        lines.append(f"memory: about {0.6 + 2 * numbers / 1e9:.1f} GB for both sides")
        return "\n".join(lines)

    def log(self, values: Mapping[str, Any]) -> None:
        """Append a line of the learner's metrics."""
        with open(self.learner_log, "ab+") as file:
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


def _seen_and_done(settings: RunSettings) -> tuple[Inputs, tuple[ArmAction, ...]]:
    """What the run's policy sees, and the layout of its actions; told by the twin, on any robot."""
    env = settings.make_env(watched=False, robot="twin")
    try:
        return Inputs.of_env(env), env.get_wrapper_attr("action_layout")
    finally:
        env.close()


def write_atomically(path: Path, content: bytes, durable: bool = True) -> None:
    """Replace a file so that at any instant the old or the new one is whole.

    Args:
        path: of the file.
        content: of it.
        durable: wait until it is on the disk.

    Raises:
        LearningError: no room, or not allowed; the old file is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if durable:
            folder = os.open(path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise LearningError(
            f"cannot write {path}: {error.strerror}; what was there stays. Make room and resume the run"
        ) from error


def save_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], meta: Mapping[str, Any], durable: bool = True
) -> None:
    """Tensors and plain values as a safetensors file, replaced atomically.

    Raises:
        LearningError: see `write_atomically`.
    """
    from safetensors.torch import save

    content = save(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        {"json": json.dumps(dict(meta))},
    )
    write_atomically(path, content, durable)


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What `save_tensors` wrote.

    Raises:
        ConfigError: there is no such file.
        LearningError: it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            meta = json.loads((file.metadata() or {})["json"])
            return {name: file.get_tensor(name) for name in file.keys()}, meta  # noqa: SIM118
    except FileNotFoundError:
        raise ConfigError(f"{path} is not there (yet)") from None
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise LearningError(f"{path} is damaged: {error}") from error
