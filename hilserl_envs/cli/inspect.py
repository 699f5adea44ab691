"""`hilserl inspect`: what is in a recording."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

import tyro

from hilserl_envs.cli import Command

SHEET_ROWS, SHEET_COLUMNS = 20, 8  # episodes, and images of each camera, on the contact sheet


@dataclass(frozen=True, kw_only=True)
class Inspect(Command):
    """Say what a recording holds, and write a contact sheet of what its cameras saw.

    Episodes can be taken out and back in; nothing is ever deleted.
    """

    store: tyro.conf.Positional[Path]
    """Folder of the recording."""
    sheet: Path | None = None
    """Where the contact sheet goes; by default into the folder."""
    verify: bool = False
    """Read everything and check it against its checksums."""
    discard: tuple[int, ...] = ()
    """Episodes, by number, that shall no longer be used."""
    keep: tuple[int, ...] = ()
    """Episodes that shall be used after all."""

    def run(self) -> dict:
        from hilserl_envs.errors import ConfigError
        from hilserl_envs.recording import EpisodeStore, EpisodeWriter
        from hilserl_envs.recording.labels import count_labels

        if self.sheet is not None and self.sheet.suffix != ".png":
            raise ConfigError(f"--sheet names a .png file, got {self.sheet}")
        if both := sorted(set(self.discard) & set(self.keep)):
            raise ConfigError(f"--discard and --keep both name {both}; ask for one of them")
        EpisodeStore(self.store)  # a folder without a recording stays as it is
        if self.discard or self.keep:
            with EpisodeWriter(self.store) as writer:
                for number in (*self.discard, *self.keep):
                    kept = number in self.keep
                    writer.mark(number, kept, "" if kept else "taken out by hand")
        store = EpisodeStore(self.store)
        report = _summary(store)
        if "label" in store.schema.extras:
            report["labels"] = count_labels(store)
        _print(report)
        sheet = self.sheet or self.store / "contact_sheet.png"
        if self.sheet is None and not os.access(self.store, os.W_OK):
            print("no contact sheet: the folder is read-only; --sheet names another place")
        elif store.schema.images and (shown := _shown(store)):
            _write_sheet(store, shown, sheet)
            report["contact_sheet"] = str(sheet)
            print(f"wrote {sheet}: {len(shown)} episodes, one a row, camera after camera")
        if self.verify:
            report["damage"] = store.verify()
            report["ok"] = not report["damage"]
            print("\n".join(report["damage"]) or "everything is as it was written")
        return report


def _summary(store) -> dict:
    kept = [info for info in store.episodes if info.kept]
    steps = sum(info.steps for info in kept)
    interventions = sum(info.interventions for info in kept)
    schema = store.schema
    return {
        "store": str(store.folder),
        "env": (store.meta.get("env") or {}).get("id"),
        "wrappers": [wrapper["name"] for wrapper in store.meta.get("wrappers", ())],
        "versions": store.meta.get("versions"),
        "sessions": store.sessions,
        "recorded": len(store.episodes),
        "episodes": len(kept),
        "unfinished": sum(not info.finished for info in store.episodes),
        "steps": steps,
        "successes": sum(info.success for info in kept),
        "interventions": interventions,
        "intervention_rate": interventions / steps if steps else 0.0,
        "keys": {key: list(leaf.shape) for key, leaf in schema.observations.items()}
        | {key: list(shape) for key, shape in schema.images.items()},
        "action": list(schema.action.shape),
        "extras": {name: list(leaf.shape) for name, leaf in schema.extras.items()},
        "image_format": schema.image_format,
        "bytes": store.nbytes,
        "runs": [dataclasses.asdict(info) for info in store.episodes],
    }


def _print(report: dict) -> None:
    not_kept: dict[str, int] = {}
    for run in report["runs"]:
        if not run["kept"]:
            why = run["why"] or run["outcome"] or "unfinished"
            not_kept[why] = not_kept.get(why, 0) + 1
    episodes = f"{report['episodes']} kept of {report['recorded']}"
    if not_kept:
        episodes += f" (not kept: {', '.join(f'{count} {why}' for why, count in not_kept.items())})"
    lines = {
        "episodes": episodes,
        "successes": report["successes"],
        "steps": f"{report['steps']}, a person acting in {report['interventions']} "
        f"({report['intervention_rate']:.0%})",
        "labels": ", ".join(f"{count} {name}" for name, count in report.get("labels", {}).items()),
        "size": f"{report['bytes'] / 1e6:.1f} MB, images as {report['image_format']}",
        "action": report["action"],
    }
    print(f"{report['store']}: {report['env']}, through {', '.join(report['wrappers']) or 'no wrapper'}")
    for name, value in lines.items():
        if value != "":
            print(f"{name:12} {value}")
    for key, shape in (report["keys"] | report["extras"]).items():
        print(f"  {key:28} {shape}")


def _shown(store) -> list:
    """Figures of the first kept episodes, or of those that are there, if none is kept."""
    return ([info for info in store.episodes if info.kept] or store.episodes)[:SHEET_ROWS]


def _write_sheet(store, shown: list, path: Path) -> None:
    import numpy as np

    from hilserl_envs.images import contact_sheet, save_png

    rows = []
    for info in shown:
        chosen = np.linspace(0, info.steps, min(SHEET_COLUMNS, info.steps + 1)).round().astype(int)
        images = [store.take(camera, info.first + chosen) for camera in store.schema.images]
        rows.append([image for camera in images for image in camera])
    save_png(path, contact_sheet(rows))
