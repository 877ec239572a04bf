"""Named errors: each message says what was wrong, where, and what to do about it."""

from __future__ import annotations


class GeoConvLoRAError(Exception):
    """Base of every error that the user can mend; the command line exits with 2."""


class SceneError(GeoConvLoRAError):
    """A scene cannot be opened, read or placed on the Earth."""


class BandError(GeoConvLoRAError):
    """The scene's bands do not fit the model's."""


class ModelFileError(GeoConvLoRAError):
    """A model file is damaged, of another format version, or for other base weights."""


class WeightsError(GeoConvLoRAError):
    """Base weights are missing or are not what their name promises."""


class OutputError(GeoConvLoRAError):
    """An output exists already, or its place cannot be written."""


class LabelError(GeoConvLoRAError):
    """Labels cannot be read, do not overlap the scene, or hold an unknown class."""


class ConfigError(GeoConvLoRAError):
    """A configuration file or an option has a value that cannot work."""


class WorkerError(GeoConvLoRAError):
    """Processes that work for this one died, again and again."""
