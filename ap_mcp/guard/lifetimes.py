"""How long questions, consents and what is kept about them live, and how many may be open: all of it in one place."""

from datetime import UTC, datetime, timedelta

QUESTION_LIFETIME = timedelta(minutes=5)
"""Of a form between two legs of a call, from asking to its answer."""
TOKEN_LIFETIME = timedelta(minutes=5)
"""Of a token that the model carries."""
APPROVAL_LIFETIME = timedelta(minutes=15)
"""Of a question that a person answers elsewhere, and of the approval of it."""
LONGEST_LIFETIME = timedelta(days=1)
"""No question lives longer, whatever the store says: an answer is about how things are now."""
PATIENCE = 300.0
"""Seconds a person may take over a form that is shown while the call waits."""
SHORTEST_READING = timedelta(seconds=3)
"""No person reads a form, types a name and answers faster: such an answer is of a program, and nobody saw the form.

A program on a busy machine takes 0.6 s.
"""
PULSE = 20.0
"""Seconds between two words to a client whose call waits for a person; many clients give a call up after 60."""
READING_TIME = timedelta(minutes=2)
"""How long the facts may take to be read again after such a form is answered; then it is asked again."""
KEPT = timedelta(days=1)
"""How long a store keeps what has expired, for people to see."""
MOST_OF_HISTORY = 100
"""How many questions that came to an end are shown at once."""
CLOCK_SLACK = timedelta(minutes=2)
"""How far the clock may have gone back, as clocks do that are set right."""
OPEN_LIMIT = 100
"""How many questions of one principal may wait elsewhere at once, and how many forms and tokens may be open."""
DAY_LIMIT = 1000
"""How many questions of one principal may be asked elsewhere within a day: a store keeps each for so long."""
LARGEST_QUESTION = 200_000
"""Characters of a question that waits elsewhere, arguments and impact: nobody reads more, and the store keeps each."""


def wall_clock() -> datetime:
    """Return the time of this machine."""
    return datetime.now(UTC)
