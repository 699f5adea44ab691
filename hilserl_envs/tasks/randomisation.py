"""How far the twin may be from nominal: domain randomisation, as settings of a task."""

from __future__ import annotations

from dataclasses import dataclass

from hilserl_envs.errors import check_fields, checked_names, ranged


@checked_names
@dataclass(frozen=True)
class Randomisation:
    """How much differs between episodes of the twin while `FrankaEnv(randomise=True)`.

    Numbers are half-widths of uniform draws about nominal, one draw an episode, unless they
    say otherwise; 0 leaves nominal. Fractions are of nominal: 0.2 is a factor of 0.8 to 1.2.
    The defaults are our own: what differs between two labs, or two months in one, that
    use the same parts.

    Args:
        light_angle: of each lamp's direction [deg].
        brightness: of each lamp and of the light from everywhere [fraction].
        tint: of the red, green and blue in all light [fraction].
        color: of red, green and blue, which are 0 to 1, of each colour of table, ground and
            each prop.
        grain: contrast of the textures that each of these has, or has not.
        camera_shift: of the task's cameras along each axis of their mount [m].
        camera_angle: of where they look, and of their roll [deg].
        camera_fovy: of their vertical fields of view [deg].
        friction: of the contacts of the arms, of each prop, and of what is fixed in the
            world, sliding and torsional [fraction].
        mass: of each free prop, and of its inertia [fraction].
        clearance: of each socket, sideways and at the ends [fraction].
        camera_latency: images are this old at most [s].
        command_latency: commands take effect this much later at most [s].
        force_noise, torque_noise: standard deviations of the noise on every reading, along
            each axis [N], [Nm].
        force_offset, torque_offset: of all readings of an episode, along each axis [N], [Nm].

    Raises:
        ConfigError: a value out of its range.
    """

    light_angle: float = ranged(20.0, 0.0, 45.0)
    brightness: float = ranged(0.25, 0.0, 0.9)
    tint: float = ranged(0.08, 0.0, 0.5)
    color: float = ranged(0.1, 0.0, 1.0)
    grain: float = ranged(0.35, 0.0, 1.0)
    camera_shift: float = ranged(0.005, 0.0, 0.1)
    camera_angle: float = ranged(2.0, 0.0, 30.0)
    camera_fovy: float = ranged(1.5, 0.0, 20.0)
    friction: float = ranged(0.2, 0.0, 0.9)
    mass: float = ranged(0.2, 0.0, 0.9)
    clearance: float = ranged(0.25, 0.0, 0.9)
    camera_latency: float = ranged(0.06, 0.0, 0.3)
    command_latency: float = ranged(0.015, 0.0, 0.1)
    force_noise: float = ranged(0.2, 0.0, 10.0)
    torque_noise: float = ranged(0.02, 0.0, 1.0)
    force_offset: float = ranged(0.4, 0.0, 10.0)
    torque_offset: float = ranged(0.03, 0.0, 1.0)

    def __post_init__(self) -> None:
        check_fields(self)
