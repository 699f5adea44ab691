"""Behaviour cloning on the agent's networks; with corrections as they come it is HG-DAgger.

HG-DAgger: Kelly et al., "HG-DAgger: Interactive Imitation Learning with Human Experts" (ICRA 2019).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hilserl_envs.learning.agent import Agent
from hilserl_envs.learning.batch import Batch
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.networks import PolicyNetwork
from hilserl_envs.learning.settings import AgentSettings

functional = torch.nn.functional


class BehaviourCloning(Agent):
    """Imitates the actions of demonstrations and interventions.

    The mean of the policy comes near them (squared error, after tanh); gripper commands are
    classified. The policy's deviation is not learned: it acts without noise.

    Args:
        state_size, maps, actions, grippers, settings, seed, device, cnn: as of `SAC`.
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
        hidden, dropout = settings.bc_hidden_dims, settings.bc_dropout
        with self.seeded(seed):
            policy = PolicyNetwork(state_size, maps, actions, grippers, settings, hidden, dropout, cnn)
        self.policy = policy.to(self.device)
        self.policy.gaussian.log_std.requires_grad_(False)
        self.modules, self.parameters = {"policy": self.policy}, {}
        self.add_average()
        self.add_optimizer("policy", [p for p in self.policy.parameters() if p.requires_grad])

    def update(self, batches: Sequence[Batch]) -> dict[str, float]:
        """One step on every batch; returns metrics.

        Raises:
            LearningError: a loss is not finite; nothing was changed by that batch.
        """
        for batch in batches:
            latent = self.policy.observation(self.see(batch.observations), self.generator)
            mean, _ = self.policy.gaussian(latent, self.generator)
            losses = {"bc_loss": ((torch.tanh(mean) - batch.actions) ** 2).mean()}
            if self.policy.gripper is not None:
                logits = self.policy.gripper(latent, self.generator)
                losses["gripper_loss"] = functional.cross_entropy(logits, batch.grippers)
            self.step("policy", losses, batch)
        self.finish_update()
        return self.figures(losses)
