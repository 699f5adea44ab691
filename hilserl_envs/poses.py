"""Rotations and frames, as compiled functions on float64 arrays.

Conventions, everywhere outside MuJoCo: a quaternion is `quat_xyzw` (4,), a pose is
xyz + quat_xyzw (7,), a rotation vector `rotvec` (3,) has its angle in [0, pi] as
length. `frame_a_in_b` is the pose of frame a expressed in frame b. The law of the
1 kHz loop and the environments share these functions; scipy's `Rotation` serves where
speed does not matter. Sources: J. Diebel, "Representing Attitude" (2006), for the
conversions; K. Shoemake, "Animating Rotation with Quaternion Curves" (1985), for slerp.
"""

from __future__ import annotations

import math

import numpy as np

from hilserl_envs.compiled import compiled
from hilserl_envs.errors import ConfigError

# Below this angle [rad] the series of sin(x)/x is exact to double precision.
SMALL_ANGLE = 1e-6
_WXYZ, _XYZW = np.array([3, 0, 1, 2]), np.array([1, 2, 3, 0])

# Functions on plain tuples, which compile to registers, with no array made: the law
# calls them a thousand times a second. Those on arrays below are the public ones.


@compiled(inline="always")
def multiply(a, b):
    """`quat_multiply` of two indexables as a tuple."""
    return (
        a[3] * b[0] + a[0] * b[3] + a[1] * b[2] - a[2] * b[1],
        a[3] * b[1] - a[0] * b[2] + a[1] * b[3] + a[2] * b[0],
        a[3] * b[2] + a[0] * b[1] - a[1] * b[0] + a[2] * b[3],
        a[3] * b[3] - a[0] * b[0] - a[1] * b[1] - a[2] * b[2],
    )


@compiled(inline="always")
def turn(q, v):
    """`rotate` of two indexables as a tuple."""
    tx = 2 * (q[1] * v[2] - q[2] * v[1])
    ty = 2 * (q[2] * v[0] - q[0] * v[2])
    tz = 2 * (q[0] * v[1] - q[1] * v[0])
    return (
        v[0] + q[3] * tx + q[1] * tz - q[2] * ty,
        v[1] + q[3] * ty + q[2] * tx - q[0] * tz,
        v[2] + q[3] * tz + q[0] * ty - q[1] * tx,
    )


@compiled(inline="always")
def quat_of(r0, r1, r2):
    """`matrix_to_quat` of three rows as a tuple, through the largest component."""
    trace = r0[0] + r1[1] + r2[2]
    if trace > 0:
        s = 2 * math.sqrt(1 + trace)
        return (r2[1] - r1[2]) / s, (r0[2] - r2[0]) / s, (r1[0] - r0[1]) / s, s / 4
    if r0[0] >= r1[1] and r0[0] >= r2[2]:
        s = 2 * math.sqrt(1 + r0[0] - r1[1] - r2[2])
        return s / 4, (r0[1] + r1[0]) / s, (r0[2] + r2[0]) / s, (r2[1] - r1[2]) / s
    if r1[1] >= r2[2]:
        s = 2 * math.sqrt(1 + r1[1] - r2[2] - r0[0])
        return (r0[1] + r1[0]) / s, s / 4, (r1[2] + r2[1]) / s, (r0[2] - r2[0]) / s
    s = 2 * math.sqrt(1 + r2[2] - r0[0] - r1[1])
    return (r0[2] + r2[0]) / s, (r1[2] + r2[1]) / s, s / 4, (r1[0] - r0[1]) / s


@compiled(inline="always")
def slerp(a, b, fraction):
    """`quat_slerp` of two indexables as a tuple."""
    dot = a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]
    sign = 1.0 if dot >= 0 else -1.0
    angle = math.acos(min(abs(dot), 1.0))
    sine = math.sin(angle)
    if sine < SMALL_ANGLE:
        weight_a, weight_b = 1 - fraction, sign * fraction
    else:
        weight_a = math.sin((1 - fraction) * angle) / sine
        weight_b = sign * math.sin(fraction * angle) / sine
    x, y = weight_a * a[0] + weight_b * b[0], weight_a * a[1] + weight_b * b[1]
    z, w = weight_a * a[2] + weight_b * b[2], weight_a * a[3] + weight_b * b[3]
    norm = math.sqrt(x * x + y * y + z * z + w * w)
    return x / norm, y / norm, z / norm, w / norm


@compiled
def quat_multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamilton product of two quat_xyzw: first rotates by b, then by a."""
    return np.array(multiply(a, b))


def xyzw_to_wxyz(quat_xyzw: np.ndarray) -> np.ndarray:
    """A quaternion (4,) in MuJoCo's order."""
    return np.asarray(quat_xyzw, dtype=np.float64)[_WXYZ]


def wxyz_to_xyzw(quat_wxyz: np.ndarray) -> np.ndarray:
    """A quaternion (4,) out of MuJoCo's order."""
    return np.asarray(quat_wxyz, dtype=np.float64)[_XYZW]


@compiled
def quat_conjugate(q: np.ndarray) -> np.ndarray:
    """Inverse of a unit quat_xyzw."""
    inverse = np.empty(4)
    inverse[0], inverse[1], inverse[2], inverse[3] = -q[0], -q[1], -q[2], q[3]
    return inverse


@compiled
def quat_normalize(q: np.ndarray) -> np.ndarray:
    """Unit quat_xyzw of the same direction; a zero quaternion becomes the identity."""
    norm = math.sqrt(q[0] ** 2 + q[1] ** 2 + q[2] ** 2 + q[3] ** 2)
    unit = np.zeros(4)
    if norm < 1e-12:
        unit[3] = 1.0
        return unit
    for i in range(4):
        unit[i] = q[i] / norm
    return unit


