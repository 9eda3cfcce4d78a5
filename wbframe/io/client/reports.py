"""What the last reads of a client did."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from wbframe.report import ScanReport


class ScanName(NamedTuple):
    """Which scan a read is of: its number among all of this process, and what it reads in words."""

    number: int
    text: str


class Reports:
    """The report of the last read, and those of the scans of the last query.

    Attributes
    ----------
    last
        Of the last read of any kind; None before the first.
    """

    def __init__(self) -> None:
        self.last: ScanReport | None = None
        self._of_scans: dict[ScanName, ScanReport] = {}
        self._over = True

    def begin(self) -> None:
        """Take note that a query asks for the columns of its scans, as it does before any of them is read."""
        self._over = True

    def add(self, report: ScanReport, scan: ScanName | None) -> None:
        """Take the report of a read; the first of a query makes those of the query before forgotten."""
        self.last = report
        if scan is not None:
            before = {} if self._over else self._of_scans
            self._over = False
            self._of_scans = {**{k: v for k, v in before.items() if k != scan}, scan: report}

    def of(self, scan: ScanName) -> ScanReport | None:
        """Give the report of a scan of the last query."""
        return self._of_scans.get(scan)

    def of_scans(self) -> dict[str, ScanReport]:
        """Give those of the last query by what its scans read, the latest last; several alike are numbered."""
        found: dict[str, ScanReport] = {}
        for (_, text), report in self._of_scans.items():
            same = sum(each.partition(" #")[0] == text for each in found)
            found[f"{text} #{same + 1}" if same else text] = report
        return found
