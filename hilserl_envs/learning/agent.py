"""What all agents share: optimisers, random numbers, and their state as named tensors."""

from __future__ import annotations

import contextlib
import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from hilserl_envs.errors import LearningError
from hilserl_envs.learning.batch import Batch, Observations
from hilserl_envs.learning.extra import torch
from hilserl_envs.learning.fresh_crops import FreshCrops
from hilserl_envs.learning.networks import ObservationNetwork, PolicyNetwork
from hilserl_envs.learning.returns import Returns
from hilserl_envs.learning.settings import AgentSettings

nn = torch.nn
AVERAGE = "average"  # name of the module


class Agent(ABC):
    """Something that learns a policy from batches.

    A subclass sets `policy`, `modules` and `parameters`, adds its optimisers, and implements
    `update`.

    Attributes:
        settings: of the agent.
        policy: what acts.
        modules, parameters: everything that is learned, by name.
        published: names of the modules that an actor needs.
        returns: what the rewards seen so far allow; None where nothing is known of them.
        fresh_crops: makes the images of batches into what the networks take; None where batches
            hold features.
        updates: made so far.
    """

    policy: PolicyNetwork
    modules: dict[str, nn.Module]
    published: tuple[str, ...] = ("policy",)
    parameters: dict[str, nn.Parameter]
    fresh_crops: FreshCrops | None = None
    returns: Returns | None = None

    def __init__(self, settings: AgentSettings, seed: int, device: torch.device | str):
        self.settings, self.device, self.updates = settings, torch.device(device), 0
        self._seed = seed
        self.generator = torch.Generator(self.device).manual_seed(seed)
        self._optimizers: dict[str, torch.optim.Adam] = {}

    @abstractmethod
    def update(self, batches: Sequence[Batch]) -> dict[str, float]:
        """Learn from `cta_ratio` batches; returns metrics.

        Raises:
            LearningError: a loss is not finite.
        """

    @staticmethod
    @contextlib.contextmanager
    def seeded(seed: int) -> Iterator[None]:
        """PyTorch's own random numbers start from a seed in here, and are as before after it."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield

    def normalise(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """The states that will be seen have about this mean and deviation (S,)."""
        for module in self.modules.values():
            for part in module.modules():
                if isinstance(part, ObservationNetwork):
                    part.normalise(mean, deviation)

    def noise(self, shape: Sequence[int]) -> torch.Tensor:
        """Standard normal numbers."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def see(self, observations: Observations) -> Observations:
        """Observations of a batch as the networks take them."""
        return observations if self.fresh_crops is None else self.fresh_crops(observations, self.generator)

    def add_average(self) -> None:
        """Keep an average over the policy's weights (Polyak and Juditsky, 1992), if it is to have one.

        The policy itself follows every batch: of two that are a hundred updates apart one may
        do well and the other badly. What is evaluated in the end is the average.
        """
        if self.settings.policy_average_rate < 1:
            self.modules[AVERAGE] = copy.deepcopy(self.policy).requires_grad_(False)

    @torch.no_grad()
    def finish_update(self) -> None:
        """Count an update, and take its policy into the average."""
        self.updates += 1
        if AVERAGE in self.modules:
            # A plain mean at first: how it began is soon forgotten.
            rate = max(self.settings.policy_average_rate, 1 / self.updates)
            average, newest = self.modules[AVERAGE].parameters(), self.policy.parameters()
            torch._foreach_lerp_(list(average), list(newest), rate)

    def add_optimizer(self, name: str, parameters: Iterable[nn.Parameter]) -> None:
        """Adam over these."""
        self._optimizers[name] = torch.optim.Adam(
            list(parameters), lr=self.settings.learning_rate, fused=True
        )

    def step(self, name: str, losses: Mapping[str, torch.Tensor], batch: Batch | None = None) -> None:
        """Go down the sum of some losses, in one optimiser's parameters and no others.

        Raises:
            LearningError: a loss is not finite; nothing was changed.
        """
        loss = sum(losses.values())
        if not torch.isfinite(loss):
            wrong = {key: value.item() for key, value in losses.items() if not torch.isfinite(value)}
            raise LearningError(
                f"update {self.updates + 1}: {wrong}{'' if batch is None else _what_is_wrong(batch)}. The "
                "weights of the last checkpoint are good; a smaller one may go on from there: --resume --set "
                f"learning_rate={self.settings.learning_rate / 3:.1g}"
            )
        optimizer = self._optimizers[name]
        parameters = optimizer.param_groups[0]["params"]
        gradients = torch.autograd.grad(loss, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            # A convolution's comes channels last, and Adam's fused kernel goes by memory, not by place.
            parameter.grad = gradient.contiguous()
        optimizer.step()

    @staticmethod
    def figures(values: Mapping[str, torch.Tensor]) -> dict[str, float]:
        """As plain numbers, fetched from the device at once."""
        stacked = torch.stack([value.detach().float() for value in values.values()])
        return dict(zip(values, stacked.tolist(), strict=True))

    def state(self) -> dict[str, torch.Tensor]:
        """Everything that `load_state` needs to go on as if nothing had happened, by name."""
        tensors = self._module_tensors(self.modules)
        tensors |= {name: parameter.detach() for name, parameter in self.parameters.items()}
        for name, optimizer in self._optimizers.items():
            for index, values in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{name}.{index}.{key}": value for key, value in values.items()}
        tensors["generator"] = self.generator.get_state()
        tensors["updates"] = torch.tensor(self.updates)
        return tensors

    def published_state(self) -> dict[str, torch.Tensor]:
        """What an actor needs."""
        return self._module_tensors(self.published)

    def load_published(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Act as the agent did whose `published_state`, or whole `state`, this is.

        Raises:
            LearningError: it is another agent's.
        """
        try:
            for name in self.published:
                self.modules[name].load_state_dict(under(f"{name}.", tensors))
        except RuntimeError as error:
            raise LearningError(f"these are another agent's weights: {str(error).splitlines()[0]}") from error

    def value(self, latent: torch.Tensor, actions: torch.Tensor) -> torch.Tensor | None:
        """What actions (N, A) are worth, (N,); None for an agent that has no opinion."""
        return None

    def _module_tensors(self, names: Iterable[str]) -> dict[str, torch.Tensor]:
        return {
            f"{name}.{key}": value for name in names for key, value in self.modules[name].state_dict().items()
        }

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Be as the agent was whose `state` this is.

        Raises:
            LearningError: it is another agent's.
        """
        try:
            for name, module in self.modules.items():
                module.load_state_dict(under(f"{name}.", tensors))
            with torch.no_grad():
                for name, parameter in self.parameters.items():
                    parameter.copy_(tensors[name])
            for name, optimizer in self._optimizers.items():
                values: dict[int, dict[str, torch.Tensor]] = {}
                for key, value in under(f"optimizer.{name}.", tensors).items():
                    index, _, what = key.partition(".")
                    values.setdefault(int(index), {})[what] = value.clone()
                optimizer.load_state_dict({**optimizer.state_dict(), "state": values})
            self.updates = int(tensors["updates"])
            self._go_on_drawing(tensors["generator"].cpu())
        except torch.OutOfMemoryError:
            raise
        except (KeyError, RuntimeError, ValueError) as error:
            raise LearningError(
                f"this is the state of another agent: {str(error).splitlines()[0]}; give the settings it had"
            ) from error

    def _go_on_drawing(self, state: torch.Tensor) -> None:
        """Random numbers from where they were; on another kind of device, where they are others, anew."""
        if state.shape == self.generator.get_state().shape:
            self.generator.set_state(state)
        else:
            seeds = np.random.SeedSequence([self._seed, self.updates])
            self.generator.manual_seed(int(seeds.generate_state(1)[0]))


def under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Those whose names begin so, by the rest of their names."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _what_is_wrong(batch: Batch) -> str:
    """Which transitions of a batch hold something that is not finite."""
    rows = ~torch.isfinite(batch.rewards + batch.actions.sum(-1))
    rows |= ~torch.isfinite(batch.observations.state.sum(-1) + batch.next_observations.state.sum(-1))
    bad = rows.nonzero().flatten().tolist()
    return f", from a batch in which the transitions {bad[:10]} are not finite" if bad else ""
