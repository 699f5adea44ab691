"""`hilserl tasks`: what there is to do."""

from __future__ import annotations

from dataclasses import dataclass

from hilserl_envs.cli import Command


@dataclass(frozen=True, kw_only=True)
class Tasks(Command):
    """List the tasks: id, arms, action, cameras, horizon."""

    def run(self) -> dict:
        from hilserl_envs.tasks import TASKS

        rows = []
        for env_id, task_class in TASKS.items():
            task = task_class()
            rows.append(
                {
                    "id": env_id,
                    "arms": list(task.arms),
                    "action_size": task.action_layout[-1].stop,
                    "gripper": any(arm.gripper for arm in task.action_layout),
                    "cameras": list(task.cameras),
                    "horizon": task.horizon,
                    "about": _first_sentence(task_class),
                }
            )
        width = max(len(row["id"]) for row in rows)
        print(f"{'id':{width}}  arms        action         cameras           steps  about")
        for row in rows:
            action = f"{row['action_size']}-D{', gripper' if row['gripper'] else ''}"
            print(
                f"{row['id']:{width}}  {', '.join(row['arms']):10}  {action:13}  "
                f"{', '.join(row['cameras']):16}  {row['horizon']:5}  {row['about']}"
            )
        return {"tasks": rows}


def _first_sentence(task_class: type) -> str:
    """What the task's file says it is."""
    import sys

    text = (sys.modules[task_class.__module__].__doc__ or task_class.__doc__ or "").strip().split("\n\n")[0]
    return text.partition(": ")[2].partition(". ")[0].rstrip(".").replace("\n", " ") or text
