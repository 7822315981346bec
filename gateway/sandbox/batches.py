"""Batches: done the moment they are first asked for."""

from typing import Any

import msgspec

from gateway.sandbox.objects import Fields, Objects, Shelf


def write_batch(fields: Fields, id_: str, created: int) -> Fields:
    return {
        "id": id_,
        "object": "batch",
        "endpoint": fields.get("endpoint"),
        "errors": None,
        "input_file_id": fields.get("input_file_id"),
        "completion_window": fields.get("completion_window", "24h"),
        "status": "validating",
        "output_file_id": None,
        "error_file_id": None,
        "created_at": created,
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
        "metadata": fields.get("metadata"),
    }


def finish(batch: Fields, shelf: Shelf, objects: Objects, created: int) -> None:
    """Writes the output file, a line for each line of the input, and names it."""
    if batch["status"] != "validating":
        return
    lines = shelf.contents.get(batch["input_file_id"], b"").splitlines()
    answers = [_answered(line, number) for number, line in enumerate(lines, 1) if line.strip()]
    content = b"".join(msgspec.json.encode(answer) + b"\n" for answer in answers)
    file: Fields = {
        "id": objects.new_id("file-"),
        "object": "file",
        "bytes": len(content),
        "created_at": created,
        "filename": f"{batch['id']}_output.jsonl",
        "purpose": "batch_output",
        "status": "processed",
    }
    shelf.put("/files", file)
    shelf.contents[file["id"]] = content
    batch["status"], batch["output_file_id"] = "completed", file["id"]
    batch["request_counts"] = {"total": len(answers), "completed": len(answers), "failed": 0}


def _answered(line: bytes, number: int) -> dict[str, Any]:
    try:
        asked = msgspec.json.decode(line)
    except msgspec.DecodeError:
        asked = None
    asked = asked if isinstance(asked, dict) else {}
    body = asked.get("body")
    model = body.get("model") if isinstance(body, dict) else None
    answer = {
        "id": f"chatcmpl-{number:024d}",
        "object": "chat.completion",
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "echo"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    return {
        "id": f"batch_req_{number:024d}",
        "custom_id": asked.get("custom_id"),
        "response": {"status_code": 200, "request_id": f"req_{number:024d}", "body": answer},
        "error": None,
    }
