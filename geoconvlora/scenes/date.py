"""When a scene was taken, as far as its file says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from rasterio.io import DatasetReader

# GDAL's own name for it first, then what files of several makers have; TIFFTAG_DATETIME may be
# the time of processing, so it comes last.
_IMAGERY_TAG = "ACQUISITIONDATETIME"
_TAGS = (
    "ACQUISITION_DATETIME",
    "ACQUISITION_DATE",
    "ACQUISITIONDATETIME",
    "ACQUISITIONDATE",
    "DATE_ACQUIRED",
    "SENSING_TIME",
    "TIFFTAG_DATETIME",
)
_FORMATS = ("%Y:%m:%d %H:%M:%S", "%Y:%m:%d", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d")


def acquisition_date(dataset: DatasetReader) -> str:
    """Return when a raster was taken: ISO 8601, or an empty string where it does not say.

    GDAL's metadata domain ``IMAGERY`` is asked first, then tags of acquisition, then
    ``TIFFTAG_DATETIME``.
    """
    imagery = dataset.tags(ns="IMAGERY").get(_IMAGERY_TAG, "")
    return _first([imagery, *_candidates(dataset.tags())])


def date_of_tags(tags: Mapping[str, object]) -> str:
    """Return the same from tags alone, for instance from the attributes of a DataArray.

    Example:
        >>> date_of_tags({"TIFFTAG_DATETIME": "2023:06:15 10:30:21"})
        '2023-06-15T10:30:21'
    """
    return _first(_candidates(tags))


def joint_date(dates: Iterable[str]) -> str:
    """Return the date of several scenes: the one that they share, or an interval of ISO 8601.

    Scenes that do not say theirs are left out. One's own date may be an interval.

    Example:
        >>> joint_date(["2023-07-01", "", "2023-05-01"]), joint_date(["2023-07-01", "2023-07-01"])
        ('2023-05-01/2023-07-01', '2023-07-01')
    """
    known = sorted({end for date in dates for end in date.split("/")} - {""})
    return "/".join(known if len(known) < 2 else (known[0], known[-1]))


def _candidates(tags: Mapping[str, object]) -> list[str]:
    by_name = {name.upper(): str(value) for name, value in tags.items()}
    return [by_name[name] for name in _TAGS if name in by_name]


def _first(texts: Iterable[str]) -> str:
    return next(filter(None, map(_iso, texts)), "")


def _iso(text: str) -> str:
    """A date, a moment or an interval of them in ISO 8601; empty where the text is none."""
    text = text.strip()
    first, slash, last = text.partition("/")
    if slash and "/" not in last:
        ends = [_iso(first), _iso(last)]
        return "/".join(ends) if all(ends) else ""
    moment = _parsed(text)
    if moment is None:
        return ""
    if len(text) <= 10:
        return moment.date().isoformat()
    if moment.tzinfo is None:
        return moment.isoformat(timespec="seconds")
    try:
        in_utc = moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:  # in the first hours of year 1 or the last of 9999
        return ""
    return in_utc.isoformat(timespec="seconds") + "Z"


def _parsed(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass
    for pattern in _FORMATS:
        try:
            return datetime.strptime(text, pattern)
        except ValueError:
            continue
    return None
