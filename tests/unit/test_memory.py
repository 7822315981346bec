from gateway.memory import GROWTH_BYTES, Memory, resident_bytes, trim_of_libc


async def test_memory_is_given_back_once_it_has_grown():
    sizes = iter([100, 100 + GROWTH_BYTES - 1, 100 + GROWTH_BYTES, 150, 150 + GROWTH_BYTES - 1])
    trims = []
    memory = Memory(resident=lambda: next(sizes), trim=lambda: trims.append("trim"))

    await memory.give_back()
    assert trims == []

    await memory.give_back()
    assert trims == ["trim"]

    await memory.give_back()
    assert trims == ["trim"], "what is left after a trim is the new measure"


def test_the_process_knows_its_size():
    assert resident_bytes() > 1024 * 1024


def test_trimming_is_harmless():
    trim = trim_of_libc()

    if trim is not None:  # glibc
        assert trim() in {0, 1}
