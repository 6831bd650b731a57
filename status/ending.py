"""Why this process ends by itself: something is lost for good that a new process has again."""

import logging

logger = logging.getLogger(__name__)


class Ending:
    """Said once; the web server looks at it and goes. Who served on would refuse everything for ever, people's rollback too."""

    def __init__(self) -> None:
        self.why: str | None = None

    def because(self, why: str) -> None:
        """The first reason is the one that counts."""
        if self.why is None:
            self.why = why
            logger.error("the process ends, to be started again", extra={"action": "ends_itself", "why": why})
