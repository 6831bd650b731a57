"""Which tool names in spans are a server's own, and which a client made up. Pure."""

from davylamp_sdk._names import MAX_NAME, UNKNOWN
from davylamp_sdk._tools import MAX_LEARNED

MAX_SERVICES = 1_000


class AnsweredTools:
    """The tools that a service has answered `ok`: a name counts from then on, and is `_unknown` before.

    A span holds the name that was asked for, whether there is such a tool or not, and to a name that a client made up the MCP SDK
    and FastMCP answer as to a tool that failed. So success alone tells. Of any version of the service: a tool of the canary that
    fails from its first call on is to be spoken of, and the baseline's answers tell that it is one. Nothing is kept over a restart:
    until a tool is answered again its calls count as those of `_unknown`.

    A server that says `ok` to any name (it forwards calls) cannot be told from one that has such tools: at most ``MAX_LEARNED`` names
    of a service are kept, those that came first; and of services ``MAX_SERVICES``, those that were heard last.
    """

    def __init__(self) -> None:
        self._by_service: dict[str, set[str]] = {}

    def learn(self, service: str, name: str) -> None:
        """The service has answered this one `ok`."""
        known = self._by_service[service] = self._by_service.pop(service, set())
        if len(known) < MAX_LEARNED and 0 < len(name) <= MAX_NAME:
            known.add(name)
        if len(self._by_service) > MAX_SERVICES:
            del self._by_service[next(iter(self._by_service))]

    def spoken(self, service: str, name: str) -> str:
        """The name, if it is a tool's, else `_unknown`."""
        return name if name in self._by_service.get(service, ()) else UNKNOWN
