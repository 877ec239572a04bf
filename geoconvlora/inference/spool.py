"""What a run has finished, on disk beside its output, so that a run that was killed can go on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from geoconvlora.errors import ConfigError, OutputError

try:
    import fcntl
except ImportError:  # Windows has no such lock; there two runs to one output are not told apart
    fcntl = None  # type: ignore[assignment]

_MANIFEST = "manifest.json"


class Spool:
    """A folder ``.NAME.run`` beside an output: a manifest and the strips finished so far.

    A context manager: the folder goes when the run ends, unless it ends by an error and is to be
    resumed. A run that is killed leaves it.

    Attributes:
        folder: The folder.
    """

    folder: Path

    def __init__(
        self,
        outputs: Sequence[Path],
        settings: Mapping[str, str],
        *,
        resume: bool,
        overwrite: bool,
    ) -> None:
        """Begin a run, or take one over.

        Args:
            outputs: All files that the run writes; the folder lies beside the first one.
            settings: All that decides what is in them, by the words for a message.
            resume: Go on from a former run if there is one, and leave the folder after an error.
            overwrite: Start again where a former run was left.

        Raises:
            OutputError: A former run was left and nobody said what to do, another run is at work,
                or the folder cannot be written.
            ConfigError: The former run had other inputs, model or options.
        """
        self._resume = resume
        self._outputs, self._settings = outputs, dict(settings)
        self.folder = folder_of(outputs[0])
        try:
            self.folder.mkdir(exist_ok=True)
            self._lock = _locked(self.folder / "lock", outputs[0])
            former = _read_manifest(self.folder / _MANIFEST)
        except OSError as error:
            raise self._unwritten(error) from error
        try:
            if former is None:
                self._clear()  # a run was killed as it began, or as it went
            else:
                self._take_over(former, resume=resume, overwrite=overwrite)
            self._write_manifest()
        except BaseException as error:
            self._lock.close()
            if former is None:
                shutil.rmtree(self.folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise self._unwritten(error) from error
            raise

    def settle(self, name: str, value: str) -> None:
        """Add a setting that is known only now.

        Raises:
            ConfigError: The former run had another one.
            OutputError: The manifest cannot be written.
        """
        former = self._settings.get(name)
        if former is not None and former != value:
            raise self._changed([(name, former, value)])
        self._settings[name] = value
        try:
            self._write_manifest()
        except OSError as error:
            raise self._unwritten(error) from error

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        finished = any(self.folder.rglob("*.strip")) or any(self.folder.glob("*.tif"))
        kept = kind is not None and self._resume and finished
        # Network file systems keep a removed file's name while it is open.
        self._lock.close()
        if not kept:
            with suppress(OSError):
                self._clear()  # first, so that strips are never there without their manifest
            shutil.rmtree(self.folder, ignore_errors=True)

    def _take_over(self, former: dict[str, Any], *, resume: bool, overwrite: bool) -> None:
        if overwrite and not resume:
            _remove_parts(former)
            self._clear()
            return
        if not resume:
            raise OutputError(
                f"{self._outputs[0]}: an unfinished run to it was left in {self.folder.name}: "
                "go on with --resume, or start again with --overwrite"
            )
        before = former["settings"]
        changed = [
            (name, before.get(name, "not known"), value)
            for name, value in self._settings.items()
            if before.get(name) != value
        ]
        if changed:
            raise self._changed(changed)
        self._settings = before
        _remove_parts(former)
        for part in self.folder.rglob("*.part"):
            part.unlink()

    def _clear(self) -> None:
        for what in ("*.strip*", "*.tif"):
            for left in self.folder.rglob(what):
                left.unlink()

    def _changed(self, settings: Sequence[tuple[str, str, str]]) -> ConfigError:
        listed = "; ".join(f"{name} was {old}, is {new}" for name, old, new in settings)
        return ConfigError(
            f"{self._outputs[0]}: its unfinished run cannot be resumed, as it was another one "
            f"({listed}): resume with what it had, or start again with --overwrite and without "
            "--resume"
        )

    def _write_manifest(self) -> None:
        manifest = {
            "settings": self._settings,
            "outputs": [str(path.absolute()) for path in self._outputs],
            "pid": os.getpid(),
        }
        draft = self.folder / f"{_MANIFEST}.part"
        draft.write_text(json.dumps(manifest, indent=1))
        draft.replace(self.folder / _MANIFEST)

    def _unwritten(self, error: OSError) -> OutputError:
        return OutputError(
            f"{self._outputs[0]}: its folder cannot be written ({error.strerror}): "
            "is the disk full or the folder gone?"
        )


def strip_in(folder: Path, row: int) -> Path:
    """Return the name of the strip of a row of tiles."""
    return folder / f"{row:06d}.strip"


def folder_of(output: Path) -> Path:
    """Return the name of the folder in which a run to ``output`` keeps what it has finished."""
    return output.with_name(f".{output.name}.run")


def is_unfinished(output: Path) -> bool:
    """Whether a run to ``output`` was left, or is at work."""
    return folder_of(output).exists()


def _locked(path: Path, output: Path) -> Any:
    """Hold a lock that the system lets go when the process ends, however it ends."""
    file = path.open("w")
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise OutputError(
            f"{output} is being written by another run: wait for it, or choose another name"
        ) from None
    except OSError:
        pass  # some network file systems have no locks
    return file


def _read_manifest(path: Path) -> dict[str, Any] | None:
    """None where there is none: a run was killed before it did anything."""
    try:
        manifest: dict[str, Any] = json.loads(path.read_text())
        return manifest if {"settings", "outputs", "pid"} <= manifest.keys() else None
    except (FileNotFoundError, ValueError):
        return None


def _remove_parts(former: dict[str, Any]) -> None:
    """Remove temporary files that a killed run left beside its outputs."""
    for name in former["outputs"]:
        output = Path(name)
        if not output.parent.is_dir():
            continue
        for file in output.parent.iterdir():
            if file.name.startswith(f".{output.name}.{former['pid']}."):
                file.unlink(missing_ok=True)
