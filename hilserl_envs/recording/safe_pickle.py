"""Pickles of plain data from people one does not know: containers, numbers and numpy arrays.

A pickle is a program. What it may call is listed here; nothing else is imported, and what
is called checks its arguments: shapes, types and bytes that fit each other.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from reprlib import repr as _brief
from typing import Any, NoReturn

import numpy as np

from hilserl_envs.errors import RecordingError

# Codes of the extension registry can go past `find_class`; persistent ids and buffers lie
# outside of the file. PUT is of protocol 0, and reserves memory for any place it names.
_REFUSED = {"PUT", "EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID", "NEXT_BUFFER", "READONLY_BUFFER"}
_DTYPES = re.compile(r"[biufc][1-9]\d?|[SU][1-9]\d{0,5}|O8?")


def load_plain_pickle(path: str | Path) -> Any:
    """What a pickle file holds, if that is plain data.

    Lists, tuples, dictionaries, sets, strings, bytes, numbers, and arrays and scalars of
    numpy 1 or 2, in protocols 2 to 5; `OrderedDict` becomes a dictionary, an array of JAX one
    of numpy.

    Raises:
        RecordingError: there is no such file, it is no pickle or a torn one, or it holds
            something else. Nothing that it names was run.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror}") from None
    try:
        _check_codes(data)
        return _Unpickler(io.BytesIO(data)).load()
    except RecordingError as error:
        raise RecordingError(f"{path} is refused: {error}") from None
    except Exception as error:  # a stranger's program can fail in any way
        raise RecordingError(
            f"{path} is not a whole pickle of plain data: {type(error).__name__}: {str(error)[:200]}"
        ) from None


def _check_codes(data: bytes) -> None:
    """Read the program without running it."""
    for code, argument, position in pickletools.genops(data):
        if code.name in _REFUSED:
            raise RecordingError(f"its code {code.name} at byte {position} is none that plain data needs")
        if "BINPUT" in code.name and argument > len(data):  # the unpickler would reserve that much memory
            raise RecordingError(f"its code {code.name} at byte {position} names the place {argument}")


class _Callable:
    """What a pickle gets for a function: it can be called, and nothing of it can be changed."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable):
        object.__setattr__(self, "_function", function)

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise RecordingError(f"it changes {name!r} of something that is not its own")


class _Dtype:
    """A type of numbers or text while it is unpickled; object arrays hold what was unpickled too."""

    __slots__ = ("dtype",)

    def __init__(self, code: Any):
        if not (isinstance(code, str) and _DTYPES.fullmatch(code)):
            raise RecordingError(f"it holds numpy's type {_brief(code)}; numbers and text are read")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        order, structure = state[1], state[2:5]
        if order not in ("<", ">", "|", "=") or structure != (None, None, None):
            raise RecordingError(f"it holds a numpy type made of {_brief(state)}; numbers and text are read")
        if order in "<>":
            self.dtype = self.dtype.newbyteorder(order)


class _Array(np.ndarray):
    """An array while it is unpickled."""

    def __setstate__(self, state: tuple) -> None:
        version, shape, dtype, fortran, content = state
        dtype = _checked(shape, dtype, content)
        if not (isinstance(content, list) if dtype.hasobject else isinstance(content, bytes)):
            raise RecordingError(f"an array of {dtype} holds {type(content).__name__}")
        super().__setstate__((version, shape, dtype, bool(fortran), content))


def _checked(shape: Any, dtype: Any, content: Any) -> np.dtype:
    """The type, if shape, type and content fit each other."""
    if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple) or len(shape) > 32:
        raise RecordingError(f"it holds an array of type {_brief(dtype)} and shape {_brief(shape)}")
    if not all(type(side) is int and side >= 0 for side in shape):
        raise RecordingError(f"it holds an array of shape {_brief(shape)}")
    needed = math.prod(shape) * (1 if dtype.dtype.hasobject else dtype.dtype.itemsize)
    if len(content) != needed:
        raise RecordingError(
            f"an array {shape} of {dtype.dtype} needs {needed} items, it holds {len(content)}"
        )
    return dtype.dtype


_ndarray = _Callable(lambda *args: _refuse("numpy.ndarray called by itself"))


def _refuse(what: str) -> NoReturn:
    raise RecordingError(f"it holds {what}; containers, numbers and numpy arrays are read")


def _reconstruct(kind: Any, shape: Any, code: Any) -> np.ndarray:
    if kind is not _ndarray or shape != (0,):
        _refuse(f"an array of class {_brief(kind)}")
    return np.ndarray.__new__(_Array, (0,), np.int8)


_numpy_array = _Callable(_reconstruct)


def _jax_array(reconstruct: Any, arguments: Any, state: Any, _: Any) -> np.ndarray:
    """JAX puts numpy's three steps into one call; what it says of its own kind is left out."""
    if reconstruct is not _numpy_array:
        _refuse(f"an array made by {_brief(reconstruct)}")
    array = _reconstruct(*arguments)
    array.__setstate__(state)
    return array


def _scalar(dtype: Any, content: Any = b"") -> np.generic:
    dtype = _checked((), dtype, content)
    if dtype.hasobject or not isinstance(content, bytes):
        _refuse(f"a numpy scalar of {dtype}")
    return np.frombuffer(content, dtype)[0]


def _frombuffer(content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    dtype = _checked(shape, dtype, content)
    if dtype.hasobject or not isinstance(content, bytes | bytearray):
        _refuse(f"an array of {dtype} in a buffer")
    return np.frombuffer(bytes(content), dtype).reshape(shape, order=order)


def _encode(text: Any, encoding: Any = None) -> bytes:
    """How protocol 2 holds bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        _refuse(f"a call of _codecs.encode for {_brief(encoding)}")
    return text.encode("latin1")


def _bytes_of(kind: type) -> Callable[..., Any]:
    def make(content: Any = b"", encoding: Any = None) -> Any:
        if encoding is not None:
            content = _encode(content, "latin1" if encoding == "latin-1" else encoding)
        if not isinstance(content, bytes):
            _refuse(f"{kind.__name__} of {type(content).__name__}")
        return kind(content)

    return make


_BUILTINS = {
    "set": set,
    "frozenset": frozenset,
    "complex": complex,
    "bytes": _Callable(_bytes_of(bytes)),
    "bytearray": _Callable(_bytes_of(bytearray)),
}
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): dict,
    ("_codecs", "encode"): _Callable(_encode),
    ("numpy", "ndarray"): _ndarray,
    ("jax._src.array", "_reconstruct_array"): _Callable(_jax_array),
    ("numpy", "dtype"): _Callable(lambda code, *_: _Dtype(code)),
}
for _module in ("builtins", "__builtin__"):  # Python 3, and what protocol 2 calls it
    _ALLOWED |= {(_module, name): value for name, value in _BUILTINS.items()}
for _core in ("numpy.core", "numpy._core"):  # numpy 1 and 2
    _ALLOWED |= {
        (f"{_core}.multiarray", "_reconstruct"): _numpy_array,
        (f"{_core}.multiarray", "scalar"): _Callable(_scalar),
        (f"{_core}.numeric", "_frombuffer"): _Callable(_frombuffer),
    }


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except (KeyError, TypeError):
            _refuse(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        _refuse(f"the persistent id {_brief(pid)}")
