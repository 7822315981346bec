"""`cache_affinity`: calls with the same prompt meet the same account, for its cache knows the prompt."""

from gateway.core.snapshot import SelectionStrategy
from tests.fakes.relay_kit import OK, RelayKit, rate_limited

NAMES = "abcdefgh"


def kit_of(strategy: SelectionStrategy = SelectionStrategy.CACHE_AFFINITY) -> RelayKit:
    kit = RelayKit(*NAMES, strategy=strategy)
    for name in NAMES:
        kit.upstream.on(f"sk-{name}", OK)
    return kit


def body(prompt: str, end: str = "") -> bytes:
    return b'{"model":"gpt-4","messages":[{"role":"system","content":"%b"}],"n":1%b}' % (
        (prompt * 300).encode(),
        end.encode(),
    )


async def test_calls_with_the_same_prompt_go_to_one_account():
    kit = kit_of()

    for number in range(6):
        await kit.answer(body=body("You are helpful. ", f',"seed":{number}'))

    assert len(set(kit.upstream.keys)) == 1


async def test_other_prompts_go_to_other_accounts():
    kit = kit_of()

    for number in range(30):
        await kit.answer(body=body(f"You are number {number}. "))

    assert len(set(kit.upstream.keys)) > 4


async def test_what_the_caller_names_goes_before_the_prompt():
    kit = kit_of()

    for number in range(6):
        await kit.answer(body=body(f"You are number {number}. "), affinity="my-cache")

    assert len(set(kit.upstream.keys)) == 1


async def test_a_parked_account_yields_at_once_and_gets_its_prompts_back():
    kit = kit_of()
    await kit.answer(body=body("x"))
    home = kit.upstream.keys[0]
    kit.upstream.on(home, rate_limited(5.0), OK)

    away = [await kit.answer(body=body("x")) for _ in range(3)]
    kit.clock.move(6.0)
    await kit.answer(body=body("x"))

    assert [answer.status for answer in away] == [200, 200, 200]
    first, refused, *elsewhere, back = kit.upstream.keys
    assert (first, refused, back) == (home, home, home)
    assert home not in elsewhere
    assert len(set(elsewhere)) == 1


async def test_other_strategies_do_not_look_at_the_prompt():
    kit = kit_of(SelectionStrategy.BALANCED)

    for _ in NAMES:
        await kit.answer(body=body("x"), affinity="k")

    assert set(kit.upstream.keys) == {f"sk-{name}" for name in NAMES}
