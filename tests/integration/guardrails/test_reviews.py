"""Cases for a person: what both stores promise, and what callers see of them."""

from __future__ import annotations

import asyncio
import dataclasses
import json

import grpc
import pytest

from guardrails.findings import Direction, Finding, Role, Treatment
from guardrails.review import (
    Case,
    Decision,
    MemoryReviews,
    RedisReviews,
    ReviewDecided,
    ReviewsDown,
    ReviewState,
    ReviewUnknown,
)
from guardrails.review.case import new_review_id
from vedette.guardrails.v1 import guardrails_pb2 as pb

SECRET = b"a secret of the test"
FINDING = Finding(
    detector="pii",
    category="EMAIL",
    rule_id="pii.email",
    start=5,
    end=16,
    score=0.6,
    treatment=Treatment.REVIEW,
)
ACCEPTED = Decision(state=ReviewState.ACCEPTED, resolved_by="ann", resolved_s=2.0)
REJECTED = Decision(state=ReviewState.REJECTED, resolved_by="bob", resolved_s=3.0)

POLICY = """
version: 1
input:
  detectors:
    pii: {action: allow, categories: {EMAIL: review, IP_ADDRESS: hold}}
output:
  detectors:
    pii: {action: allow, categories: {EMAIL: review, IP_ADDRESS: hold}}
"""
KEEPING = POLICY + "reviews: {keep_text: true, ttl_hours: 1}\n"
TEXT = "Mail jo@example.com now"
HELD = "Mail jo@example.com from 192.168.10.17 now"


class Clock:
    """Seconds since 1970, as the test says."""

    now_s = 1_800_000_000.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=["memory", "redis"])
async def reviews(request, clock):
    """A store with room for three cases of each tenant."""
    if request.param == "memory":
        store = MemoryReviews(most=3, now=clock)
    else:
        socket, _, _ = request.getfixturevalue("redis_socket")
        store = RedisReviews(url=f"unix://{socket}", secret=SECRET, most=3, timeout_s=30, now=clock)
    yield store
    await store.close()


@pytest.fixture
def case(clock):
    """Makes a case, one second after the one before."""

    def make(tenant="a", ttl_s=3600.0, **other):
        clock.now_s += 1
        made = Case(
            review_id=new_review_id(clock.now_s),
            tenant=tenant,
            created_s=clock.now_s,
            expires_s=clock.now_s + ttl_s,
            role=Role.DOCUMENT,
            direction=Direction.INPUT,
            findings=(FINDING,),
            text_sha256="0" * 64,
            text=None,
            policy_digest="1" * 64,
        )
        return dataclasses.replace(made, **other)

    return make


async def test_a_case_comes_back_as_it_was_kept(reviews, case):
    """Nothing of a case is lost or changed on the way."""
    kept = case(text="Überraschung \ud83d", request_id="req-1")
    await reviews.add(kept)
    assert kept == await reviews.find("a", kept.review_id)
    assert [kept] == list(await reviews.after("a", "", 10))


async def test_cases_come_oldest_first_and_page_by_page(reviews, case):
    """A page begins after the last case of the one before."""
    kept = [case() for _ in range(3)]
    for each in reversed(kept):
        await reviews.add(each)
    assert kept[:2] == list(await reviews.after("a", "", 2))
    assert kept[2:] == list(await reviews.after("a", kept[1].review_id, 2))


async def test_a_full_queue_loses_its_oldest_and_counts(reviews, case):
    """Three have room; of five the two oldest are gone, and nobody else's."""
    other = case(tenant="b")
    await reviews.add(other)
    kept = [case() for _ in range(5)]
    for each in kept:
        await reviews.add(each)
    assert kept[2:] == list(await reviews.after("a", "", 10))
    assert (2, 0) == (await reviews.evicted("a"), await reviews.evicted("b"))
    assert [other] == list(await reviews.after("b", "", 10))


async def test_an_expired_case_is_gone_and_takes_no_room(reviews, case, clock):
    """Its end is its own: a later case with a shorter life goes before an earlier one."""
    long, short = case(), case(ttl_s=60)
    await reviews.add(long)
    await reviews.add(short)
    clock.now_s += 120
    assert await reviews.find("a", short.review_id) is None
    with pytest.raises(ReviewUnknown):
        await reviews.decide("a", short.review_id, ACCEPTED)
    assert [long] == list(await reviews.after("a", "", 10))
    for each in (case(), case()):
        await reviews.add(each)
    assert 0 == await reviews.evicted("a")


