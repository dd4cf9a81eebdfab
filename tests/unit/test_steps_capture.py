"""What a step says is kept with its attempt, and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import logging.config
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from engine.errors import EngineError, StepError
from engine.steps import capture, threads
from engine.steps.attempt_log import AttemptLog
from engine.steps.capture import capturing
from engine.steps.context import MAX_ARTIFACT, MAX_ARTIFACTS, Context, context, entered


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@contextmanager
def _capturing(log: AttemptLog) -> Iterator[None]:
    # Not in a fixture: pytest puts its own stdout in place again before the test itself.
    capture.install()
    with capturing(log):
        yield


def _said(log: AttemptLog) -> list[tuple[str, str]]:
    return [(line.level, line.message) for line in log.drain()]


def _attempt(**changes: object) -> Context:
    given: dict[str, object] = {
        "execution_id": "0000000000001",
        "workflow": "orders",
        "step": "fetch",
        "idempotency_key": "0000000000001.0.-1",
    }
    return Context(**(given | changes))  # type: ignore[arg-type]


def test_logging_and_print_are_kept_in_order_with_level_and_time() -> None:
    times = iter(range(100, 200))
    log = AttemptLog(clock=lambda: next(times))
    with _capturing(log):
        logging.getLogger("shop").info("got %d orders", 3)
        print("half", end="")
        print(" a line")
        logging.getLogger("shop").warning("late")
        logging.getLogger("shop").error("broken")
    lines = log.drain()
    assert [(line.at, line.level, line.message) for line in lines] == [
        (100, "info", "got 3 orders"),
        (101, "info", "half a line"),
        (102, "warning", "late"),
        (103, "error", "broken"),
    ]
    assert log.drain() == []


def test_printed_text_without_a_newline_is_kept_when_the_attempt_ends() -> None:
    log = AttemptLog()
    with _capturing(log):
        print("no newline", end="")
        assert log.drain() == []
    assert _said(log) == [("info", "no newline")]


def test_outside_an_attempt_print_and_logging_go_where_they_always_did(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = AttemptLog()
    with _capturing(log):
        print("inside")
    print("outside")
    logging.getLogger("shop").info("outside")
    assert _said(log) == [("info", "inside")]
    assert "inside" not in capsys.readouterr().out


def test_what_a_library_says_below_info_is_not_kept() -> None:
    log = AttemptLog()
    chatty = logging.getLogger("chatty")
    chatty.setLevel(logging.DEBUG)
    with _capturing(log):
        chatty.debug("socket opened")
        chatty.info("done")
    assert _said(log) == [("info", "done")]


def test_a_logged_exception_keeps_its_traceback() -> None:
    log = AttemptLog()
    with _capturing(log):
        try:
            int("bad row")
        except ValueError:
            logging.getLogger("shop").exception("row 7")
    ((level, message),) = _said(log)
    assert level == "error"
    assert message.startswith("row 7\nTraceback")
    assert message.endswith("with base 10: 'bad row'")


def test_attempts_in_many_threads_never_mix() -> None:
    ready = threading.Barrier(8)

    def attempt(number: int) -> list[str]:
        log = AttemptLog()
        with _capturing(log):
            ready.wait(5)
            for line in range(200):
                print(number, end=" ")
                print(line)
        return [line.message for line in log.drain()]

    with ThreadPoolExecutor(8) as pool:
        for number, lines in enumerate(pool.map(attempt, range(8))):
            assert lines == [f"{number} {line}" for line in range(200)]


def test_coroutines_and_their_threads_are_kept_too() -> None:
    log = AttemptLog()

    async def main() -> None:
        print("loop")
        await asyncio.to_thread(print, "thread")

    with _capturing(log):
        asyncio.run(main())
    assert _said(log) == [("info", "loop"), ("info", "thread")]


def test_what_no_database_can_hold_is_replaced() -> None:
    log = AttemptLog()
    with _capturing(log):
        print("nul \0 and half \ud800 a character")
    assert _said(log) == [("info", "nul \ufffd and half ? a character")]


def test_standard_error_warnings_and_tracebacks_are_kept() -> None:
    log = AttemptLog()
    with _capturing(log), warnings.catch_warnings():
        capture.install_for_warnings()
        print("to standard error", file=sys.stderr)
        sys.stdout.buffer.write(b"as bytes \xff\n")
        for _ in range(2):
            warnings.warn("careful", stacklevel=1)
        try:
            int("row 7")
        except ValueError:
            traceback.print_exc()
    logging.captureWarnings(capture=False)
    said = _said(log)
    assert said[:2] == [("info", "to standard error"), ("info", "as bytes \ufffd")]
    told = [message for level, message in said if level == "warning"]
    assert len(told) == 2
    assert all("UserWarning: careful" in message for message in told)
    assert ("info", "ValueError: invalid literal for int() with base 10: 'row 7'") in said


@pytest.fixture
def private() -> Iterator[logging.Logger]:
    """A logger with a handler of its own on standard error, whose records go no further."""
    capture.install()
    logger = logging.getLogger("a.private.library")
    handler = logging.StreamHandler(sys.stderr)
    logger.propagate = False
    logger.addHandler(handler)
    yield logger
    logger.handlers.clear()
    logger.propagate = True


def test_a_logger_that_does_not_propagate_is_kept_once(private: logging.Logger) -> None:
    log = AttemptLog()
    with capturing(log):
        private.warning("mine alone")
    assert _said(log) == [("warning", "mine alone")]


def test_a_line_whose_format_does_not_fit_fails_no_step(private: logging.Logger) -> None:
    private.handlers[:] = private.handlers[:1]  # pytest's own handler raises on purpose
    log = AttemptLog()
    with capturing(log):
        private.warning("%d orders", "no number")
    ((level, message),) = _said(log)
    assert level == "error"
    assert "logger a.private.library" in message
    assert "%d orders" in message


@pytest.mark.parametrize(
    "silence",
    [
        lambda: logging.config.dictConfig({"version": 1, "root": {"level": "ERROR"}}),
        lambda: logging.basicConfig(force=True, level=logging.CRITICAL),
        lambda: logging.disable(logging.CRITICAL),
        logging.getLogger().handlers.clear,
    ],
)
def test_a_step_that_configures_logging_silences_no_later_one(
    silence: Callable[[], None],
) -> None:
    logger = logging.getLogger("made.before")
    with _capturing(AttemptLog()):
        silence()
    log = AttemptLog()
    with capturing(log):
        logger.info("still here")
    assert _said(log) == [("info", "still here")]
    assert not logger.disabled


def test_threads_and_pools_of_user_code_speak_for_its_attempt() -> None:
    attempt = _attempt()
    capture.install()

    def work(number: int) -> int:
        context.log.info("log %d", number)
        print("print", number)
        return number if context.step == "fetch" else -1

    with entered(attempt):
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(work, range(2))) == [0, 1]
        thread = threading.Thread(target=work, args=(2,))
        thread.start()
        thread.join()
        assert asyncio.run(_in_default_pool(work)) == 3
    expected = [("info", f"{way} {number}") for number in range(4) for way in ("log", "print")]
    assert sorted(_said(attempt.lines)) == sorted(expected)


async def _in_default_pool(work: Callable[[int], int]) -> int:
    return await asyncio.get_running_loop().run_in_executor(None, work, 3)


def test_a_pool_that_attempts_share_speaks_for_the_one_that_asks() -> None:
    capture.install()
    first, second = AttemptLog(), AttemptLog()
    with ThreadPoolExecutor(1) as pool:
        for log, word in ((first, "one"), (second, "two")):
            with capturing(log):
                pool.submit(print, word).result()
    assert (_said(first), _said(second)) == ([("info", "one")], [("info", "two")])


def test_a_thread_that_outlives_its_attempt_is_heard_no_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log, over = AttemptLog(), threading.Event()

    def speak() -> None:
        over.wait(5)
        print("too late")

    with _capturing(log):
        thread = threading.Thread(target=speak)
        thread.start()
    over.set()
    thread.join()
    assert log.drain() == []
    assert "too late" in capsys.readouterr().out


def test_a_thread_of_the_engines_own_belongs_to_no_attempt() -> None:
    log = AttemptLog()
    with _capturing(log):
        threads.start_own("own", lambda: print("of the engine's own")).join()
    assert log.drain() == []


def test_a_vital_thread_that_ends_is_told_with_why(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(threads, "_on_death", threads._on_death)
    threads.on_death(lambda name, error: told.append((name, repr(error))))

    def work() -> None:
        raise SystemExit(3)

    threads.start_vital("sweeper", work).join()
    assert told == [("sweeper", "SystemExit(3)")]


def test_what_a_fork_of_the_worker_prints_goes_where_it_always_did(
    capfd: pytest.CaptureFixture[str],
) -> None:
    log = AttemptLog()
    with capfd.disabled(), _capturing(log):
        reads, writes = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(writes, 1)
            sys.stdout = capture._StandIn(os.fdopen(1, "w"), 1)
            print("from the fork", flush=True)
            os._exit(0)
        os.waitpid(pid, 0)
        os.close(writes)
    assert os.read(reads, 100) == b"from the fork\n"
    os.close(reads)
    ((level, text),) = _said(log)
    assert level == "warning"
    assert "forks its worker" in text


def test_installing_twice_keeps_each_line_once() -> None:
    capture.install()
    capture.install()
    log = AttemptLog()
    with _capturing(log):
        print("once")
        logging.getLogger("shop").info("once more")
    assert len(log.drain()) == 2


def test_context_is_the_current_attempt() -> None:
    attempt = _attempt(item=4, attempt=2, is_cancelled=lambda: True)
    with entered(attempt):
        assert (context.execution_id, context.step, context.item) == ("0000000000001", "fetch", 4)
        assert (context.attempt, context.cancelled, context.woken) == (2, True, False)
        assert context.idempotency_key == "0000000000001.0.-1"


def test_context_outside_a_step_says_so() -> None:
    with pytest.raises(EngineError, match=r"context\.attempt means something only while"):
        _ = context.attempt
    assert repr(context) == "<context: no step is running>"
    assert not hasattr(context, "__wrapped__")


def test_context_log_keeps_all_levels_and_never_fails_a_step() -> None:
    attempt = _attempt()
    attempt.log.debug("d %s", 1)
    attempt.log.info("100%")
    attempt.log.warning("%d", "no number")
    attempt.log.error("e")
    attempt.log.log(logging.CRITICAL, "c")
    assert _said(attempt.lines) == [
        ("debug", "d 1"),
        ("info", "100%"),
        ("warning", "%d ('no number',)"),
        ("error", "e"),
        ("error", "c"),
    ]


def test_an_artifact_replaces_the_one_of_its_name() -> None:
    attempt = _attempt()
    attempt.artifact("report.txt", "old")
    attempt.artifact("chart.svg", b"<svg/>", "image/svg+xml")
    attempt.artifact("report.txt", "néw")
    kept = [(one.name, one.media_type, one.body) for one in attempt.artifacts]
    assert kept == [
        ("report.txt", "text/plain", "néw".encode()),
        ("chart.svg", "image/svg+xml", b"<svg/>"),
    ]


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", "a\\b", "a\nb", "x" * 129])
def test_an_artifact_needs_a_plain_name(name: str) -> None:
    with pytest.raises(StepError) as caught:
        _attempt().artifact(name, "x")
    assert not caught.value.retryable


def test_artifacts_are_bounded_in_type_size_and_number() -> None:
    attempt = _attempt()
    with pytest.raises(StepError, match="no media type"):
        attempt.artifact("a", "x", "text/html; charset=utf-8\r\nX: y")
    with pytest.raises(StepError) as caught:
        attempt.artifact("a", b"x" * (MAX_ARTIFACT + 1))
    assert caught.value.reason == "too_large"
    for number in range(MAX_ARTIFACTS):
        attempt.artifact(f"a{number}", "x")
    with pytest.raises(StepError, match="one too many"):
        attempt.artifact("last", "x")
