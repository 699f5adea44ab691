"""The MuJoCo twin: model of the arm, scenes, physics loop, rendering, vector env."""
