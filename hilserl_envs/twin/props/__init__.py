"""Props that tasks compose, one kind a file."""

from hilserl_envs.twin.props.blocks import add_block
from hilserl_envs.twin.props.boards import add_board
from hilserl_envs.twin.props.cards import LATCH_OPEN, Card, Notch, Slot, add_card, add_slot
from hilserl_envs.twin.props.plugs import Plug, Port, add_plug, add_port
from hilserl_envs.twin.props.sockets import Socket

__all__ = [
    "LATCH_OPEN",
    "Card",
    "Notch",
    "Plug",
    "Port",
    "Slot",
    "Socket",
    "add_block",
    "add_board",
    "add_card",
    "add_plug",
    "add_port",
    "add_slot",
]
