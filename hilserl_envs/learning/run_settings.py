"""What a run is: task, environment, agent, pace; saved with it as JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import gymnasium

from hilserl_envs.errors import ConfigError, check_fields, check_name, checked_names, ranged
from hilserl_envs.learning.settings import PRESETS, AgentSettings
from hilserl_envs.stack import PERSON
from hilserl_envs.teleop import DEVICES, Device, device_class

if TYPE_CHECKING:
    from hilserl_envs.learning.encoder import ImageEncoder

ALGORITHMS = ("sac", "bc", "hg-dagger")
OBSERVATIONS = ("pixels", "state")
# What a run may take up on its way; by all else what it has learned or stored would be another's.
CHANGEABLE = (
    "learning_rate", "batch_size", "steps_per_publish", "checkpoint_seconds", "checkpoint_episodes",
    "max_lead", "renew_crops",
)  # fmt: skip
# Of the run, what the agent's presets of these names bring along.
RUN_PRESETS = {"paper": {"steps_per_publish": 50, "replay_capacity": 200_000}, "fast": {}}
NO_ENCODER = "none"  # a frozen one: a CNN is trained in its place


@checked_names
@dataclass(frozen=True)
class RunSettings:
    """Everything that decides how a run goes, but for chance outside of the twin.

    Args:
        task: see `env_id`.
        algorithm: "sac"; "bc", which imitates the demonstrations and never acts; or
            "hg-dagger", which imitates corrections too, as they come.
        obs: "pixels", or "state": the twin's object poses and no images.
        agent: see `AgentSettings`.
        env: further arguments of `make_env` (frame, gripper, axes, robot...).
        device: by which a person takes over; None for nobody, unless `overseer` is given.
        wait: whether an episode begins with the person's first motion, who may have to put things
            back; else right after the reset.
        overseer: settings of the scripted overseer, {} for its defaults.
        demonstrations: whether the run has any.
        interventions: False leaves nobody to take over, and uses no recorded takeovers.
        encoder, encoder_weights, encoder_dtype: of the images, see `make_encoder`. "none" trains a
            small CNN end to end, in that type: for a GPU, and always from fresh crops.
        fresh_crops: crop and encode images anew for every update, for a GPU, in place of storing
            the features of a few crops. The disk then holds the frames themselves.
        crops: of each frame, whose features are stored.
        renew_crops: whether the learner, while it has nothing else to do, replaces these one frame
            after the other (not in a run in one process, which shall be the same each time).
        replay_capacity: the newest frames that are learned from.
        training_starts: transitions before the first update.
        utd_ratio: critic updates to one step of the environment. The learner makes no more,
            and the twin's actor waits for it; a real robot never waits.
        steps_per_publish: updates between two publications of the policy.
        checkpoint_seconds: between two checkpoints of an asynchronous run.
        checkpoint_episodes: the same for a run in one process.
        max_lead: steps that the twin's actor may be ahead of the learner.
        seed: of everything random.

    Raises:
        ConfigError: a value out of range, or settings that contradict each other.
    """

    task: str = ""
    algorithm: str = "sac"
    obs: str = "pixels"
    agent: AgentSettings = field(default_factory=lambda: PRESETS["fast"])
    env: Mapping[str, Any] = field(default_factory=dict)
    device: str | None = None
    wait: bool = False
    overseer: Mapping[str, Any] | None = None
    demonstrations: bool = True
    interventions: bool = True
    encoder: str = "efficientnet-lite0"
    encoder_weights: str | None = None
    encoder_dtype: str = "float32"
    fresh_crops: bool = False
    crops: int = ranged(4, 1, 64)
    renew_crops: bool = True
    replay_capacity: int = ranged(100_000, 1000, 10_000_000)
    training_starts: int = ranged(100, 1, 1_000_000)
    utd_ratio: float = ranged(4.0, 0.01, 1000.0)
    steps_per_publish: int = ranged(10, 1, 100_000)
    checkpoint_seconds: float = ranged(60.0, 0.1, 86_400.0)
    checkpoint_episodes: int = ranged(10, 1, 100_000)
    max_lead: int = ranged(50, 1, 1_000_000)
    seed: int = ranged(0, 0, 2**31)

    def __post_init__(self) -> None:
        check_fields(self)
        check_name(self.algorithm, ALGORITHMS, "algorithm")
        check_name(self.obs, OBSERVATIONS, "obs")
        for f in dataclasses.fields(self):
            if type(f.default) is int and type(getattr(self, f.name)) is not int:
                raise ConfigError(f"RunSettings.{f.name} is a whole number, got {getattr(self, f.name)!r}")
            if type(f.default) is bool and type(getattr(self, f.name)) is not bool:
                raise ConfigError(f"RunSettings.{f.name} is true or false, got {getattr(self, f.name)!r}")
        for name, kind in (("env", Mapping), ("overseer", Mapping | None), ("device", str | None)):
            if not isinstance(getattr(self, name), kind):
                what = "a name" if name == "device" else "settings by name"
                raise ConfigError(f"RunSettings.{name} is {what}, got {getattr(self, name)!r}")
        if self.device is not None:
            check_name(self.device.partition(":")[0], DEVICES, "device")
        if not self.interventions and (self.device is not None or self.overseer is not None):
            raise ConfigError("a run without interventions has neither device nor overseer; leave them out")
        if self.algorithm != "sac" and not self.demonstrations:
            raise ConfigError(f"{self.algorithm!r} imitates demonstrations; it cannot be without any")
        if self.algorithm == "hg-dagger" and self.device is None and self.overseer is None:
            raise ConfigError("'hg-dagger' needs somebody who corrects: give a device or an overseer")
        if self.obs == "state" and (self.fresh_crops or self.encoder == NO_ENCODER):
            name = "encoder='none'" if self.encoder == NO_ENCODER else "fresh_crops"
            raise ConfigError(f"{name} is about images, and obs='state' has none; leave one out")
        if self.obs == "state" and (robot := self.env.get("robot", "twin")) != "twin":
            raise ConfigError(f"obs='state' holds what only the twin knows, and robot is {robot!r}")
        if self.env.get("reward") == PERSON and not self.with_person:
            raise ConfigError("reward 'person': nobody is there to say so; give the person's device")
        if self.wait and not self.with_person:
            raise ConfigError("wait is for a person, and there is none: give their device, or leave it out")
        if "intervention" in self.env and self.device is None:
            raise ConfigError(
                f"how a person takes over, {self.env['intervention']}, needs a device; give one"
            )
        if self.encoder == NO_ENCODER and self.encoder_weights is not None:
            raise ConfigError(
                f"a CNN that is trained end to end starts from no weights, got {self.encoder_weights!r}; "
                "leave out encoder_weights, or name the encoder that they are of"
            )

    def is_of(self, task: str) -> bool:
        """Whether the run is of that task."""
        from hilserl_envs.tasks import env_id

        return env_id(task) == env_id(self.task)

    @property
    def acts(self) -> bool:
        """Whether the run has an actor."""
        return self.algorithm != "bc"

    @property
    def cached_frames(self) -> int:
        """Frames that there is room for features of: between those used lie some that are not."""
        return self.replay_capacity * 5 // 4

    @property
    def crops_at_update(self) -> bool:
        """Whether images are cropped when they are drawn, or else features of crops were stored."""
        return self.fresh_crops or self.encoder == NO_ENCODER

    @property
    def with_person(self) -> bool:
        """Whether a person, who acts in real time, may take over."""
        return _is_persons(self.device)

    @property
    def patient(self) -> bool:
        """Whether its actor may wait: neither a robot in the world can, nor a person, but the twin."""
        return self.env.get("robot", "twin") == "twin" and not self.with_person

    def make_env(self, watched: bool = True, **arguments: Any) -> gymnasium.Env:
        """The run's environment: the standard stack, its state addressed by key.

        Args:
            watched: with whoever takes over. Else the task judges where a person did.
            arguments: of `make_env`, such as render_mode.
        """
        from hilserl_envs.stack import make_env

        env = dict(self.env)
        if watched and self.overseer is not None:
            env |= {"overseer": dict(self.overseer)}
        if watched and self.device is not None:
            env |= {"device": self.device}
        if not watched:
            env.pop("intervention", None)
            if env.get("reward") == PERSON and not _is_persons(arguments.get("device")):
                del env["reward"]  # nobody is there to ask
        return make_env(self.task, **{"obs": self.obs, "flatten": False, **env, **arguments})

    def with_files(self, place: Callable[[str, str], str]) -> RunSettings:
        """With the files that they name in other places.

        Args:
            place: answers a file's new path, given what it is ("encoder_weights" or
                "reward_classifier") and its path.
        """
        moved = self
        if self.encoder_weights is not None:
            weights = place("encoder_weights", self.encoder_weights)
            moved = dataclasses.replace(moved, encoder_weights=weights)
        reward = self.env.get("reward")
        settings = {"classifier": reward} if isinstance(reward, str) and reward != PERSON else reward
        if isinstance(settings, Mapping) and isinstance(settings.get("classifier"), str):
            settings = {**settings, "classifier": place("reward_classifier", settings["classifier"])}
            moved = dataclasses.replace(moved, env={**self.env, "reward": settings})
        return moved

    def make_encoder(self, device: str = "cpu") -> ImageEncoder | None:
        """The frozen encoder of the images; None where there are none, or none is used.

        Raises:
            ConfigError: see `make_encoder`.
        """
        from hilserl_envs.learning.encoder import DTYPES, ENCODERS, make_encoder

        if self.obs == "state":
            return None
        check_name(self.encoder, (*ENCODERS, NO_ENCODER), "image encoder")
        if self.encoder == NO_ENCODER:
            check_name(self.encoder_dtype, DTYPES, "encoder dtype")
            return None
        return make_encoder(
            self.encoder, weights=self.encoder_weights, device=device, dtype=self.encoder_dtype
        )

    def to_json(self) -> dict[str, Any]:
        """As plain dictionaries and lists."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> RunSettings:
        """The settings that `to_json` wrote.

        Raises:
            ConfigError: it did not, or another version did.
        """
        agent = dict(values["agent"])
        agent |= {name: tuple(agent[name]) for name in ("hidden_dims", "bc_hidden_dims")}
        return cls(**{**values, "agent": AgentSettings(**agent)})


