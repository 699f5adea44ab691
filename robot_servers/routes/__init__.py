"""The routes of the robot server: the public server's, our own, and streams."""
