"""Plain data of any protocol is read; a pickle that names anything else is refused unrun."""

import collections
import copyreg
import functools
import os
import pickle
import struct
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilserl_envs.errors import RecordingError
from hilserl_envs.recording.safe_pickle import load_plain_pickle
from tests.resnet10_file import jax_pickle

PLAIN = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "image": np.zeros((1, 4, 5, 3), np.uint8),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(10)[::2],
    "big endian": np.arange(3, dtype=">i2"),
    "text": np.array(["hé", "b"]),
    "objects": np.array([{"x": 1}, [2, np.float32(3)]], dtype=object),
    "number": np.array(2.5),
    "empty": np.zeros((0, 3)),
    "scalars": [np.float64(3.5), np.bool_(True), np.int8(-3)],
    "containers": [(1, "x"), {1, 2}, frozenset({3}), b"\xff\0", b"", bytearray(b"\xfe"), bytearray(), None],
    "numbers": [True, 2**70, -1.5, 1j, float("inf")],
}


def save(tmp_path, data: bytes):
    path = tmp_path / "data.pkl"
    path.write_bytes(data)
    return path


def assert_same(one, other):
    assert type(one) is type(other) or isinstance(one, np.ndarray)
    if isinstance(one, np.ndarray):
        assert one.shape == other.shape and one.dtype.kind == other.dtype.kind
        pairs = zip(one.ravel().tolist(), other.ravel().tolist(), strict=True)
        for pair in pairs:
            assert_same(*pair)
    elif isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    else:
        assert one == other


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data_of_any_protocol(tmp_path, protocol):
    assert_same(PLAIN, load_plain_pickle(save(tmp_path, pickle.dumps(PLAIN, protocol))))


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_files_of_the_other_numpy(tmp_path, protocol):
    """numpy 1 called its core numpy.core, numpy 2 calls it numpy._core."""
    data = pickle.dumps(PLAIN["float32"], protocol)
    ours, theirs = (
        (b"numpy._core.", b"numpy.core.") if b"_core" in data else (b"numpy.core.", b"numpy._core.")
    )
    at = data.index(ours)
    if protocol == 2:  # names end in a new line
        data = data.replace(ours, theirs)
    else:
        head = data[: at - 1] + bytes([data[at - 1] + len(theirs) - len(ours)])
        data = head + theirs + data[at + len(ours) :]
        frame = struct.unpack_from("<Q", data, 3)[0] + len(theirs) - len(ours)
        data = data[:3] + struct.pack("<Q", frame) + data[11:]
    assert theirs in data and ours not in data
    np.testing.assert_array_equal(load_plain_pickle(save(tmp_path, data)), PLAIN["float32"])


def test_arrays_of_jax_become_arrays_of_numpy(tmp_path):
    arrays = {name: PLAIN[name] for name in ("float32", "image", "fortran", "big endian", "number", "empty")}
    loaded = load_plain_pickle(save(tmp_path, jax_pickle(arrays)))
    assert_same(arrays, loaded)


def test_ordered_dictionaries_keep_their_order(tmp_path):
    loaded = load_plain_pickle(save(tmp_path, pickle.dumps(collections.OrderedDict(b=1, a=2))))
    assert loaded == {"b": 1, "a": 2} and list(loaded) == ["b", "a"]


class Calls:
    """Pickled, it is a call that its reader makes."""

    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args

    def __hash__(self):
        return 0


