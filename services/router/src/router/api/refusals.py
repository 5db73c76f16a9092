"""What a command left, as an answer: the entry where it was done, a problem where it was refused.

The reasons are the router's own names; each gets a status and a sentence that says what to do.
"""

from threadline_events.commands import AnyCommand

from router.api.parts import CommandConflict, CommandDesk
from router.api.problems import Problem, not_found
from router.commands import UnknownTargetError
from router.domain.documents import EntryDocument

__all__ = ["done", "refused"]

_SENTENCES = {
    "newer_message": (409, "The customer wrote meanwhile: read the conversation again, then resolve it."),
    "closed_window": (409, "The channel no longer takes answers to this message: the customer has to write again."),
    "not_answerable": (409, "Nobody can answer this message on its channel."),
    "nothing_to_answer": (409, "There is no message of the customer that can be answered here: name the one to answer in `in_reply_to`."),
    "not_in_conversation": (409, "The message to answer is not in this conversation."),
    "unknown_message": (404, "There is no such message in this conversation."),
    "unknown_account": (422, "The account is not configured, or it is of another channel or brand."),
    "unknown_attachment": (422, "There is no such attachment for this brand: upload it first."),
    "not_open": (409, "The conversation is resolved already."),
    "not_resolved": (409, "The conversation is neither resolved nor snoozed."),
    "another_is_active": (409, "The customer has another open conversation: answer there."),
    "as_of_unreadable": (422, "`as_of` is not what a conversation gave: leave it out, or give it unchanged."),
    "not_sent_by_us": (409, "Only a message that we sent can be sent again or confirmed."),
    "not_failed": (409, "Only a failed or uncertain message can be sent again."),
    "not_uncertain": (409, "Only an uncertain message can be confirmed."),
    "not_linked": (409, "These two identities are not linked."),
    "same_identity": (422, "These are one identity."),
    "unlinked": (409, "An agent has taken this link back; only an explicit one joins the two again."),
    "not_found": (404, "It is no longer there."),
}


async def done(desk: CommandDesk, command: AnyCommand) -> EntryDocument:
    """The entry that a command left; raises Problem where it was refused."""
    try:
        entry = await desk.ask(command)
    except CommandConflict as error:
        raise Problem(422, "idempotency_key_reused", "This Idempotency-Key was used for another request: take a new one.") from error
    except UnknownTargetError as error:
        raise not_found("conversation or message") from error
    result, _, reason = (entry.result or "done").partition(":")
    if result == "refused":
        raise refused(reason)
    return entry


def refused(reason: str) -> Problem:
    """The answer to a refusal."""
    status, sentence = _SENTENCES.get(reason, (409, f"The router refused this: {reason.replace('_', ' ') or 'no reason given'}."))
    return Problem(status, reason or "refused", sentence)
