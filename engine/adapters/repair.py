"""Messages about a reply that cannot be read: to the model, which may correct it, and in the error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import AdapterParseError

if TYPE_CHECKING:
    from engine.lm.exchange import Message


def with_sentence(error: AdapterParseError, sentence: str) -> AdapterParseError:
    """Return the error with one more sentence."""
    if not sentence:
        return error
    longer = AdapterParseError(f"{error} {sentence}", reply=error.reply, found=error.found)
    longer.adapter_name, longer.signature = error.adapter_name, error.signature
    return longer


def with_beginning(error: AdapterParseError) -> AdapterParseError:
    """Return the error of a reply without any of the fields with how the reply begins: a refusal is seen as one."""
    reply = " ".join(error.reply.split())
    if error.found or not error.reply.strip() or not str(error).startswith(NOTHING_FOUND):
        return error
    return with_sentence(
        error, BEGINS.format(text=reply if len(reply) <= SHORT_QUOTE else f"{reply[:SHORT_QUOTE]} ...")
    )


def feedback_turns(reply: str, problem: str) -> list[Message]:
    """Return the turns that send an unreadable reply back with what is wrong with it."""
    if len(reply) > LONGEST_QUOTE:
        half = LONGEST_QUOTE // 2
        reply = f"{reply[:half]}\n... ({len(reply) - 2 * half} characters left out) ...\n{reply[-half:]}"
    return [
        # Providers refuse an assistant's turn without text.
        {"role": "assistant", "content": reply if reply.strip() else EMPTY},
        {"role": "user", "content": FEEDBACK.format(problem=problem)},
    ]


LONGEST_QUOTE = 8000
"""Characters of an unreadable reply that are sent back with the error."""

SHORT_QUOTE = 80
"""Characters of such a reply that stand in the error of a row."""

NOTHING_FOUND = ("The reply has no ", "The reply holds no ")
BEGINS = "It begins: {text!r}."

# Prompts. The offline model finds the parts of a prompt by these leads and those of `pieces`, so they are named.

EMPTY = "(nothing)"
FEEDBACK = """\
Your last answer could not be used. {problem}

Answer the same task again, with every output field, in exactly the layout you were given and nothing else."""
ASKED = "Asked {times} times."
ASKED_TOO = "Asked {times} times, the last time for JSON: {problem}"
CUT_OFF = "The reply was cut off at the token limit: raise max_tokens."
REFUSED = "The model refused to answer."
REASONS = {"length": CUT_OFF, "refusal": REFUSED, "content_filter": REFUSED}
"""A completion's finish reason -> what it says of a reply that cannot be read."""
