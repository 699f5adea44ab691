"""The agent's settings, by the names of the paper and its code, and two sets of values for them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from hilserl_envs.errors import ConfigError, check_fields, check_name, checked_names, ranged

ACTIVATIONS = ("tanh", "relu")


@checked_names
@dataclass(frozen=True)
class AgentSettings:
    """What the agent is, and how it learns. The defaults are the paper's code's.

    Args:
        discount: of the reward, per step.
        batch_size: transitions of one update, half of them demonstrations and interventions.
        learning_rate: of Adam, for all parts.
        cta_ratio: critic updates to one actor update.
        soft_target_update_rate: share of the critic that moves into its target per update.
        critic_ensemble_size: critics.
        critic_subsample_size: of them, drawn anew for each target, whose least value counts.
        backup_entropy: whether targets hold the entropy bonus.
        temperature_init: of the entropy bonus.
        target_entropy_scale: the entropy aimed at is minus this, times the numbers of an action.
        std_min, std_max: of the policy, before tanh.
        std_init: about what it starts with.
        hidden_dims: widths of the layers of actor and critics.
        activation: "tanh" or "relu"; each follows a LayerNorm.
        proprioception_dim: width of the embedded state.
        spatial_features: learned embeddings of each channel's map (8 in the paper).
        bottleneck_dim: width of what remains of an image.
        dropout: of the embedded images, while the critic learns.
        cnn_channels: of the layers of a CNN that is trained end to end, see `CNN`.
        clip_targets: keep the critics' targets to the returns that the rewards seen so far allow
            (see `Returns`); not in the paper.
        policy_average_rate: share of the newest in the average over the policy's weights, which is
            what is evaluated; 1 evaluates the newest (the paper's).
        imitation: weight of the squared distance to the actions of demonstrations and
            interventions in the policy's loss (0 in the paper).
        gripper_margin: by which, where there is `imitation`, a gripper command of a demonstration
            or an intervention shall be worth more than any other.
        gripper_penalty: for every opening and closing, in the gripper critic's reward.
        bc_hidden_dims, bc_dropout: of behaviour cloning's policy.

    Raises:
        ConfigError: a value out of range.
    """

    discount: float = ranged(0.97, 0.0, 1.0)
    batch_size: int = ranged(256, 2, 65_536)
    learning_rate: float = ranged(3e-4, 1e-7, 1.0)
    cta_ratio: int = ranged(2, 1, 100)
    soft_target_update_rate: float = ranged(0.005, 0.0, 1.0)
    critic_ensemble_size: int = ranged(2, 1, 100)
    critic_subsample_size: int = ranged(2, 1, 100)
    backup_entropy: bool = False
    temperature_init: float = ranged(1e-2, 1e-8, 100.0)
    target_entropy_scale: float = ranged(0.5, 0.0, 10.0)
    std_min: float = ranged(1e-5, 1e-8, 1.0)
    std_max: float = ranged(5.0, 1e-3, 100.0)
    std_init: float = ranged(1.0, 1e-3, 5.0)
    hidden_dims: tuple[int, ...] = field(default_factory=lambda: (256, 256))
    activation: str = "tanh"
    proprioception_dim: int = ranged(64, 1, 10_000)
    spatial_features: int = ranged(8, 1, 1000)
    bottleneck_dim: int = ranged(256, 1, 10_000)
    dropout: float = ranged(0.1, 0.0, 0.9)
    cnn_channels: tuple[int, ...] = field(default_factory=lambda: (32, 64, 128))
    clip_targets: bool = False
    policy_average_rate: float = ranged(1.0, 1e-6, 1.0)
    imitation: float = ranged(0.0, 0.0, 1000.0)
    gripper_margin: float = ranged(0.05, 0.0, 10.0)
    gripper_penalty: float = ranged(-0.02, -1.0, 0.0)
    bc_hidden_dims: tuple[int, ...] = field(default_factory=lambda: (512, 512, 512))
    bc_dropout: float = ranged(0.25, 0.0, 0.9)

    def __post_init__(self) -> None:
        check_fields(self)
        for name in _WHOLE:
            if type(getattr(self, name)) is not int:
                raise ConfigError(f"AgentSettings.{name} is a whole number, got {getattr(self, name)!r}")
        for name in ("hidden_dims", "bc_hidden_dims", "cnn_channels"):
            widths = getattr(self, name)
            listed = isinstance(widths, list | tuple) and len(widths) > 0
            if not listed or not all(type(width) is int and width > 0 for width in widths):
                raise ConfigError(f"AgentSettings.{name} are widths of layers, got {widths!r}")
            object.__setattr__(self, name, tuple(widths))
        check_name(self.activation, ACTIVATIONS, "AgentSettings.activation")
        if self.clip_targets and self.backup_entropy:
            raise ConfigError(
                "AgentSettings.clip_targets keeps targets to what rewards allow, and so cuts off the entropy "
                "that backup_entropy adds; switch one of them off"
            )
        if self.critic_subsample_size > self.critic_ensemble_size:
            raise ConfigError(
                f"AgentSettings.critic_subsample_size {self.critic_subsample_size} is above the "
                f"{self.critic_ensemble_size} critics of critic_ensemble_size"
            )


_WHOLE = [f.name for f in dataclasses.fields(AgentSettings) if type(f.default) is int]
# What trials on the twin found quicker; see docs/results.md.
PRESETS = {
    "paper": AgentSettings(),
    "fast": AgentSettings(
        learning_rate=1e-3,
        activation="relu",
        batch_size=128,
        soft_target_update_rate=0.02,
        # At first the critics know nothing, and a policy follows the bonus for entropy alone.
        temperature_init=1e-4,
        target_entropy_scale=1.0,
        std_init=0.2,
        clip_targets=True,
        policy_average_rate=0.002,
        imitation=1.0,
    ),
}
