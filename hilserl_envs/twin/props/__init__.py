"""Props that tasks compose, one kind a file."""

from hilserl_envs.twin.props.bars import Bar, add_bar
from hilserl_envs.twin.props.belt import Belt, add_belt, lay_belt, winding
from hilserl_envs.twin.props.blocks import add_block
from hilserl_envs.twin.props.boards import add_board
from hilserl_envs.twin.props.cards import LATCH_OPEN, Card, Notch, Slot, add_card, add_slot
from hilserl_envs.twin.props.eggs import Egg, add_egg
from hilserl_envs.twin.props.mats import add_mat
from hilserl_envs.twin.props.pans import Pan, add_pan
from hilserl_envs.twin.props.plugs import Plug, Port, add_plug, add_port
from hilserl_envs.twin.props.pulleys import Drive, Pulley, add_drive
from hilserl_envs.twin.props.sockets import Socket
from hilserl_envs.twin.props.tools import weld_to_hand
from hilserl_envs.twin.props.tower import Tower, add_tower, block_names, stack_tower, stacked
from hilserl_envs.twin.props.trays import Tray, add_tray
from hilserl_envs.twin.props.whip import Whip, add_whip, hang_whip, whip_motion

__all__ = [
    "Bar",
    "Belt",
    "Card",
    "Drive",
    "Egg",
    "LATCH_OPEN",
    "Notch",
    "Pan",
    "Plug",
    "Port",
    "Pulley",
    "Slot",
    "Socket",
    "Tower",
    "Tray",
    "Whip",
    "add_bar",
    "add_belt",
    "add_block",
    "add_board",
    "add_card",
    "add_drive",
    "add_egg",
    "add_mat",
    "add_pan",
    "add_plug",
    "add_port",
    "add_slot",
    "add_tower",
    "add_tray",
    "add_whip",
    "block_names",
    "hang_whip",
    "lay_belt",
    "stack_tower",
    "stacked",
    "weld_to_hand",
    "whip_motion",
    "winding",
]