async def test_no_tenant_sees_or_decides_anothers_case(reviews, case):
    """Law 8, for the empty tenant too."""
    kept = case()
    await reviews.add(kept)
    for other in ("b", "", "A"):
        assert [] == list(await reviews.after(other, "", 10))
        assert await reviews.find(other, kept.review_id) is None
        with pytest.raises(ReviewUnknown):
            await reviews.decide(other, kept.review_id, ACCEPTED)
    assert kept == await reviews.find("a", kept.review_id)


async def test_a_case_is_decided_once(reviews, case):
    """The same decision again changes nothing; another one is refused."""
    kept = case()
    await reviews.add(kept)
    decided = await reviews.decide("a", kept.review_id, ACCEPTED)
    assert kept.decided(ACCEPTED) == decided
    again = dataclasses.replace(ACCEPTED, resolved_s=9.0)
    assert decided == await reviews.decide("a", kept.review_id, again)
    with pytest.raises(ReviewDecided):
        await reviews.decide("a", kept.review_id, REJECTED)
    assert decided == await reviews.find("a", kept.review_id)


async def test_of_decisions_at_once_one_counts(reviews, case):
    """Two people press their buttons together: one wins, the other is told."""
    kept = case()
    await reviews.add(kept)
    answers = await asyncio.gather(
        *(reviews.decide("a", kept.review_id, each) for each in (ACCEPTED, REJECTED) * 4),
        return_exceptions=True,
    )
    final = await reviews.find("a", kept.review_id)
    assert final.state is not ReviewState.PENDING
    assert {final} == {each for each in answers if isinstance(each, Case)}
    assert {ReviewDecided} == {type(each) for each in answers} - {Case}


async def test_redis_holds_nothing_readable(redis_socket, case, clock):
    """Neither text nor tenant nor finding stands in Redis, and every key ends."""
    socket, client, _ = redis_socket
    store = RedisReviews(url=f"unix://{socket}", secret=SECRET, most=1, timeout_s=30, now=clock)
    for _ in range(2):
        await store.add(case(tenant="tenant-name", text=TEXT))
    await store.close()
    keys = client.keys("*")
    assert 4 == len(keys)
    dump = b"".join(keys) + b"".join(client.dump(key) for key in keys)
    for secret in (b"jo@example.com", b"tenant-name", b"EMAIL"):
        assert secret not in dump
    assert all(0 < client.ttl(key) <= 3600 for key in keys)


async def test_a_store_that_is_down_says_so(redis_socket, case):
    """Every call fails with one exception that the service knows."""
    socket, _, process = redis_socket
    process.kill()
    process.wait()
    store = RedisReviews(url=f"unix://{socket}", secret=SECRET, most=3, timeout_s=30)
    for call in (
        store.add(case()),
        store.find("a", "x"),
        store.after("a", "", 1),
        store.decide("a", "x", ACCEPTED),
        store.evicted("a"),
    ):
        with pytest.raises(ReviewsDown):
            await call
    await store.close()


@pytest.fixture
def serve_policy(serve, tmp_path):
    """Starts guardrails under this policy as its default."""

    def start(policy=POLICY, **settings):
        folder = tmp_path / "policies"
        folder.mkdir(exist_ok=True)
        (folder / "mine.yaml").write_text(policy)
        return serve(policies_dir=folder, default_policy="mine", **settings)

    return start


async def check(guard, text=TEXT, *, tenant="a", role=pb.ROLE_USER):
    request = pb.CheckTextRequest(
        direction=pb.DIRECTION_INPUT,
        segments=[pb.Segment(role=role, text=text)],
        tenant=tenant,
        request_id="req-1",
    )
    return await guard.CheckText(request)


async def stream(guard, text, *, direction=pb.DIRECTION_INPUT, role=pb.ROLE_USER, tenant="a"):
    config = pb.StreamCheckTextConfig(direction=direction, role=role, tenant=tenant)
    requests = [pb.StreamCheckTextRequest(config=config)]
    requests += [pb.StreamCheckTextRequest(text=text[at : at + 3]) for at in range(0, len(text), 3)]
    return [response async for response in guard.StreamCheckText(iter(requests))]


async def cases(guard, tenant="a", **request):
    return await guard.ListReviews(pb.ListReviewsRequest(tenant=tenant, **request))


async def test_a_borderline_text_passes_and_waits_for_a_person(serve_policy):
    """The text goes on, the answer names the case, and the case says what was found, not what."""
    async with serve_policy() as guard:
        answer = await check(guard)
        [segment] = answer.segments
        [kept] = (await cases(guard)).reviews
    assert (pb.ACTION_REVIEW, TEXT) == (answer.action, segment.text)
    assert segment.review_id == kept.review_id
    assert list(segment.findings) == list(kept.findings)
    assert [pb.TREATMENT_REVIEW] == [finding.treatment for finding in kept.findings]
    assert (pb.REVIEW_STATE_PENDING, "req-1") == (kept.state, kept.request_id)
    assert (pb.ROLE_USER, pb.DIRECTION_INPUT) == (kept.role, kept.direction)
    assert not kept.HasField("text")
    assert 7 * 86400 == kept.expires.seconds - kept.created.seconds


