"""The Panda's body: inertia and shapes of its links. The FR3 looks and weighs about the same.

Masses, centres of mass and inertia as identified by C. Gaz et al., "Dynamic
identification of the Franka Emika Panda robot" (RA-L 2019). Shapes are primitives of our
own, a few polygons each, that look like the arm and cost a software rasteriser little.
"""

from __future__ import annotations

from hilserl_envs.twin.shapes import BLUE, CAPSULE, CYLINDER, DARK, GREY, WHITE, ArmBody

# Mass [kg], centre of mass [m] and inertia about it [kg m^2: xx yy zz xy xz yz] of links
# 0 to 7 in their DH frames.
_INERTIA = (
    (
        0.629769,
        (-0.041018, -0.00014, 0.049974),
        (0.00315, 0.00388, 0.004285, 8.29e-7, 1.5e-4, 8.23e-6),
    ),
    (
        4.970684,
        (0.003875, 0.002081, -0.04762),
        (0.70337, 0.70661, 0.009117, -1.39e-4, 0.006772, 0.019169),
    ),
    (
        0.646926,
        (-0.003141, -0.02872, 0.003495),
        (0.007962, 0.02811, 0.025995, -0.003925, 0.010254, 7.04e-4),
    ),
    (
        3.228604,
        (0.027518, 0.039252, -0.066502),
        (0.037242, 0.036155, 0.01083, -0.004761, -0.011396, -0.012805),
    ),
    (
        3.587895,
        (-0.05317, 0.104419, 0.027454),
        (0.025853, 0.019552, 0.028323, 0.007796, -0.001332, 0.008641),
    ),
    (
        1.225946,
        (-0.011953, 0.041065, -0.038437),
        (0.035549, 0.029474, 0.008627, -0.002117, -0.004037, 2.29e-4),
    ),
    (
        1.666555,
        (0.060149, -0.014117, -0.010517),
        (0.001964, 0.004354, 0.005433, 1.09e-4, -0.001158, 3.41e-4),
    ),
    (
        0.735522,
        (0.010517, -0.004252, 0.061597),
        (0.012516, 0.010027, 0.004815, -4.28e-4, -0.001196, -7.41e-4),
    ),
)

# What links 0 to 7 collide with, in their frames: type, start, end, radius, colour (a box:
# centre, half-sizes, None). Radii follow Franka's self-collision capsules, less their margin;
# they differ where two shapes meet, or surfaces that lie on one another would flicker.
_SOLID_SHAPES = (
    (
        (CYLINDER, (0, 0, 0), (0, 0, 0.135), 0.065, WHITE),
        (CAPSULE, (-0.105, 0, 0.050), (0, 0, 0.055), 0.050, WHITE),
    ),
    ((CYLINDER, (0, 0, -0.193), (0, 0, -0.040), 0.058, WHITE),),
    (
        (CAPSULE, (0, 0, -0.066), (0, 0, 0.066), 0.055, WHITE),
        (CAPSULE, (0, -0.030, 0), (0, -0.140, 0), 0.053, WHITE),
    ),
    (
        (CAPSULE, (0, 0, -0.175), (0, 0, -0.085), 0.059, WHITE),
        (CAPSULE, (0, 0, -0.080), (0.0825, 0, 0), 0.054, WHITE),
    ),
    (
        (CAPSULE, (0, 0, -0.062), (0, 0, 0.062), 0.052, WHITE),
        (CAPSULE, (0, 0.010, 0), (-0.0825, 0.100, 0), 0.052, WHITE),
    ),
    (
        (CAPSULE, (0, 0, -0.262), (0, 0.012, -0.225), 0.058, WHITE),
        (CAPSULE, (0, 0.030, -0.210), (0, 0.072, -0.070), 0.042, WHITE),
        (CAPSULE, (0, 0.072, -0.070), (0, 0.058, 0), 0.042, WHITE),
    ),
    (
        (CYLINDER, (0, 0, -0.050), (0, 0, 0.056), 0.047, WHITE),
        (CYLINDER, (0.088, 0.050, 0), (0.088, -0.050, 0), 0.051, WHITE),
    ),
    ((CYLINDER, (0, 0, 0.030), (0, 0, 0.093), 0.046, WHITE),),
)
# What is only seen: seams, drums of joints that solid shapes reach into, base plate, flange.
_SEEN_SHAPES = (
    (
        (CYLINDER, (0, 0, 0), (0, 0, 0.024), 0.088, WHITE),
        (CYLINDER, (0, 0, 0.024), (0, 0, 0.027), 0.083, BLUE),
        (CYLINDER, (0, 0, 0.135), (0, 0, 0.145), 0.053, DARK),
    ),
    ((CYLINDER, (0, -0.058, 0), (0, 0.058, 0), 0.064, WHITE),),
    ((CYLINDER, (0, 0, -0.061), (0, 0, 0.061), 0.058, DARK),),
    (
        (CYLINDER, (0.0825, 0.052, 0), (0.0825, -0.052, 0), 0.061, WHITE),
        (CYLINDER, (0, 0, -0.207), (0, 0, -0.199), 0.0545, DARK),
    ),
    ((CYLINDER, (0, 0, -0.055), (0, 0, 0.055), 0.055, DARK),),
    ((CYLINDER, (0, 0, -0.295), (0, 0, -0.286), 0.0535, DARK),),
    (
        (CAPSULE, (0, 0, 0.006), (0.088, 0, 0.006), 0.044, WHITE),
        (CYLINDER, (0, 0, -0.053), (0, 0, 0.059), 0.039, DARK),
        (CYLINDER, (0.088, 0.053, 0), (0.088, -0.053, 0), 0.042, DARK),
    ),
    (
        (CYLINDER, (0, 0, 0.093), (0, 0, 0.115), 0.0345, GREY),
        (CYLINDER, (0.046, 0, 0.052), (0.046, 0, 0.089), 0.021, WHITE),
    ),
)

BODY = ArmBody(
    inertia=_INERTIA,
    solid_shapes=_SOLID_SHAPES,
    seen_shapes=_SEEN_SHAPES,
    # No published figures: MuJoCo Menagerie's Panda has 0.1 and 1. The arm compensates
    # most of its friction below the torque interface.
    armature=0.1,
    damping=0.5,
)
