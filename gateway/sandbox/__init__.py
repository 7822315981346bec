"""A fake OpenAI for tests, demo and benchmarks: real limits and errors, scripted faults, a log of what it saw.

A program of its own: it imports nothing else of the gateway, and only cli.py and tests import it. docs/sandbox.md.

    connection.py  HTTP/1.1 on asyncio + httptools; plays an answer's steps, detects hang-ups
    service.py     request → answer: keys, faults, limits;  endpoints.py: the table of endpoints
    control.py     /_sandbox/…;  journal.py: the log
    limiter.py     the meters, pure;  limits.py: which meters a call is charged to
    errors.py      named errors with their real bodies
    faults.py      scripted faults;  spoil.py: what a fault makes of an answer
    bodies.py      JSON answers;  streams.py: SSE answers
"""
