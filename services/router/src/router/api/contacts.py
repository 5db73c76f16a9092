"""Routes of people: contacts, their timelines, links between identities and suggestions of links."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from threadline_events.commands import LinkIdentity, UnlinkIdentity
from threadline_events.evidence import Evidence
from threadline_events.identity import IdentityError, canonical_identity
from threadline_events.ids import link_id as link_id_of

from router.api.access import Identified, PartsOf, ReaderKey, ReadingFor, WriterKey, brand_asked
from router.api.cursors import decode_cursor, encode_cursor
from router.api.models import ContactView, EntryPageView, LinkView, NewLink, SuggestionPage
from router.api.pages import After, Limit, Order, cut, entry_cursor, walk_of
from router.api.presenting import safe_all, whole
from router.api.problems import Problem, not_found
from router.api.reading import Reading, link_view
from router.api.refusals import done

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["contacts"])
ContactId = Annotated[str, Path(max_length=64)]
LinkId = Annotated[str, Path(max_length=64)]


@router.get("/contacts")
async def find_contact(
    parts: PartsOf,
    key: ReaderKey,
    reading: ReadingFor,
    identity: Annotated[str, Query(max_length=512, description="`email:a@b.example`")],
    brand: Annotated[str | None, Query(max_length=200)] = None,
) -> ContactView:
    """The person with an identity in a brand; `brand` may be left out where the key sees one only."""
    found = await reading.contact_by_identity(_canonical(identity), brand_asked(parts, key, brand))
    if found is None:
        raise not_found("contact")
    return found


def _canonical(identity: str) -> str:
    channel, _, value = identity.partition(":")
    try:
        return canonical_identity(channel, value)
    except IdentityError as error:
        raise Problem(422, "bad_identity", "An identity is `channel:value`, such as `email:a@b.example`.") from error


@router.get("/contacts/{contact_id}")
async def get_contact(reading: ReadingFor, contact_id: ContactId) -> ContactView:
    """The whole person of any of its contacts."""
    return await _found(reading, contact_id)


async def _found(reading: Reading, contact_id: str) -> ContactView:
    contact = await reading.contact(contact_id)
    if contact is None:
        raise not_found("contact")
    return contact


@router.get("/contacts/{contact_id}/timeline")
async def get_contact_timeline(
    parts: PartsOf, reading: ReadingFor, contact_id: ContactId, order: Order = "asc", limit: Limit = 50, after: After = None
) -> EntryPageView:
    """A person's whole life with us, in timeline order."""
    contact = await _found(reading, contact_id)
    entries = await reading.contact_entries(contact, walk_of(order, after, limit))
    page, following = cut(entries, limit, entry_cursor(order))
    return EntryPageView(items=tuple(await safe_all(await whole(page, parts.blobs))), next=following)


@router.post("/links", status_code=201)
async def post_link(parts: PartsOf, key: WriterKey, reading: ReadingFor, identify: Identified, body: NewLink) -> LinkView:
    """Say that two identities are one person. Nothing moves: they are read together from now on."""
    brand = brand_asked(parts, key, body.brand)
    one, other = _canonical(body.one), _canonical(body.other)
    identity = await identify("link", brand, body)
    command = LinkIdentity(
        command_id=identity.command_id("link"),
        fingerprint=identity.fingerprint,
        brand=brand,
        actor=key.actor(),
        issued_at=parts.now(),
        one=one,
        other=other,
        evidence=Evidence.EXPLICIT,
        reason=body.reason,
    )
    await done(parts.commands, command)
    edge = await reading.link(link_id_of(brand, one, other))
    if edge is None:
        raise not_found("link")
    return link_view(edge)


@router.delete("/links/{link_id}", status_code=204)
async def delete_link(parts: PartsOf, key: WriterKey, reading: ReadingFor, identify: Identified, link_id: LinkId) -> Response:
    """Take a link back; both histories are apart again."""
    edge = await reading.link(link_id)
    if edge is None:
        raise not_found("link")
    identity = await identify("unlink", link_id, None)
    command = UnlinkIdentity(
        command_id=identity.command_id("unlink"),
        fingerprint=identity.fingerprint,
        brand=edge.brand,
        actor=key.actor(),
        issued_at=parts.now(),
        one=edge.one,
        other=edge.other,
    )
    await done(parts.commands, command)
    return Response(status_code=204)


@router.get("/suggestions")
async def list_suggestions(
    reading: ReadingFor,
    contact_id: Annotated[str | None, Query(max_length=64, description="Only pairs that name this person.")] = None,
    limit: Limit = 50,
    after: After = None,
) -> SuggestionPage:
    """Identities that claimed evidence names as one person. Accept one by `POST /v1/links`."""
    contact = await _found(reading, contact_id) if contact_id is not None else None
    place = decode_cursor("suggestions", after, 1)[0] if after is not None else None
    found, following = cut(
        await reading.suggestions(contact, place, limit + 1), limit, lambda one: encode_cursor("suggestions", one.link_id)
    )
    return SuggestionPage(items=tuple(found), next=following)
