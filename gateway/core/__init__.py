"""Pure decisions on values: no clock, no randomness of its own, no I/O, no logs, no awaits."""
