"""A deadline of a block."""

import asyncio
import contextvars

import pytest

import peerage
from peerage.calling.deadline import current_deadline


async def never():
    await asyncio.Event().wait()


async def test_a_block_is_given_up_when_its_deadline_passes():
    with pytest.raises(peerage.DeadlineExceededError, match=r"The deadline of 0\.01 s has passed$") as caught:
        async with peerage.deadline(0.01):
            await never()
    assert isinstance(caught.value, TimeoutError)
    assert asyncio.current_task().cancelling() == 0
    assert current_deadline.get() is None


async def test_a_deadline_that_has_passed_already_lets_nothing_be_waited_for():
    with pytest.raises(peerage.DeadlineExceededError):
        async with peerage.deadline(0):
            await never()


async def test_the_cancellation_by_another_task_is_not_swallowed():
    """Not even if the deadline passes in the same turn of the loop."""

    async def work():
        async with peerage.deadline(3600):
            await never()

    async def work_until_both():
        async with peerage.deadline(0):
            asyncio.current_task().cancel()
            await never()

    for each in (work, work_until_both):
        task = asyncio.create_task(each())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()


@pytest.mark.parametrize(("outer", "inner"), [(0.01, 3600), (3600, 0.01), (0.01, 0.01), (0.01, None)])
async def test_of_nested_deadlines_the_smaller_one_holds(outer, inner):
    with pytest.raises(peerage.DeadlineExceededError, match=r"deadline of 0\.01 s"):
        async with peerage.deadline(outer), peerage.deadline(inner):
            await never()
    assert asyncio.current_task().cancelling() == 0


async def test_an_inner_deadline_ends_only_its_own_block():
    async with peerage.deadline(3600):
        around = current_deadline.get()
        with pytest.raises(peerage.DeadlineExceededError):
            async with peerage.deadline(0.01):
                await never()
        assert current_deadline.get() is around
        await asyncio.sleep(0)


async def test_another_time_limit_inside_ends_as_what_it_is():
    with pytest.raises(TimeoutError) as caught:
        async with peerage.deadline(3600), asyncio.timeout(0):
            await never()
    assert not isinstance(caught.value, peerage.DeadlineExceededError)


async def test_without_seconds_there_is_no_deadline():
    async with peerage.deadline(None):
        assert current_deadline.get() is None
    async with peerage.deadline(float("inf")):
        assert current_deadline.get() is None
    with pytest.raises(peerage.ConfigurationError, match="nan"):
        async with peerage.deadline(float("nan")):
            pass


async def test_tasks_inherit_the_deadline_unless_they_have_a_context_of_their_own():
    async def current():
        return current_deadline.get()

    async with peerage.deadline(3600):
        inherited = asyncio.create_task(current())
        free = asyncio.create_task(current(), context=contextvars.Context())
        assert await inherited is current_deadline.get()
        assert await free is None