async def test_a_held_text_does_not_pass_meanwhile(serve_policy):
    """The policy may rather wait for the person: the text is blocked, the finding says why."""
    async with serve_policy() as guard:
        answer = await check(guard, HELD)
        [kept] = (await cases(guard)).reviews
    [segment] = answer.segments
    assert (pb.ACTION_BLOCK, "") == (answer.action, segment.text)
    assert [pb.ACTION_REVIEW] * 2 == [finding.action for finding in segment.findings]
    assert pb.TREATMENT_HOLD == segment.findings[1].treatment
    assert segment.review_id == kept.review_id


@pytest.mark.parametrize("text", [TEXT, HELD], ids=["reviewed", "held"])
@pytest.mark.parametrize("direction", [pb.DIRECTION_INPUT, pb.DIRECTION_OUTPUT])
async def test_a_stream_opens_the_case_that_unary_opens(serve_policy, text, direction):
    """Laws 1 and 2 hold for reviews: same text, same findings, same hash, one case each."""
    async with serve_policy(KEEPING) as guard:
        request = pb.CheckTextRequest(
            direction=direction, segments=[pb.Segment(role=pb.ROLE_USER, text=text)], tenant="a"
        )
        whole = await guard.CheckText(request)
        events = await stream(guard, text, direction=direction)
        kept = list((await cases(guard)).reviews)
    released = "".join(event.release.text for event in events)
    assert whole.segments[0].text == released
    assert [whole.segments[0].review_id, events[-1].final.review_id] == [
        each.review_id for each in kept
    ]
    for each in kept:
        for field in ("review_id", "created", "expires"):
            each.ClearField(field)
    assert kept[0] == kept[1]
    assert text[: len(kept[0].text)] == kept[0].text


async def test_text_is_kept_only_where_the_policy_says_so(serve_policy):
    """And then for as long as it says."""
    async with serve_policy(KEEPING) as guard:
        await check(guard)
        [kept] = (await cases(guard)).reviews
    assert TEXT == kept.text
    assert 3600 == kept.expires.seconds - kept.created.seconds


async def test_a_harmless_text_opens_no_case(serve_policy):
    """Nothing borderline, nothing to look at."""
    async with serve_policy() as guard:
        answer = await check(guard, "Good morning.")
        assert [] == list((await cases(guard)).reviews)
    assert "" == answer.segments[0].review_id


async def test_a_caller_who_leaves_midway_leaves_a_case(serve_policy):
    """What was shown before the caller hung up may need a person all the same."""
    async with serve_policy() as guard:
        call = guard.StreamCheckText()
        config = pb.StreamCheckTextConfig(
            direction=pb.DIRECTION_OUTPUT, role=pb.ROLE_ASSISTANT, tenant="a"
        )
        await call.write(pb.StreamCheckTextRequest(config=config))
        await call.write(pb.StreamCheckTextRequest(text=TEXT + " or later, when there is time. "))
        while (await call.read()).WhichOneof("event") != "finding":
            pass
        call.cancel()
        while not (kept := (await cases(guard)).reviews):  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert 1 == len(kept)


async def test_a_full_queue_answers_requests_and_says_what_it_lost(serve_policy):
    """Only the newest cases are there; every request was answered as ever."""
    async with serve_policy(reviews_per_tenant=2) as guard:
        named = [(await check(guard)).segments[0].review_id for _ in range(5)]
        listed = await cases(guard)
    assert named[3:] == [each.review_id for each in listed.reviews]
    assert 3 == listed.evicted


async def test_a_store_that_is_down_hurts_no_request(serve_policy, redis_socket):
    """Checks go on; reading cases says that it cannot."""
    socket, _, process = redis_socket
    shared = {"redis_url": f"unix://{socket}", "redis_timeout_s": 30, "secret": "x" * 16}
    async with serve_policy(**shared) as guard:
        await check(guard)
        assert 1 == len((await cases(guard)).reviews)
        process.kill()
        process.wait()
        assert TEXT == (await check(guard)).segments[0].text
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await cases(guard)
    assert grpc.StatusCode.UNAVAILABLE == failure.value.code()


