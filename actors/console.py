"""How a worker's lines look: readable on a terminal, or one JSON object a line."""

from __future__ import annotations

import json
import logging
import time

from engine.settings import Settings


class TextFormatter(logging.Formatter):
    """``12:04:31.220 info  step_completed workflow=weather execution=… step=report``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one readable line (a traceback follows on its own lines)."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = getattr(record, "fields", None)
        if fields is None:
            said = f"{record.getMessage()}  ({record.name})"
        else:
            pairs = [f"{name}={_one_line(value)}" for name, value in fields.items()]
            said = " ".join([record.getMessage(), *[p for p in pairs if p[:6] != "event="]])
        line = f"{clock}.{int(record.msecs):03d} {record.levelname.lower():7} {said}"
        return line if not record.exc_info else f"{line}\n{self.formatException(record.exc_info)}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for machines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line = {
            "at": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up(settings: Settings) -> None:
    """Give the handlers that Dramatiq made our format and level."""
    formatter = JsonFormatter() if settings.log_format == "json" else TextFormatter()
    root = logging.getLogger()
    for handler in root.handlers:
        handler.setFormatter(formatter)
    root.setLevel(settings.log_level)
    # What is sent, received and ticked line by line is the libraries' own affair.
    for name in ("dramatiq", "periodiq"):
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))


def _one_line(value: str) -> str:
    # A name or an error may hold line breaks; a forged second line must not pass for ours.
    return (
        json.dumps(value, ensure_ascii=False) if not value.isprintable() or " " in value else value
    )
