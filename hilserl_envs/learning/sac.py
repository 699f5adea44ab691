"""SAC from demonstrations and experience (RLPD), with a discrete critic for grippers.

Sources: Haarnoja et al., "Soft Actor-Critic Algorithms and Applications" (2018); Ball et al.,
"Efficient Online Reinforcement Learning with Offline Data" (ICML 2023); Luo et al., "Precise and
Dexterous Robotic Manipulation via Human-in-the-Loop Reinforcement Learning" (2024) and its code.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence

from hilserl_envs.learning.agent import Agent
from hilserl_envs.learning.batch import Batch
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.networks import Critics, PolicyNetwork, sample_tanh
from hilserl_envs.learning.settings import AgentSettings

nn, functional = torch.nn, torch.nn.functional


class SAC(Agent):
    """The agent: policy, critics, their targets, temperature, optimisers.

    The heads on the images and on the state, and a CNN where there is one, learn with the critics;
    the policy takes what they give. Gripper commands have a critic of their own (double DQN,
    greedy), which gets the reward plus the penalty of the command.

    Args:
        state_size, maps, cnn: of the observations, see `ObservationNetwork`.
        actions: continuous numbers of an action.
        grippers: how many; a task without any lacks the gripper critic.
        settings: see `AgentSettings`.
        seed: of weights, noise and dropout.
        device: of all tensors.
    """

    def __init__(
        self,
        state_size: int,
        maps: Mapping[str, tuple[int, int, int]],
        actions: int,
        grippers: int,
        settings: AgentSettings,
        seed: int = 0,
        device: torch.device | str = "cpu",
        cnn: torch.dtype | None = None,
    ):
        super().__init__(settings, seed, device)
        with self.seeded(seed):
            policy = PolicyNetwork(state_size, maps, actions, grippers, settings, cnn=cnn)
            critics = Critics(policy.observation.width, actions, settings)
        self.policy, self.critics = policy.to(self.device), critics.to(self.device)
        learned = [self.policy.observation, self.critics]
        learned += [self.policy.gripper] if grippers else []
        self._learned = nn.ModuleList(learned)
        self._targets = copy.deepcopy(self._learned).requires_grad_(False)
        # softplus(raw) is the temperature.
        raw = math.log(math.expm1(settings.temperature_init))
        self._raw_temperature = nn.Parameter(torch.tensor(raw, device=self.device))
        self._target_entropy = -settings.target_entropy_scale * actions
        self.modules = {"policy": self.policy, "critics": self.critics, "targets": self._targets}
        self.add_average()
        self.published = ("policy", "critics")
        self.parameters = {"raw_temperature": self._raw_temperature}
        for name, parameters in (
            ("critic", self._learned.parameters()),
            ("actor", self.policy.gaussian.parameters()),
            ("temperature", [self._raw_temperature]),
        ):
            self.add_optimizer(name, parameters)

    @property
    def temperature(self) -> torch.Tensor:
        """Weight of the entropy."""
        return functional.softplus(self._raw_temperature)

    def update(self, batches: Sequence[Batch]) -> dict[str, float]:
        """The critics on every batch, then policy and temperature on the last; returns metrics.

        Raises:
            LearningError: a loss is not finite; nothing of that part was changed.
        """
        for drawn in batches:
            batch = drawn._replace(
                observations=self.see(drawn.observations),
                next_observations=self.see(drawn.next_observations),
            )
            metrics = self._update_critics(batch)
        metrics |= self._update_actor(batch)
        self.finish_update()
        return metrics

    def value(self, latent: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """The critics' mean value (N,) of actions (N, A), by what the heads made of N observations."""
        return self.critics(latent, actions).mean(0)

    def _update_critics(self, batch: Batch) -> dict[str, float]:
        after = batch.next_observations
        with torch.no_grad():
            latent = self.policy.observation(after)
            mean, deviation = self.policy.gaussian(latent)
            actions, log_density = sample_tanh(mean, deviation, self.noise(mean.shape))
            observe, critics, *gripper = self._targets
            target_latent = observe(after)
            values = critics(target_latent, actions)
            subset = self.settings.critic_subsample_size
            if subset < len(values):
                values = values[
                    torch.randperm(len(values), generator=self.generator, device=self.device)[:subset]
                ]
            value = values.min(0).values
            if self.settings.backup_entropy:
                value = value - self.temperature * log_density
            discounts = self.settings.discount * batch.masks
            target = self._possible(batch.rewards + discounts * value)
            if gripper:
                command = self.policy.gripper(latent).argmax(-1, keepdim=True)
                after_value = gripper[0](target_latent).gather(-1, command).squeeze(-1)
                gripper_target = self._possible(batch.rewards + batch.penalties + discounts * after_value)
        latent = self.policy.observation(batch.observations, self.generator)
        values = self.critics(latent, batch.actions)
        losses = {"critic_loss": ((values - target) ** 2).mean()}
        metrics = {"q": values.mean(), "target_q": target.mean()}
        if gripper:
            every = self.policy.gripper(latent)
            chosen = every.gather(-1, batch.grippers[:, None]).squeeze(-1)
            losses["gripper_loss"] = ((chosen - gripper_target) ** 2).mean()
            metrics["gripper_q"] = chosen.mean()
            if self.settings.imitation:
                losses["gripper_margin_loss"] = (
                    self.settings.imitation
                    * (batch.expert * self._behind(every, chosen, batch.grippers)).mean()
                )
        self.step("critic", losses, batch)
        self._follow()
        return self.figures(losses | metrics)

    def _possible(self, targets: torch.Tensor) -> torch.Tensor:
        """Targets (N,), kept to the returns that there can be."""
        if not self.settings.clip_targets or self.returns is None:
            return targets
        return targets.clamp(*self.returns.bounds(self.settings.discount))

    def _behind(self, every: torch.Tensor, chosen: torch.Tensor, commands: torch.Tensor) -> torch.Tensor:
        """How far (N,) commands are from being the best by a margin (Hester et al., DQfD, 2018)."""
        margins = torch.full_like(every, self.settings.gripper_margin)
        margins.scatter_(-1, commands[:, None], 0.0)
        return (every + margins).max(-1).values - chosen

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the targets."""
        torch._foreach_lerp_(
            list(self._targets.parameters()),
            list(self._learned.parameters()),
            self.settings.soft_target_update_rate,
        )

    def _update_actor(self, batch: Batch) -> dict[str, float]:
        with torch.no_grad():
            latent = self.policy.observation(batch.observations)
        mean, deviation = self.policy.gaussian(latent)
        actions, log_density = sample_tanh(mean, deviation, self.noise(mean.shape))
        entropy = -log_density.mean()
        temperature = self.temperature
        value = self.critics(latent, actions).mean()
        loss = {"actor_loss": -temperature.detach() * entropy - value}
        if self.settings.imitation:
            distance = ((torch.tanh(mean) - batch.actions) ** 2).mean(-1)
            loss["imitation_loss"] = self.settings.imitation * (batch.expert * distance).mean()
        self.step("actor", loss)
        temperature_loss = {"temperature_loss": temperature * (entropy.detach() - self._target_entropy)}
        self.step("temperature", temperature_loss)
        return self.figures(loss | {"entropy": entropy, "temperature": temperature})