@compiled
def quat_to_matrix(q: np.ndarray) -> np.ndarray:
    """Rotation matrix (3, 3) of a unit quat_xyzw."""
    x, y, z, w = q[0], q[1], q[2], q[3]
    matrix = np.empty((3, 3))
    matrix[0, 0] = 1 - 2 * (y * y + z * z)
    matrix[0, 1] = 2 * (x * y - z * w)
    matrix[0, 2] = 2 * (x * z + y * w)
    matrix[1, 0] = 2 * (x * y + z * w)
    matrix[1, 1] = 1 - 2 * (x * x + z * z)
    matrix[1, 2] = 2 * (y * z - x * w)
    matrix[2, 0] = 2 * (x * z - y * w)
    matrix[2, 1] = 2 * (y * z + x * w)
    matrix[2, 2] = 1 - 2 * (x * x + y * y)
    return matrix


@compiled
def matrix_to_quat(m: np.ndarray) -> np.ndarray:
    """Unit quat_xyzw of a rotation matrix (3, 3)."""
    return np.array(quat_of(m[0], m[1], m[2]))


@compiled
def rotvec_to_quat(rotvec: np.ndarray) -> np.ndarray:
    """Unit quat_xyzw of a rotation vector [rad] (3,)."""
    angle = math.sqrt(rotvec[0] ** 2 + rotvec[1] ** 2 + rotvec[2] ** 2)
    # sin(angle / 2) / angle, by its series where the division would lose digits
    scale = 0.5 - angle**2 / 48 if angle < SMALL_ANGLE else math.sin(angle / 2) / angle
    q = np.empty(4)
    for i in range(3):
        q[i] = scale * rotvec[i]
    q[3] = math.cos(angle / 2)
    return q


@compiled
def quat_to_rotvec(q: np.ndarray) -> np.ndarray:
    """Rotation vector [rad] (3,) of a unit quat_xyzw; q and -q give the same one below half a turn."""
    sign = 1.0 if q[3] >= 0 else -1.0
    sine = math.sqrt(q[0] ** 2 + q[1] ** 2 + q[2] ** 2)
    angle = 2 * math.atan2(sine, sign * q[3])
    scale = 2 * sign if sine < SMALL_ANGLE else sign * angle / sine
    rotvec = np.empty(3)
    for i in range(3):
        rotvec[i] = scale * q[i]
    return rotvec


@compiled
def rotate(q: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """`vector` (3,) turned by the unit quat_xyzw `q`."""
    return np.array(turn(q, vector))


@compiled
def quat_slerp(a: np.ndarray, b: np.ndarray, fraction: float) -> np.ndarray:
    """Unit quat_xyzw at `fraction` of the shortest way from a to b, in a's hemisphere."""
    return np.array(slerp(a, b, fraction))


@compiled
def compose(frame_b_in_a: np.ndarray, frame_c_in_b: np.ndarray) -> np.ndarray:
    """Pose (7,) of frame c in frame a."""
    pose = np.empty(7)
    pose[:3] = frame_b_in_a[:3] + rotate(frame_b_in_a[3:], frame_c_in_b[:3])
    pose[3:] = quat_multiply(frame_b_in_a[3:], frame_c_in_b[3:])
    return pose


@compiled
def invert(frame_b_in_a: np.ndarray) -> np.ndarray:
    """Pose (7,) of frame a in frame b."""
    inverse = np.empty(7)
    inverse[3:] = quat_conjugate(frame_b_in_a[3:])
    inverse[:3] = -rotate(inverse[3:], frame_b_in_a[:3])
    return inverse


def look_at(position: np.ndarray, target: np.ndarray, up: np.ndarray) -> np.ndarray:
    """quat_xyzw (4,) of a camera (looking along -z, y up) at `position` towards `target`."""
    backward = np.asarray(position, float) - np.asarray(target, float)
    right = np.cross(up, backward)
    if np.linalg.norm(right) < 1e-9:
        raise ConfigError(
            f"a camera at {position} looking at {target} needs an `up` that is not parallel, got {up}"
        )
    right /= np.linalg.norm(right)
    backward /= np.linalg.norm(backward)
    return matrix_to_quat(np.stack([right, np.cross(backward, right), backward], axis=1))


@compiled
def displace(pose: np.ndarray, translation: np.ndarray, rotvec: np.ndarray) -> np.ndarray:
    """`pose` (7,) moved by `translation` [m] and turned in place by `rotvec` [rad].

    Both are expressed in the axes of the frame that `pose` is given in.
    """
    moved = np.empty(7)
    moved[:3] = pose[:3] + translation
    moved[3:] = quat_normalize(quat_multiply(rotvec_to_quat(rotvec), pose[3:]))
    return moved


@compiled
def displacement(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Translation [m] and rotation vector [rad] (6,) that `displace` start onto end."""
    step = np.empty(6)
    step[:3] = end[:3] - start[:3]
    step[3:] = quat_to_rotvec(quat_multiply(end[3:], quat_conjugate(start[3:])))
    return step


@compiled
def saturate(vector: np.ndarray, limit: float) -> np.ndarray:
    """`vector` shortened to length `limit` if longer: the direction never changes."""
    largest = np.abs(vector).max()
    if largest == 0.0:
        return vector.copy()
    scaled = vector / largest  # its length cannot overflow
    norm = math.sqrt(np.sum(scaled * scaled))
    return scaled * (limit / norm) if norm > limit / largest else vector.copy()