def program(*codes: bytes) -> bytes:
    return b"\x80\x04" + b"".join(codes) + b"."


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def named(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"  # STACK_GLOBAL


NDARRAY, DTYPE = named("numpy", "ndarray"), named("numpy", "dtype")
RECONSTRUCT = named("numpy.core.multiarray", "_reconstruct")
FLOAT = DTYPE + text("f8") + b"\x85R"  # dtype("f8")
ARRAY = RECONSTRUCT + NDARRAY + b"K\x00\x85" + b"C\x01b" + b"\x87R"  # _reconstruct(ndarray, (0,), b"b")

JAX = named("jax._src.array", "_reconstruct_array") + b"("
ARRAY_PARTS = b"(" + NDARRAY + b"K\x00\x85C\x01bt"
JAX_STATE = b"(K\x01J\xff\xff\xff\x7f\x85" + FLOAT + b"\x89C\x00t"


def array_state(shape: bytes, dtype: bytes, content: bytes) -> bytes:
    return program(ARRAY, b"(K\x01", shape, dtype, b"\x89", content, b"tb")


def hostile(tmp_path):
    """Pickles by name; those that were run leave the file `ran`."""
    touch = f"touch {tmp_path / 'ran'}"
    call = Calls(os.system, touch)
    np.save(tmp_path / "array.npy", np.arange(3))
    in_array = np.empty(1, object)
    in_array[0] = call
    return {
        "os.system": pickle.dumps(call),
        "eval": pickle.dumps(Calls(eval, f"__import__('os').system({touch!r})")),
        "exec, protocol 2": pickle.dumps(Calls(exec, f"import os; os.system({touch!r})"), 2),
        "in a list of arrays": pickle.dumps([np.zeros(3), {"observations": {"state": call}}]),
        "in an object array": pickle.dumps(in_array),
        "as a dictionary's key": pickle.dumps({call: 1}),
        "in a set": pickle.dumps({call}),
        "numpy.load": pickle.dumps(Calls(np.load, str(tmp_path / "array.npy"))),
        "numpy.fromfile": pickle.dumps(Calls(np.fromfile, str(tmp_path / "array.npy"))),
        "numpy.memmap": pickle.dumps(Calls(np.memmap, str(tmp_path / "ran"), "u1", "w+", 0, (1,))),
        "partial": pickle.dumps(functools.partial(os.system, touch)),
        "a class": pickle.dumps(Calls),
        "getattr": pickle.dumps(Calls(getattr, [], "append")),
        "a lock": program(named("_thread", "allocate_lock"), b")R"),
        "dotted name": program(named("numpy", "ndarray.tofile")),
        "dotted module": program(named("os", "system"), text(touch), b"\x85R"),
        "module of ours": program(named("hilserl_envs.recording.safe_pickle", "pickle.loads"), b")R"),
        "old code INST": b"(S'" + touch.encode() + b"'\nios\nsystem\n.",
        "old code OBJ": b"(cos\nsystem\nS'" + touch.encode() + b"'\no.",
        "a name that is no text": program(b"K\x01K\x02\x93"),
        "a persistent id": b"\x80\x02K\x01Q.",
        "a buffer from outside": b"\x80\x05\x97.",
        "bytes by number": program(named("builtins", "bytes"), b"J\xff\xff\xff\x7f\x85R"),
        "bytes with another codec": program(named("_codecs", "encode"), text("x"), text("idna"), b"\x86R"),
        "array of JAX made by another": program(JAX, DTYPE, ARRAY_PARTS, b"NNtR"),
        "array of JAX of another class": program(JAX, RECONSTRUCT, b"(", DTYPE, b"K\x00\x85C\x01btNNtR"),
        "array of JAX of another size": program(JAX, RECONSTRUCT, ARRAY_PARTS, JAX_STATE, b"NtR"),
        "array of another class": program(RECONSTRUCT, DTYPE, b"K\x00\x85C\x01b\x87R"),
        "array called by itself": program(NDARRAY, b"J\xff\xff\xff\x7f\x85\x85R"),
        "huge array": array_state(b"J\xff\xff\xff\x7f\x85", FLOAT, b"C\x00"),
        "array of negative size": array_state(b"J\xff\xff\xff\xff\x85", FLOAT, b"C\x00"),
        "array of another type": array_state(b"K\x01\x85", text("f8"), b"C\x08" + bytes(8)),
        "structured type": program(DTYPE, text("f8,(9999999,)f8"), b"\x85R"),
        "type with fields": program(FLOAT, b"(K\x03", text("<"), b"N}", b"}K\x08K\x08K\x00tb"),
        "function changed": program(RECONSTRUCT, b"N}", text("__call__"), DTYPE, b"s\x86b"),
        "function's dictionary": program(RECONSTRUCT, b"}", text("x"), b"K\x01sb"),
        "memory of a terabyte": b"\x80\x02Nr\xff\xff\xff\x7f.",
        "memory of gigabytes in text": b"\x80\x02Nq\x00p200000000\n.",
        "type of no size": program(DTYPE, text("S0"), b"\x85R"),
        "type whose name has no end": program(DTYPE, b"N" + b"q\x01h\x01\x86" * 40, b"\x85R"),
    }


def test_hostile_pickles_are_refused_before_anything_runs(tmp_path):
    for name, data in hostile(tmp_path).items():
        with pytest.raises(RecordingError) as refused:
            load_plain_pickle(save(tmp_path, data))
            pytest.fail(f"{name} was read")
        assert "data.pkl" in str(refused.value), name
        assert not (tmp_path / "ran").exists(), f"{name} was run"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("os.system", r"refused: it holds (posix|nt)\.system; containers, numbers and numpy arrays are read"),
        ("eval", r"it holds builtins\.eval"),
        ("numpy.load", r"it holds numpy\S*\.load"),
        ("as a dictionary's key", r"it holds posix\.system"),
        ("a persistent id", "code BINPERSID at byte"),
        ("function changed", "changes '__call__'"),
        ("huge array", "needs 17179869176 items, it holds 0"),
        ("array of JAX made by another", "an array made by"),
        ("array of JAX of another class", "an array of class"),
        ("array of JAX of another size", "needs 17179869176 items, it holds 0"),
        ("memory of a terabyte", "names the place 2147483647"),
        ("memory of gigabytes in text", "code PUT at byte"),
        ("type of no size", "numpy's type 'S0'"),
        ("type whose name has no end", "numpy's type"),
    ],
)
def test_refusals_say_why(tmp_path, name, message):
    with pytest.raises(RecordingError, match=message):
        load_plain_pickle(save(tmp_path, hostile(tmp_path)[name]))


