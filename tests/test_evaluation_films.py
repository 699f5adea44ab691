"""Videos of episodes that are run again."""

import dataclasses

import av
import numpy as np
import pytest

from hilserl_envs.errors import ConfigError
from hilserl_envs.evaluation import evaluate, film, make_candidate
from hilserl_envs.evaluation.films import beside
from tests.saved_runs import save_run


def frames(path) -> list[np.ndarray]:
    with av.open(str(path)) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]


def test_an_episode_is_run_again_and_filmed_from_its_reset_on(tmp_path):
    candidate = make_candidate("PickCube", "random", max_episode_steps=4)
    episodes = list(evaluate(candidate, [3, 8]))
    (first, same), (second, again) = film(candidate, episodes, tmp_path / "failure_1.mp4")
    assert same and again
    assert [first.name, second.name] == ["failure_1_seed_3.mp4", "failure_1_seed_8.mp4"]
    pictures = frames(first)
    assert len(pictures) == 5
    assert all(np.std(picture) > 10 for picture in pictures)
    assert not np.array_equal(pictures[0], frames(second)[0])


def test_what_its_cameras_saw_is_beside_it(tmp_path):
    run = save_run(tmp_path / "run", obs="pixels", env={"max_episode_steps": 2})
    candidate = make_candidate("PickCube", str(run.path))
    plain = make_candidate("PickCube", "random", max_episode_steps=2)
    wide, narrow = (
        frames(next(film(each, list(evaluate(each, [0])), tmp_path / f"{name}.mp4"))[0])[0]
        for name, each in (("wide", candidate), ("narrow", plain))
    )
    assert wide.shape[0] == narrow.shape[0]
    assert wide.shape[1] == narrow.shape[1] + narrow.shape[0] // 2  # two cameras, one above the other


def test_an_episode_that_goes_another_way_is_owned_up_to(tmp_path):
    candidate = make_candidate("PickCube", "random", max_episode_steps=2)
    (episode,) = evaluate(candidate, [3])
    other = dataclasses.replace(episode, peak_force=episode.peak_force + 1.0)
    ((file, same),) = film(candidate, [other], tmp_path / "failure.mp4")
    assert file.exists() and not same


def test_what_cannot_be_run_again(tmp_path):
    candidate = make_candidate("PickCube", "random", reset_mode="motion")
    with pytest.raises(ConfigError, match="cannot be filmed afterwards: .* depends on the one before it"):
        list(film(candidate, [], tmp_path / "failure.mp4"))


def test_pictures_side_by_side():
    picture, image = np.zeros((9, 4, 3), np.uint8), np.full((4, 4, 3), 200, np.uint8)
    assert beside(picture, {}) is picture
    both = beside(picture, {"front": image, "wrist": image})
    assert both.shape == (8, 8, 3)
    assert (both[:, :4] == 0).all() and (both[:, 4:] == 200).all()
