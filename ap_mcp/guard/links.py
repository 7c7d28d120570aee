"""Where a question can be read and decided: the link holds what cannot be guessed beside the code, and is not kept."""

from dataclasses import dataclass

from ap_mcp.guard.approval_requests import read_code
from ap_mcp.guard.seal import Sealer

PATH = "/approvals"
_KIND = "approval link"


@dataclass(frozen=True)
class Links:
    """Makes the links of questions, and knows them again.

    Who has a link can read its question, and no more: deciding takes the passkey of an approver.

    Args:
        public_url: what people reach the server by, with the path that it stands under.
        sealer: of the servers that serve the page; without a shared key, links last as long as this process.
    """

    public_url: str
    sealer: Sealer

    def question(self, code: str) -> str:
        """Return the address of the page of one question."""
        return f"{self.public_url}{PATH}/{code}/{self.key(code)}"

    @property
    def all(self) -> str:
        """The address of the list of all that waits, which asks for a passkey."""
        return f"{self.public_url}{PATH}"

    def key(self, code: str) -> str:
        """Return what stands in the link of a question beside its code: 130 bits, in letters and digits."""
        return self.sealer.proof(_KIND, code)

    def opens(self, code: str, key: str) -> bool:
        """Say whether a key is the one of a code; it is compared in constant time."""
        found = read_code(code)
        return found is not None and self.sealer.proves(_KIND, found, key)
