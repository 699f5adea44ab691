"""Textures made from filtered noise: something like wood, cloth, stone."""

from __future__ import annotations

import mujoco
import numpy as np

PREFIX = "grain_"  # of the materials' names
# Width of each texture's spectrum across and along [periods]: from even blots to stripes.
_SPECTRA = ((3, 3), (12, 12), (2, 24), (24, 2), (8, 1), (30, 30))
_PIXELS = 128
_TILE = 0.25  # edge of a texture on its surface [m]


def add_grains(spec: mujoco.MjSpec, contrast: float) -> None:
    """Add materials that no geom has yet, named PREFIX and a number.

    They are made once: an image then costs no more than its texels, and no renderer has to
    be told of new ones. Textures are flat, cast down on a geom along its z: those of cubes
    cost twice as much on a software rasteriser.

    Args:
        contrast: of the textures, 0 to 1.
    """
    rng = np.random.default_rng(0)  # patterns that are the same in every twin
    for number, spectrum in enumerate(_SPECTRA):
        name = f"{PREFIX}{number}"
        shade = np.round(255 * (1 - contrast * _noise(rng, spectrum))).astype(np.uint8)
        texture = spec.add_texture(
            name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=_PIXELS, height=_PIXELS, nchannel=3
        )
        texture.data = np.repeat(shade[..., None], 3, axis=2).tobytes()
        material = spec.add_material(name=name, texuniform=True, texrepeat=[1 / _TILE, 1 / _TILE])
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name


def _noise(rng: np.random.Generator, spectrum: tuple[float, float]) -> np.ndarray:
    """Smooth noise from 0 to 1 that repeats at its edges (_PIXELS, _PIXELS)."""
    periods = np.fft.fftfreq(_PIXELS, 1 / _PIXELS)
    window = np.exp(-0.5 * ((periods[:, None] / spectrum[0]) ** 2 + (periods / spectrum[1]) ** 2))
    window[0, 0] = 0.0
    noise = np.fft.ifft2(np.fft.fft2(rng.standard_normal((_PIXELS, _PIXELS))) * window).real
    return (noise - noise.min()) / np.ptp(noise)
