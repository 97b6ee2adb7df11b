"""When an index rebalances: reference, pro-forma and effective dates, as rows, iCalendar and RSS.

Dates are instants in UTC: daylight saving moves none of them. Each says what New York's exchange does that day,
because the index is held against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from html import escape
from zoneinfo import ZoneInfo

from indexer.methodology.spec import Methodology, rebalance_dates
from indexer.store.rows import AnnouncementRow
from indexer.times import DAY_US, from_us, to_us

NEW_YORK = ZoneInfo("America/New_York")
LINE = 73  # RFC 5545 folds lines at 75 octets


@dataclass(frozen=True, slots=True)
class Entry:
    """One date of an index. `what` is reference, pro-forma or effective; `exchange` is open, half-day or closed."""

    index: str
    what: str
    kind: str
    at: datetime
    new_york: str
    exchange: str

    @property
    def title(self) -> str:
        """What a calendar shows."""
        return f"{self.index}: {self.kind}, {self.what}"


def entries(methodology: Methodology, *, start_us: int, end_us: int) -> list[Entry]:
    """Every date of an index from `start_us` to `end_us`, in order; a transition has one effective date each fixing."""
    schedule = methodology.schedule
    base = to_us(methodology.base_date)
    before = (schedule.reference_days_before + schedule.transition_fixings) * DAY_US
    dates: list[tuple[int, str, str]] = []
    for review in rebalance_dates(schedule, start_us - before, end_us + before):
        if review.effective_us < base:
            continue
        kind = "reconstitution" if review.reconstitution else "rebalance"
        dates += [(review.reference_us, "reference", kind), (review.reference_us, "pro-forma", kind)]
        for fixing in range(schedule.transition_fixings):
            step = f" fixing {fixing + 1} of {schedule.transition_fixings}" if schedule.transition_fixings > 1 else ""
            dates.append((review.effective_us + fixing * DAY_US, f"effective{step}", kind))
    inside = sorted(entry for entry in dates if start_us <= entry[0] <= end_us)
    sessions = _sessions(inside)
    return [
        Entry(methodology.id, what, kind, from_us(at), _new_york(at).isoformat(), sessions[_new_york(at).date()])
        for at, what, kind in inside
    ]


def _new_york(at_us: int) -> datetime:
    return from_us(at_us).astimezone(NEW_YORK)


def _sessions(dates: Sequence[tuple[int, str, str]]) -> dict[date, str]:
    """What New York's exchange does on the days of these instants: open, half-day or closed."""
    from indexer.analytics.align import session_closes

    days = {_new_york(at).date() for at, _, _ in dates}
    if not days:
        return {}
    closes = session_closes(min(days), max(days) + timedelta(days=1)).tolist()
    close = {_new_york(close_us).date(): _new_york(close_us) for close_us in closes}
    return {day: "closed" if day not in close else "open" if close[day].hour >= 16 else "half-day" for day in days}


def as_ical(planned: Sequence[Entry], *, name: str, now: datetime) -> str:
    """The dates as an iCalendar (RFC 5545): stable UIDs, UTC instants, lines folded, CRLF."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//deai-index//calendar//EN", "CALSCALE:GREGORIAN"]
    lines.append(f"X-WR-CALNAME:{_ical_text(name)}")
    for entry in planned:
        stamp = entry.at.strftime("%Y%m%dT%H%M%SZ")
        uid = f"{entry.index}-{entry.what.replace(' ', '-')}-{stamp}@deai-index"
        lines += ["BEGIN:VEVENT", f"UID:{uid}", f"DTSTAMP:{now.astimezone(UTC):%Y%m%dT%H%M%SZ}", f"DTSTART:{stamp}"]
        lines += ["DURATION:PT0S", f"SUMMARY:{_ical_text(entry.title)}"]
        lines += [f"DESCRIPTION:{_ical_text(f'New York: {entry.new_york}, exchange {entry.exchange}')}"]
        lines += ["TRANSP:TRANSPARENT", "END:VEVENT"]
    lines.append("END:VCALENDAR")
    return "".join(_folded(line) for line in lines)


def _ical_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,").replace("\n", "\\n")


def _folded(line: str) -> str:
    """A line of at most 75 octets, continued on lines that begin with a blank."""
    out, rest = [], line
    while len(rest.encode()) > LINE + 2:
        cut = LINE
        while len(rest[:cut].encode()) > LINE:
            cut -= 1
        out.append(rest[:cut])
        rest = " " + rest[cut:]
    return "\r\n".join([*out, rest]) + "\r\n"


def as_rss(rows: Sequence[AnnouncementRow], *, title: str, link: str, now: datetime) -> str:
    """Announcements as an RSS 2.0 feed, newest first."""
    items = "".join(
        f"<item><title>{escape(row.title)}</title><guid isPermaLink='false'>{escape(row.key)}</guid>"
        f"<category>{escape(row.kind)}</category><pubDate>{format_datetime(row.published_at)}</pubDate>"
        f"<description>{escape(row.detail)}</description></item>"
        for row in rows
    )
    return (
        "<?xml version='1.0' encoding='UTF-8'?><rss version='2.0'><channel>"
        f"<title>{escape(title)}</title><link>{escape(link)}</link><description>{escape(title)}</description>"
        f"<lastBuildDate>{format_datetime(now)}</lastBuildDate>{items}</channel></rss>"
    )
