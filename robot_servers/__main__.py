"""`python -m robot_servers`: the same as `hilserl serve`."""

import sys

from hilserl_envs.cli import main

sys.exit(main(["serve", *sys.argv[1:]]))