async def test_replicas_share_their_cases(serve_policy, redis_socket):
    """What one opened another decides."""
    socket, _, _ = redis_socket
    shared = {"redis_url": f"unix://{socket}", "redis_timeout_s": 30, "secret": "x" * 16}
    async with serve_policy(**shared) as one, serve_policy(**shared) as other:
        await check(one)
        await cases(one)  # returns when it is written
        [kept] = (await cases(other)).reviews
        decided = await other.ResolveReview(resolution(kept.review_id))
        assert [decided.review] == list((await cases(one)).reviews)


def resolution(review_id, state=pb.REVIEW_STATE_ACCEPTED, by="ann@example.org", tenant="a"):
    return pb.ResolveReviewRequest(review_id=review_id, state=state, resolved_by=by, tenant=tenant)


async def test_a_decision_is_kept_and_filters(serve_policy):
    """A decided case leaves the list of those that wait and keeps who decided when."""
    async with serve_policy() as guard:
        first, second = [(await check(guard)).segments[0].review_id for _ in range(2)]
        decided = (await guard.ResolveReview(resolution(first))).review
        waiting = await cases(guard, state=pb.REVIEW_STATE_PENDING)
        accepted = await cases(guard, state=pb.REVIEW_STATE_ACCEPTED)
        one = await cases(guard, review_id=second)
    assert (pb.REVIEW_STATE_ACCEPTED, "ann@example.org") == (decided.state, decided.resolved_by)
    assert decided.resolved.seconds >= decided.created.seconds
    assert [second] == [each.review_id for each in waiting.reviews]
    assert [decided] == list(accepted.reviews)
    assert [second] == [each.review_id for each in one.reviews]


async def test_a_list_comes_in_pages(serve_policy):
    """Every case comes once, in order, and the last page says that it is the last."""
    async with serve_policy() as guard:
        named = [(await check(guard)).segments[0].review_id for _ in range(5)]
        listed, sizes, token = [], [], ""
        while True:
            page = await cases(guard, page_size=2, page_token=token)
            listed += [each.review_id for each in page.reviews]
            sizes.append(len(page.reviews))
            token = page.next_page_token
            if not token:
                break
    assert sorted(named) == listed
    assert [2, 2, 1] == sizes


REFUSED = {
    "no such case": (resolution("rev-none"), "NOT_FOUND", "REVIEW_NOT_FOUND"),
    "no decision": (resolution("x", pb.REVIEW_STATE_PENDING), "INVALID_ARGUMENT", "state"),
    "nobody": (resolution("x", by=""), "INVALID_ARGUMENT", "resolved_by"),
    "a speech": (resolution("x", by="I think so"), "INVALID_ARGUMENT", "resolved_by"),
    "no name": (resolution(""), "INVALID_ARGUMENT", "review_id"),
}


@pytest.mark.parametrize(("request_", "code", "says"), REFUSED.values(), ids=REFUSED)
async def test_a_decision_that_makes_no_sense_is_refused(serve_policy, request_, code, says):
    """The field is named, and the service goes on."""
    async with serve_policy() as guard:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await guard.ResolveReview(request_)
    assert code == failure.value.code().name
    details = dict(failure.value.trailing_metadata())["grpc-status-details-bin"]
    assert says.encode() in details


@pytest.mark.parametrize(
    ("field", "value"), [("page_size", 1001), ("page_size", -1), ("page_token", "x"), ("state", 9)]
)
async def test_a_list_that_makes_no_sense_is_refused(serve_policy, field, value):
    """The field is named."""
    async with serve_policy() as guard:
        with pytest.raises(grpc.aio.AioRpcError) as failure:
            await cases(guard, **{field: value})
    assert grpc.StatusCode.INVALID_ARGUMENT == failure.value.code()
    details = dict(failure.value.trailing_metadata())["grpc-status-details-bin"]
    assert field.encode() in details


async def test_only_reviewers_may_look_where_there_are_any(serve_policy):
    """A caller without a certificate that names one is refused, for reading and for deciding."""
    async with serve_policy(reviewers=("moderation.example.org",)) as guard:
        await check(guard)
        for call in (cases(guard), guard.ResolveReview(resolution("x"))):
            with pytest.raises(grpc.aio.AioRpcError) as failure:
                await call
            assert grpc.StatusCode.PERMISSION_DENIED == failure.value.code()


async def test_a_case_leaves_no_content_in_telemetry(serve_policy, tmp_path, capfd):
    """Law 5: neither spans nor log lines hold the text that is kept; they hold the case's name."""
    async with serve_policy(KEEPING) as guard:
        name = (await check(guard)).segments[0].review_id
        await guard.ResolveReview(resolution(name))
    spans = "".join(path.read_text() for path in (tmp_path / "traces").rglob("*.jsonl"))
    said = spans + "".join(capfd.readouterr())
    assert name in spans
    assert "jo@example.com" not in said
    assert json.loads(next(line for line in spans.splitlines() if name in line))
