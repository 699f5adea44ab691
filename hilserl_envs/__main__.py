"""`python -m hilserl_envs` is the `hilserl` command."""

from hilserl_envs.cli import main

raise SystemExit(main())
