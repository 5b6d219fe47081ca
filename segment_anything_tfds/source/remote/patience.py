"""How long a transfer goes on trying, and how long it waits between attempts."""

from __future__ import annotations

import dataclasses
import random


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long to go on trying.

    Attributes:
      attempts: failures in a row, without `fetch.PROGRESS` in between, after which to give up.
      first_delay: seconds before the second attempt; doubled each time, less a random part.
      longest_delay: seconds that the delay grows to.
      longest_wait: seconds that a server may ask for (`Retry-After`).
      connect_timeout: seconds for a connection.
      read_timeout: seconds without a byte after which a connection counts as broken.
    """

    attempts: int = 10
    first_delay: float = 0.5
    longest_delay: float = 60.0
    longest_wait: float = 600.0
    connect_timeout: float = 15.0
    read_timeout: float = 60.0

    def delay(self, failures: int, asked: float | None) -> float:
        """Gives the seconds to wait after so many failures in a row."""
        if asked is not None:
            return min(max(asked, 0.0), self.longest_wait)
        full = min(self.first_delay * 2.0 ** min(failures - 1, 60), self.longest_delay)
        return full * random.uniform(0.5, 1.0)
