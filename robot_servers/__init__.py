"""The robot server: a Franka's impedance controller, grippers and cameras over HTTP.

`app.create_app` serves a `station.Station`, whose parts (`parts.Arm`, `parts.Gripper`,
`hilserl_envs.cameras.Camera`) come from one of the `backends`.
"""
