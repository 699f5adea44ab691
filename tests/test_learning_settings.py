"""The agent's settings: the paper's values by default, and nothing that makes no sense."""

import dataclasses

import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.learning.settings import PRESETS, AgentSettings


def test_the_defaults_are_those_of_the_papers_code():
    paper = PRESETS["paper"]
    assert paper == AgentSettings()
    assert (paper.learning_rate, paper.discount, paper.batch_size, paper.cta_ratio) == (3e-4, 0.97, 256, 2)
    assert (paper.soft_target_update_rate, paper.temperature_init) == (0.005, 1e-2)
    assert (paper.critic_ensemble_size, paper.critic_subsample_size, paper.backup_entropy) == (2, 2, False)
    assert (paper.target_entropy_scale, paper.std_min, paper.std_max) == (0.5, 1e-5, 5.0)
    assert (paper.hidden_dims, paper.activation, paper.proprioception_dim) == ((256, 256), "tanh", 64)
    assert (paper.spatial_features, paper.bottleneck_dim, paper.dropout) == (8, 256, 0.1)
    assert (paper.bc_hidden_dims, paper.bc_dropout, paper.imitation) == ((512, 512, 512), 0.25, 0.0)


def test_presets_are_settings_by_name():
    assert set(PRESETS) == {"paper", "fast"} and PRESETS["fast"] != PRESETS["paper"]


def test_widths_may_come_as_a_list():
    assert AgentSettings(hidden_dims=[8, 4]).hidden_dims == (8, 4)
    assert AgentSettings(hidden_dims=[8, 4]) == AgentSettings(hidden_dims=(8, 4))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"discount": 1.5}, r"discount = 1.5 is outside \[0, 1\]"),
        ({"discount": "much"}, "discount must be a number"),
        ({"batch_size": 8.0}, "batch_size is a whole number"),
        ({"learning_rat": 1e-3}, "did you mean 'learning_rate'"),
        ({"activation": "rely"}, "did you mean 'relu'"),
        ({"hidden_dims": ()}, "hidden_dims are widths of layers"),
        ({"hidden_dims": 64}, "hidden_dims are widths of layers, got 64"),
        ({"bc_hidden_dims": (64, 0)}, "bc_hidden_dims are widths of layers"),
        ({"clip_targets": True, "backup_entropy": True}, "cuts off the entropy.*switch one of them off"),
        ({"critic_ensemble_size": 2, "critic_subsample_size": 3}, "above the 2 critics"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        AgentSettings(**wrong)


def test_one_can_be_changed_and_the_rest_stays():
    changed = dataclasses.replace(PRESETS["fast"], discount=0.98)
    assert changed.discount == 0.98 and changed.learning_rate == PRESETS["fast"].learning_rate
