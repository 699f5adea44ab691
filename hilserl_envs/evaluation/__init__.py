"""How good is a policy: seeded episodes, one after another or side by side, and what they come to.

`run_episodes` runs a policy in an environment that are both there; a `Candidate` says how any
process makes the two, and `evaluate` runs it on several cores.
"""

from hilserl_envs.evaluation.candidate import Candidate, make_candidate
from hilserl_envs.evaluation.episodes import Episode, run_episodes
from hilserl_envs.evaluation.films import film
from hilserl_envs.evaluation.summary import describe, markdown_table, summarize, wilson_interval
from hilserl_envs.evaluation.workers import default_workers, evaluate

__all__ = [
    "Candidate",
    "Episode",
    "default_workers",
    "describe",
    "evaluate",
    "film",
    "make_candidate",
    "markdown_table",
    "run_episodes",
    "summarize",
    "wilson_interval",
]