def _is_persons(device: str | Device | None) -> bool:
    """Whether a device is a person's, who acts in real time."""
    if device is None:
        return False
    return (device if isinstance(device, Device) else device_class(device.partition(":")[0])).real_time


def with_changes(
    settings: RunSettings, changes: Sequence[str], changeable: Sequence[str] | None = None
) -> RunSettings:
    """The settings with single ones changed, of the run or of its agent: "discount=0.98".

    Args:
        settings: as they are.
        changes: NAME=VALUE of each.
        changeable: the only ones that may; None lets all.

    Raises:
        ConfigError: an unknown name, one that may not change, or a value that does not fit.
    """
    agent = {f.name for f in dataclasses.fields(AgentSettings)}
    own = {f.name for f in dataclasses.fields(RunSettings)} - {"agent"}
    of_run, of_agent = {}, {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise ConfigError(f"a change is NAME=VALUE, such as discount=0.98; got {change!r}")
        check_name(name, sorted(own | agent), "setting")
        if changeable is not None and name not in changeable:
            raise ConfigError(
                f"a run that has begun keeps its {name}; what can still be set: {', '.join(changeable)}"
            )
        try:
            value = json.loads(text)
        except ValueError:
            value = text  # a name
        if name == "env" and isinstance(value, Mapping):
            value = {**of_run.get("env", settings.env), **value}
        (of_agent if name in agent else of_run)[name] = value
    return dataclasses.replace(settings, agent=dataclasses.replace(settings.agent, **of_agent), **of_run)
