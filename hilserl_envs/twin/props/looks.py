"""Colours of props (red, green, blue, opacity)."""

PLASTIC, IVORY, GOLD = (0.16, 0.16, 0.19, 1), (0.90, 0.89, 0.84, 1), (0.90, 0.72, 0.25, 1)
CIRCUIT_GREEN, BOARD_GREEN = (0.13, 0.52, 0.25, 1), (0.10, 0.36, 0.27, 1)
CHIP, METAL = (0.09, 0.09, 0.10, 1), (0.72, 0.73, 0.75, 1)
STICK, CASE = (0.16, 0.34, 0.62, 1), (0.34, 0.36, 0.39, 1)
ALUMINIUM, ANODISED = (0.83, 0.84, 0.86, 1), (0.42, 0.50, 0.58, 1)
RUBBER, SIGNAL_ORANGE = (0.07, 0.07, 0.08, 1), (0.90, 0.38, 0.10, 1)
