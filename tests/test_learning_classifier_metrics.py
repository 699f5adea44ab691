"""ROC, area and threshold against their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilserl_envs.errors import ConfigError
from hilserl_envs.evaluation import wilson_interval
from hilserl_envs.learning.classifier_metrics import (
    HIGHEST,
    LOWEST,
    area_under,
    failures_to_tell,
    judge,
    roc,
    suggest_threshold,
)

# Few different probabilities, so that ties are common.
FRAMES = st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=60).filter(
    lambda frames: len({reached for _, reached in frames}) == 2
)


def arrays(frames) -> tuple[np.ndarray, np.ndarray]:
    probabilities, reached = zip(*frames, strict=True)
    return np.array(probabilities, np.float32) / 20, np.array(reached)


def test_the_curve_by_hand():
    false, true = roc(np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, True, False, False]))
    np.testing.assert_allclose(false, [0, 0, 0.5, 1])
    np.testing.assert_allclose(true, [0, 0.5, 1, 1])


@given(FRAMES)
def test_the_area_is_how_often_a_success_is_above_a_failure(frames):
    probabilities, reached = arrays(frames)
    successes, failures = probabilities[reached][:, None], probabilities[~reached]
    expected = (successes > failures).mean() + (successes == failures).mean() / 2
    assert area_under(probabilities, reached) == pytest.approx(expected)


@given(FRAMES, st.sampled_from([0.0, 0.01, 0.1, 0.3]))
def test_the_threshold_keeps_the_rate_and_sees_what_it_can(frames, rate):
    probabilities, reached = arrays(frames)
    threshold = suggest_threshold(probabilities, reached, rate)
    assert LOWEST <= threshold <= HIGHEST
    false, true = ((probabilities[kind] > threshold).sum() for kind in (~reached, reached))
    if LOWEST < threshold < HIGHEST:
        assert false <= rate * (~reached).sum()
        for other in np.arange(-0.5, 21) / 20:
            others_false, others_true = ((probabilities[kind] > other).sum() for kind in (~reached, reached))
            if others_false <= rate * (~reached).sum():
                assert others_true < true or (others_true == true and others_false >= false)


def test_between_the_nearest_frames_the_threshold_keeps_away_from_both():
    reached = np.array([True, True, False, False])
    assert suggest_threshold(np.array([0.99, 0.9, 0.1, 0.01]), reached, 0.0) == pytest.approx(0.5)
    assert suggest_threshold(np.array([0.99, 0.95, 0.9, 0.01]), reached, 0.0) == pytest.approx(
        0.929, abs=1e-3
    )
    # Nothing is gained by the failure that may be above.
    assert suggest_threshold(np.array([0.99, 0.9, 0.1, 0.01]), reached, 0.5) == pytest.approx(0.5)
    assert suggest_threshold(np.array([0.4, 0.3, 0.1, 0.01]), reached, 0.0) == LOWEST
    assert suggest_threshold(np.array([1.0, 1.0, 1.0, 0.01]), reached, 0.0) == HIGHEST


@pytest.mark.parametrize(("reached", "rate"), [([1, 1], 0.1), ([0, 0], 0.1), ([0, 1], 1.0), ([0, 1], -0.1)])
def test_no_threshold_without_both_kinds_and_a_rate(reached, rate):
    with pytest.raises(ConfigError, match="a threshold needs"):
        suggest_threshold(np.array([0.1, 0.9]), np.array(reached, bool), rate)


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.05, 0.3])
def test_how_many_failures_it_takes_to_tell(rate):
    needed = failures_to_tell(rate)
    assert wilson_interval(0, needed)[1] <= rate < wilson_interval(0, needed - 1)[1]


def test_figures_of_a_stage():
    probabilities = np.array([0.9, 0.4, 0.8, 0.7, 0.2, 0.1])
    reached = np.array([1, 1, 0, 0, 0, 0], bool)
    stage = judge("placed", probabilities, reached, np.array([0, 0, 0, 0, 1, 2]), 0.5)
    assert (stage.successes, stage.failures, stage.missed, stage.false_positives) == (2, 4, 1, 2)
    assert (stage.accuracy, stage.recall, stage.false_positive_rate) == (0.5, 0.5, 0.5)
    assert (stage.failure_episodes, stage.false_positive_episodes) == (3, 1)
    assert stage.false_positive_interval == wilson_interval(2, 4) and stage.auc == 0.75


def doubts(successes: int, failures: int, missed: int, false: int, rate: float) -> str:
    probabilities = np.concatenate(
        [
            np.full(missed, 0.1),
            np.full(successes - missed, 0.9),
            np.full(false, 0.9),
            np.full(failures - false, 0.1),
        ]
    )
    reached = np.arange(successes + failures) < successes
    return "\n".join(judge("success", probabilities, reached, np.zeros(len(reached)), 0.5).doubts(rate))


def test_what_cannot_be_promised_is_said():
    assert doubts(50, 400, 0, 0, 0.01) == ""
    assert "may be up to 1.9%, not the 1.00% wished for; to tell takes 381 that" in doubts(
        50, 200, 0, 0, 0.01
    )
    assert "5.0% of the failures are taken for a success" in doubts(50, 200, 0, 10, 0.01)
    assert "20% of the successes are not seen" in doubts(50, 400, 10, 0, 0.01)
    assert "to tell" not in doubts(50, 200, 0, 0, 0.0)
