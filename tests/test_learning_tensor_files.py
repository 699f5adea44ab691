"""Files of weights: whole at any instant, and what is wrong with them is said."""

import os
import signal

import pytest
import torch

from hilserl_envs.errors import ConfigError, LearningError
from hilserl_envs.learning.tensor_files import load_tensors, save_tensors, write_atomically
from tests.limited_disk import no_room_beyond
from tests.one_thread import one_thread  # noqa: F401

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3), "c": torch.zeros(5, dtype=torch.uint8)}


def test_tensors_come_back_as_they_were(tmp_path):
    meta = {"big": 2**100, "nested": {"a": [1.5, None]}, "text": "x"}
    save_tensors(tmp_path / "deep" / "it.safetensors", {**TENSORS, "t": TENSORS["a"].T}, meta)
    tensors, read = load_tensors(tmp_path / "deep" / "it.safetensors")
    assert read == meta and set(tensors) == {"a", "b", "c", "t"}
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype and torch.equal(tensors[name], tensor)
    assert torch.equal(tensors["t"], TENSORS["a"].T)


@pytest.mark.parametrize("damage", ["short", "empty", "bytes", "foreign"])
def test_damage_is_said(tmp_path, damage):
    path = tmp_path / "it.safetensors"
    save_tensors(path, TENSORS, {})
    whole = path.read_bytes()
    if damage == "foreign":
        from safetensors.torch import save_file

        save_file(TENSORS, path)
    else:
        path.write_bytes({"short": whole[:-3], "empty": b"", "bytes": b"\xff" * len(whole)}[damage])
    with pytest.raises(LearningError, match="it.safetensors is damaged: .*delete it"):
        load_tensors(path)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(ConfigError, match="is not there"):
        load_tensors(tmp_path / "it.safetensors")


@pytest.mark.parametrize("moment", ["open", "fsync", "replace"])
def test_a_kill_while_it_is_written_leaves_the_last_one(tmp_path, moment):
    path = tmp_path / "it.safetensors"
    save_tensors(path, TENSORS, {"number": 1})
    child = os.fork()
    if child == 0:  # dies in the middle of the next one
        import builtins

        owner = builtins if moment == "open" else os
        original = getattr(owner, moment)

        def die(*arguments, **named):
            if moment == "open":
                original(*arguments, **named).write(b"torn")
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(owner, moment, die)
        try:
            save_tensors(path, TENSORS, {"number": 2})
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert load_tensors(path)[1] == {"number": 1}
    assert [p.name for p in tmp_path.glob("*.tmp")] == ["it.safetensors.tmp"]
    save_tensors(path, TENSORS, {"number": 3})
    assert load_tensors(path)[1] == {"number": 3}
    assert not list(tmp_path.glob("*.tmp"))  # and kills leave no heap behind


def test_a_full_disk_leaves_the_last_one(tmp_path):
    path = tmp_path / "it.safetensors"
    save_tensors(path, TENSORS, {"number": 1})
    with no_room_beyond(100_000), pytest.raises(LearningError, match="cannot write .*File too large.*stays"):
        save_tensors(path, {"large": torch.zeros(100_000)}, {"number": 2})
    assert load_tensors(path)[1] == {"number": 1} and not list(tmp_path.glob("*.tmp"))


def test_a_folder_that_cannot_be_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LearningError, match="cannot write"):
        write_atomically(tmp_path / "file" / "it", b"")
