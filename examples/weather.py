"""Four years of real weather: read, check, work out each year at once, report."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from engine import context, step, workflow
from examples import chart

SOURCE = Path(__file__).parent / "data" / "seattle-weather.csv"
NUMBERS = ("precipitation", "temp_max", "temp_min", "wind")
KINDS = ("drizzle", "fog", "rain", "snow", "sun")
WET_MM = 1.0  # a wet day has at least so much. Source: WMO climate index R1mm

Day = dict[str, Any]


@step(attempts=3, timeout="30s")
def read() -> dict[str, Any]:
    """Return the file as ``columns`` and ``rows`` of text, nothing judged yet."""
    with SOURCE.open(newline="", encoding="utf-8") as file:
        columns, *rows = csv.reader(file)
    print(f"read {len(rows)} rows from {SOURCE.name}")
    return {"file": SOURCE.name, "columns": columns, "rows": rows}


@step
def validate(table: dict[str, Any], from_year: int, to_year: int) -> dict[str, Any]:
    """Return ``years``, each with its good days, and ``bad``: every row that is wrong, and why.

    A bad row is kept with its line in the file; it costs no other row.

    Raises:
        ValueError: the years are the wrong way round.
    """
    if from_year > to_year:
        raise ValueError(f"from_year {from_year} is after to_year {to_year}")
    years: dict[int, list[Day]] = {year: [] for year in range(from_year, to_year + 1)}
    bad: list[dict[str, Any]] = []
    seen: set[str] = set()
    for line, row in enumerate(table["rows"], start=2):  # line 1 holds the columns
        try:
            day = parse_day(table["columns"], row, seen)
        except ValueError as error:
            bad.append({"line": line, "row": row, "reason": str(error)})
            context.log.warning("line %s: %s", line, error)
            continue
        seen.add(str(day["date"]))
        year = int(day["date"][:4])
        if year in years:
            years[year].append(day)
    context.log.info("%s good rows, %s bad", len(seen), len(bad))
    return {"years": [{"year": year, "days": days} for year, days in years.items()], "bad": bad}


def parse_day(columns: list[str], row: list[str], seen: set[str]) -> Day:
    """Return one day from its texts, whose date must not be in ``seen``.

    Raises:
        ValueError: saying what is wrong with the row.
    """
    if len(row) != len(columns):
        raise ValueError(f"{len(row)} columns instead of {len(columns)}")
    texts = dict(zip(columns, row, strict=True))
    day: Day = {"date": str(datetime.strptime(texts["date"], "%Y/%m/%d").date())}
    if day["date"] in seen:
        raise ValueError(f"{day['date']} is there twice")
    for name in NUMBERS:
        value = float(texts[name])
        if not math.isfinite(value):
            raise ValueError(f"{name} is {texts[name]}")
        day[name] = value
    if day["temp_max"] < day["temp_min"]:
        raise ValueError("temp_max is below temp_min")
    if day["precipitation"] < 0 or day["wind"] < 0:
        raise ValueError("precipitation or wind is negative")
    if texts["weather"] not in KINDS:
        raise ValueError(f"weather {texts['weather']!r} is not known")
    return day | {"weather": texts["weather"]}


@step
def summarise(year: dict[str, Any], hot: float) -> dict[str, Any]:
    """Return the statistics of one year; ``hot`` °C make a hot day. None without any days."""
    days: list[Day] = year["days"]
    print(f"{year['year']}: {len(days)} days")
    if not days:
        return {"year": year["year"], "days": 0}
    hottest = max(days, key=lambda day: day["temp_max"])
    coldest = min(days, key=lambda day: day["temp_min"])
    return {
        "year": year["year"],
        "days": len(days),
        "mean_temp_max": mean(days, "temp_max"),
        "mean_temp_min": mean(days, "temp_min"),
        "mean_wind": mean(days, "wind"),
        "precipitation_mm": round(math.fsum(day["precipitation"] for day in days), 1),
        "wet_days": sum(day["precipitation"] >= WET_MM for day in days),
        "hot_days": sum(day["temp_max"] >= hot for day in days),
        "hottest": {"date": hottest["date"], "temp_max": hottest["temp_max"]},
        "coldest": {"date": coldest["date"], "temp_min": coldest["temp_min"]},
        "weather": dict(sorted(Counter(day["weather"] for day in days).items())),
        "months": months(days),
    }


def mean(days: list[Day], name: str) -> float:
    """Return the mean of one column, to two digits."""
    return round(math.fsum(day[name] for day in days) / len(days), 2)


def months(days: list[Day]) -> list[dict[str, Any]]:
    """Return the mean highest temperature and the rain of each month that has days."""
    grouped: dict[int, list[Day]] = {}
    for day in days:
        grouped.setdefault(date.fromisoformat(day["date"]).month, []).append(day)
    return [
        {
            "month": month,
            "mean_temp_max": mean(found, "temp_max"),
            "precipitation_mm": round(math.fsum(day["precipitation"] for day in found), 1),
        }
        for month, found in sorted(grouped.items())
    ]


@step
def report(years: list[dict[str, Any]], bad: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the years side by side; the chart and the whole report are kept as artifacts."""
    told = [year for year in years if year["days"]]
    result = {
        "source": SOURCE.name,
        "days": sum(year["days"] for year in told),
        "bad_rows": bad,
        "warmest_year": max(told, key=lambda y: y["mean_temp_max"])["year"] if told else None,
        "wettest_year": max(told, key=lambda y: y["precipitation_mm"])["year"] if told else None,
        "years": years,
    }
    context.artifact("temperatures.svg", chart.draw(told), "image/svg+xml")
    context.artifact("report.json", json.dumps(result, indent=2), "application/json")
    return result


Year = Annotated[int, Field(ge=2012, le=2015)]


@workflow(title="Seattle weather")
def weather(
    from_year: Annotated[Year, Field(title="From year")] = 2012,
    to_year: Annotated[Year, Field(title="To year")] = 2015,
    hot: Annotated[
        float, Field(ge=-20, le=50, title="Hot day from (°C)", description="Highest of the day.")
    ] = 25.0,
) -> dict[str, Any]:
    """Read four years of daily weather in Seattle, check each row, and compare the years.

    Rows that are wrong are reported, not lost. Each year is worked out in a step run of its own.
    """
    checked = validate(read(), from_year, to_year)
    return report(summarise.map(checked.years, hot), checked.bad)
