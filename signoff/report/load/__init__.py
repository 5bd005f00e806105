"""The page of a load: what was concluded, drawn."""

PAGE = "load-report.html"
UNVOUCHED = "no evidence vouches for these records: the load was killed or still runs, or an older signoff recorded it"
