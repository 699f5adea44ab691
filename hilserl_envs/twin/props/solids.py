"""What the geoms of props are made of: who meets whom, and how firmly."""

import mujoco

from hilserl_envs.twin.shapes import SCENE_BIT, STIFF_CONTACT

BOX, CAPSULE = mujoco.mjtGeom.mjGEOM_BOX, mujoco.mjtGeom.mjGEOM_CAPSULE
CYLINDER = mujoco.mjtGeom.mjGEOM_CYLINDER
SOLID = {"contype": SCENE_BIT, "conaffinity": SCENE_BIT, **STIFF_CONTACT}
# Parts to be held: they meet props, scene and each other; fingers meet a plain box of their own.
PART_BIT = 8
PART = {"contype": PART_BIT, "conaffinity": SCENE_BIT | PART_BIT, **STIFF_CONTACT}
UNSEEN = 3  # a geom group that is not drawn
SEEN = {"contype": 0, "conaffinity": 0, "mass": 0}  # drawn, and nothing else

# Sliding, torsional, rolling; fingers add that contacts resist torsion (their condim of 4).
BLOCK_FRICTION = (1.0, 0.01, 0.0002)
GRIPPABLE = {"friction": BLOCK_FRICTION, "condim": 4}
# Friction in MuJoCo is soft: what fingers hold creeps under load, the faster the lower the
# impedance. A memory module that takes 10 N and 0.7 Nm turns by 0.03 degrees a second in
# them with this one, by 3 with that of STIFF_CONTACT. The damping ratio lets the pads give
# way by 0.1 mm under full force: were it 1, a knock could lift them off for one step, in
# which the unopposed servo drives them in by 0.6 mm.
FIRM_GRIP = {"solref": (0.002, 10.0), "solimp": (0.9995, 0.9999, 0.0005, 0.5, 2.0)}
# Of a part that is pushed, not held: it hardly gives way, and a knock does not lift it off.
FIRM = {"solref": STIFF_CONTACT["solref"], "solimp": FIRM_GRIP["solimp"]}


def beside_gap(x: float = 0.0, y: float = 0.0) -> dict:
    """For a geom beside a gap: how far it would move [m], along its body's axes, for one twice as wide."""
    return {"userdata": [x, y, 0.0]}


def skinned(depth: float) -> dict:
    """For a geom of the scene with a soft skin: contact begins `depth` off its surface [m].

    What falls moves by a millimetre or two between two looks at it, and would be as deep in before it
    met anything. The skin hardly resists at first; near the surface it stops what comes, without a
    bounce. It has priority, or what it meets would have half a say.
    """
    return {
        "contype": SCENE_BIT,
        "conaffinity": SCENE_BIT,
        "priority": 1,
        "margin": depth,
        "solref": (0.002, 40.0),  # a damper, with a spring that only carries the weight
        "solimp": (0.05, 0.99, depth, 0.5, 2.0),
    }
