"""What people are informed of while a question waits for one of them: a webhook posts it where they read."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ap_mcp.guard.approval_requests import Question


class Notices(Protocol):
    """Takes what happens to questions. No method waits for anything, and none fails: a call is never held up by it."""

    def asked(self, question: "Question", link: str) -> None:
        """Take that a question waits.

        Args:
            question: as it stands in the store.
            link: where it can be read and decided; empty if no page is served.
        """

    def left(self, question: "Question") -> None:
        """Take that the one who asks has gone while the question still waits."""

    def used(self, code: str, outcome: str) -> None:
        """Take how a call ended that was made with an approval.

        Args:
            code: of its question.
            outcome: succeeded, failed or unknown, as the audit has it.
        """

    def watch(self) -> None:
        """Inform people from now on also of the end of questions that other servers asked, or this one before."""

    async def close(self) -> None:
        """End, after what was taken is on its way, or a few seconds."""


class Silent:
    """Informs no one: where no webhook is set."""

    def asked(self, question: "Question", link: str) -> None:
        """Take that a question waits."""

    def left(self, question: "Question") -> None:
        """Take that the one who asks has gone."""

    def used(self, code: str, outcome: str) -> None:
        """Take how a call ended."""

    def watch(self) -> None:
        """Inform people of other questions too."""

    async def close(self) -> None:
        """End."""