def test_the_extension_registry_is_no_way_around(tmp_path):
    """Its cache hands out what any code in this process once unpickled."""
    copyreg.add_extension("threading", "Thread", 0xEE)
    try:
        data = b"\x80\x02\x82\xee."
        assert pickle.loads(data) is threading.Thread
        with pytest.raises(RecordingError, match="code EXT1 at byte 2"):
            load_plain_pickle(save(tmp_path, data))
    finally:
        copyreg.remove_extension("threading", "Thread", 0xEE)


def test_torn_and_foreign_files(tmp_path):
    data = pickle.dumps([PLAIN["float32"], {"a": 1}])
    for cut in range(len(data)):
        with pytest.raises(RecordingError, match="data.pkl is not a whole pickle"):
            load_plain_pickle(save(tmp_path, data[:cut]))
    for foreign in (b"PK\x03\x04", b"\x93NUMPY", b"hello, world\n", bytes(100)):
        with pytest.raises(RecordingError, match="data.pkl is not a whole pickle"):
            load_plain_pickle(save(tmp_path, foreign))
    with pytest.raises(RecordingError, match="cannot read .*gone.pkl: No such file"):
        load_plain_pickle(tmp_path / "gone.pkl")


@given(st.data())
def test_changed_bytes_never_end_in_another_error(tmp_path_factory, data):
    content = bytearray(pickle.dumps([PLAIN["float32"], PLAIN["scalars"], {"a": (1, "x")}], 4))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed.pkl"
    path.write_bytes(content)
    try:
        load_plain_pickle(path)
    except RecordingError:
        pass
