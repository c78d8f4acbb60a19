"""What a signal does inside and after `stop_requests`; the handlers of before write down their calls."""

import signal
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from boresight.train.stopping import stop_requests

BOTH = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


@pytest.fixture
def called() -> Iterator[list[int]]:
    """The signals that reached the handlers of before."""
    reached: list[int] = []

    def before(number: int, _: FrameType | None) -> None:
        reached.append(number)

    old = {number: signal.signal(number, before) for number in (signal.SIGTERM, signal.SIGINT)}
    yield reached
    for number, handler in old.items():
        signal.signal(number, handler)


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]


def test_nothing_is_asked_at_first(called: list[int]) -> None:
    with stop_requests() as request:
        assert request.signal is None
    assert request.signal is None and called == []


@BOTH
def test_the_first_is_noted(number: signal.Signals, called: list[int]) -> None:
    with stop_requests() as request:
        signal.raise_signal(number)
        assert request.signal == number
        assert called == []


def test_sigterm_may_come_twice(called: list[int]) -> None:
    """A scheduler signals every process, and torchrun forwards what it got."""
    with stop_requests() as request:
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
    assert request.signal == signal.SIGTERM
    assert called == []


def test_a_second_ctrl_c_interrupts_as_python_does() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt), stop_requests() as request:
        signal.raise_signal(signal.SIGINT)
        assert request.signal == signal.SIGINT
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("signals", [0, 1, 2])
@BOTH
def test_handlers_are_restored(number: signal.Signals, signals: int, called: list[int]) -> None:
    before = handlers()
    with stop_requests():
        assert handlers() != before
        for _ in range(signals):
            signal.raise_signal(number)
    assert handlers() == before
    signal.raise_signal(number)
    insisted = max(0, signals - 1) if number == signal.SIGINT else 0
    assert called == [number] * (1 + insisted)


def test_handlers_are_restored_after_an_error(called: list[int]) -> None:
    before = handlers()
    with pytest.raises(ZeroDivisionError), stop_requests():
        raise ZeroDivisionError
    assert handlers() == before


def test_a_block_asks_anew(called: list[int]) -> None:
    for _ in range(2):
        with stop_requests() as request:
            assert request.signal is None
            signal.raise_signal(signal.SIGTERM)
            assert request.signal == signal.SIGTERM
    assert called == []


def test_outside_the_main_thread_nothing_happens(called: list[int]) -> None:
    before, seen = handlers(), []

    def elsewhere() -> None:
        with stop_requests() as request:
            seen.append((request.signal, handlers()))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [(None, before)]
    assert handlers() == before
