"""An attempt's log is bounded, and what people look for is kept: its beginning, its end, and what
went wrong in between."""

from __future__ import annotations

from engine.steps.attempt_log import END_EVERY, MAX_LINE, AttemptLog, Progress, Said


class _Clock:
    def __init__(self) -> None:
        self.now = 1

    def __call__(self) -> int:
        return self.now


def _log(max_lines: int = 3, max_bytes: int = 10_000) -> tuple[AttemptLog, _Clock]:
    clock = _Clock()
    return AttemptLog(clock=clock, max_lines=max_lines, max_bytes=max_bytes), clock


def _numbers(said: Said) -> list[str]:
    return [line.message for line in said.all_lines if line.message.isdigit()]


def _notices(said: Said) -> list[str]:
    return [line.message for line in said.all_lines if not line.message.isdigit()]


def test_of_many_lines_the_first_and_the_last_are_kept_and_the_gap_is_told() -> None:
    log, _ = _log()
    for number in range(10):
        log.add("info", str(number))
    said = log.take(over=True)
    assert _numbers(said) == ["0", "1", "2", "7", "8", "9"]
    long, gap = _notices(said)
    assert "after its first 3 lines" in long
    assert gap == "4 lines before the last 3 are left out"


def test_a_log_of_just_so_many_lines_has_no_notice() -> None:
    log, _ = _log()
    for number in range(3):
        log.add("info", str(number))
    assert [line.message for line in log.take(over=True).all_lines] == ["0", "1", "2"]


def test_nothing_is_left_out_of_a_log_that_fits_its_beginning_and_its_end() -> None:
    log, _ = _log()
    for number in range(6):
        log.add("info", str(number))
    said = log.take(over=True)
    assert _numbers(said) == ["0", "1", "2", "3", "4", "5"]
    assert len(_notices(said)) == 1


def test_warnings_and_errors_are_kept_wherever_they_stand() -> None:
    log, _ = _log()
    for number in range(20):
        log.add("error" if number == 10 else "warning" if number == 11 else "info", str(number))
    assert _numbers(log.take(over=True)) == ["0", "1", "2", "10", "11", "17", "18", "19"]


def test_errors_without_end_are_bounded_too_and_the_last_of_them_kept() -> None:
    log, _ = _log()
    for number in range(1_000):
        log.add("error", str(number))
    assert _numbers(log.take(over=True)) == ["0", "1", "2", "3", "4", "5", "997", "998", "999"]


def test_each_part_is_bounded_in_bytes() -> None:
    log, _ = _log(max_lines=1_000, max_bytes=100)
    for number in range(100):
        log.add("info", f"{number:010}")
    kept = _numbers(log.take(over=True))
    assert (kept[0], kept[9], kept[10], kept[-1]) == (
        *("0000000000", "0000000009"),
        *("0000000090", "0000000099"),
    )


def test_a_huge_line_loses_its_middle_and_takes_no_room_from_others() -> None:
    log = AttemptLog()
    log.add("info", "<" + "x" * 1_000_000 + ">")
    log.add("info", "after it")
    huge, after = log.drain()
    assert huge.message.startswith("<xxx")
    assert huge.message.endswith("xxx>")
    assert f"{1_000_002 - MAX_LINE:,} characters left out" in huge.message
    assert len(huge.message) < MAX_LINE + 100
    assert after.message == "after it"


def test_endless_text_without_a_newline_is_bounded_in_memory() -> None:
    log, _ = _log(max_lines=10, max_bytes=50_000)
    for _number in range(1_000):
        log.write("x" * 1_000)
    assert sum(len(line.message) for line in log.drain()) < 120_000


def test_of_a_progress_bar_the_last_state_is_kept() -> None:
    log, _ = _log()
    for percent in range(0, 101, 5):
        log.write(f"\r{percent}% done")
    log.write("\n")
    log.write("a windows line\r\n")
    log.write("half\r")
    log.flush()
    assert [line.message for line in log.drain()] == ["100% done", "a windows line", "half"]


# --- as it is written ----------------------------------------------------------------------------


def _wrote(log: AttemptLog, table: dict[int, str], *, over: bool = False) -> Said:
    """Write what there is into ``table`` as a database would."""
    said = log.take(over=over)
    for number in said.forget:
        del table[number]
    first = max(table, default=0) + 1
    table |= {first + at: line.message for at, line in enumerate(said.all_lines)}
    log.wrote(said, first)
    return said


def test_the_end_is_written_now_and_then_and_takes_the_place_of_what_was_the_end_before() -> None:
    log, clock = _log()
    table: dict[int, str] = {}
    for number in range(50):
        log.add("info", str(number))
        clock.now += END_EVERY // 4
        _wrote(log, table)
    _wrote(log, table, over=True)
    numbers = [message for message in table.values() if message.isdigit()]
    assert numbers == ["0", "1", "2", "47", "48", "49"]
    assert "44 lines before the last 3 are left out" in table.values()


def test_between_two_looks_at_the_end_only_what_is_to_stay_is_handed_over() -> None:
    log, clock = _log()
    for number in range(5):
        log.add("info", str(number))
    clock.now += END_EVERY
    assert _numbers(log.take()) == ["0", "1", "2", "3", "4"]
    log.add("info", "5")
    log.add("error", "6")
    assert _numbers(log.take()) == ["6"]
    clock.now += END_EVERY
    assert _numbers(log.take()) == ["5"]


def test_what_could_not_be_written_comes_again_before_what_followed() -> None:
    log, clock = _log()
    table: dict[int, str] = {}
    for number in range(6):
        log.add("info", str(number))
    clock.now += END_EVERY
    _wrote(log, table)
    log.report(Progress(1))
    log.add("error", "6")
    for number in range(7, 9):
        log.add("info", str(number))
    log.put_back(log.take(over=True))
    log.add("info", "9")
    said = _wrote(log, table, over=True)
    assert said.progress == Progress(1)
    numbers = [message for message in table.values() if message.isdigit()]
    assert numbers == ["0", "1", "2", "6", "7", "8", "9"]


def test_a_later_word_of_progress_wins_over_one_put_back() -> None:
    log, _ = _log()
    log.report(Progress(1))
    said = log.take()
    log.report(Progress(2))
    log.put_back(said)
    assert log.take().progress == Progress(2)
