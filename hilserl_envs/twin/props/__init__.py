"""Props that tasks compose, one kind a file."""

from hilserl_envs.twin.props.belt import Belt, add_belt, lay_belt, winding
from hilserl_envs.twin.props.blocks import add_block
from hilserl_envs.twin.props.boards import add_board
from hilserl_envs.twin.props.cards import LATCH_OPEN, Card, Slot, add_card, add_slot
from hilserl_envs.twin.props.pulleys import Drive, Pulley, add_drive

__all__ = [
    "LATCH_OPEN",
    "Belt",
    "Card",
    "Drive",
    "Pulley",
    "Slot",
    "add_belt",
    "add_block",
    "add_board",
    "add_card",
    "add_drive",
    "add_slot",
    "lay_belt",
    "winding",
]
