from tests.fakes.stateful_kit import ended_writers

__all__ = ["ended_writers"]
