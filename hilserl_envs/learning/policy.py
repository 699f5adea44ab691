"""`LearnedPolicy`: acts in an environment with a network's weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hilserl_envs.learning.batch import ActionParts, Inputs, Observations, unscaled
from hilserl_envs.learning.encoder import ImageEncoder
from hilserl_envs.learning.extra import one_thread, torch
from hilserl_envs.learning.networks import PolicyNetwork, sample_tanh
from hilserl_envs.recording.schema import flatten


class LearnedPolicy:
    """A policy that is called with observations of the environment that it was learned in.

    Args:
        network: its weights; they may change between two calls.
        inputs: what of an observation it sees.
        parts: of its actions.
        encoder: of the images; None where it sees none, or the network takes them as they are.
        sample: draw from the policy's Gaussian, or else take its mean.
        device: of the network.
        critic: from what the network makes of an observation (1, width), and a motion (1, A), to
            a value (1,) or None.

    Attributes:
        value: of the last action, by the critic; None where it has none.
    """

    def __init__(
        self,
        network: PolicyNetwork,
        inputs: Inputs,
        parts: ActionParts,
        encoder: ImageEncoder | None,
        sample: bool = False,
        device: torch.device | str = "cpu",
        critic: Callable[[torch.Tensor, torch.Tensor], torch.Tensor | None] | None = None,
    ):
        self.network, self.inputs, self.parts, self.sample = network, inputs, parts, sample
        self._encoder, self._device = encoder, torch.device(device)
        self._rng = np.random.default_rng()
        self._critic, self.value = critic, None

    def start(self, seed: int) -> None:
        """Begin an episode; `seed` decides on what is drawn in it."""
        self._rng = np.random.default_rng([seed, 4])

    @one_thread()
    @torch.no_grad()
    def __call__(self, observation: Mapping[str, Any]) -> np.ndarray:
        """The action (n,) float32."""
        latent = self.network.observation(self.observe(observation))
        mean, deviation = self.network.gaussian(latent)
        if self.sample:
            noise = torch.from_numpy(self._rng.standard_normal(mean.shape, np.float32))
            motion, _ = sample_tanh(mean, deviation, noise.to(self._device))
        else:
            motion = torch.tanh(mean)
        value = None if self._critic is None else self._critic(latent, motion)
        self.value = None if value is None else float(value)
        command = 0 if self.network.gripper is None else int(self.network.gripper(latent).argmax(-1))
        return self.parts.join(motion[0].cpu().numpy(), command)

    def observe(self, observation: Mapping[str, Any]) -> Observations:
        """What the network sees of one observation, uncropped."""
        state = torch.from_numpy(self.inputs.row(observation))[None].to(self._device)
        parts, cameras = dict(flatten(observation)), self.inputs.cameras
        if self._encoder is None:
            images = {key: torch.tensor(parts[key])[None].to(self._device) for key in cameras}
            return Observations(state, images)
        pictures = [parts[key] for key in cameras]
        if len({picture.shape for picture in pictures}) == 1:
            features = self._encoder(np.stack(pictures)).split(1)
        else:
            features = [self._encoder(picture[None]) for picture in pictures]
        return Observations(
            state,
            {key: unscaled(maps.to(self._device)) for key, maps in zip(cameras, features, strict=True)},
        )
