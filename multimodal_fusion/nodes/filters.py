"""Pairing by ROS message_filters, for those who want the stock synchronizer."""

from typing import Any

from ..errors import UserError
from ..pipeline.pairing import STREAMS, Counters, Pair


class _Stamped:
    """A frame with the header that message_filters looks at."""

    def __init__(self, header, stamp: int, payload: Any):
        self.header, self.stamp, self.payload = header, stamp, payload


class FilterPairer:
    """ApproximateTimeSynchronizer behind the interface of `pairing.Pairer`.

    It cannot take a clock offset and does not survive a backward jump of the clock (a looped bag);
    it is offered for comparison. Raises UserError where message_filters is not installed.
    """

    rhythm = None  # it measures none

    def __init__(self, slop: int, thermal_offset: int, queue_size: int):
        try:
            from message_filters import ApproximateTimeSynchronizer, SimpleFilter
        except ImportError:
            raise UserError(
                'sync.backend is message_filters, which is not installed: install '
                'ros-<distro>-message-filters or set sync.backend to own'
            ) from None
        if thermal_offset:
            raise UserError(
                'sync.thermal_time_offset needs sync.backend own: message_filters takes no offset'
            )
        self.counters = Counters()
        self._filters = {name: SimpleFilter() for name in STREAMS}
        self._made: list[Pair] = []
        self._sync = ApproximateTimeSynchronizer(
            list(self._filters.values()), queue_size, slop * 1e-9
        )
        self._sync.registerCallback(self._on_pair)

    def take_over(self, other: 'FilterPairer') -> list[Pair]:
        """Go on counting; the filters can't hand over what waits in them."""
        self.counters = other.counters
        return []

    def push(self, name: str, stamp: int, payload: Any, size: int = 0) -> list[Pair]:
        """Take a frame; returns the pairs it completes. stamp: nanoseconds, of payload.header."""
        self._filters[name].signalMessage(_Stamped(payload.header, stamp, payload))
        made, self._made = self._made, []
        return made

    def _on_pair(self, rgb: _Stamped, thermal: _Stamped) -> None:
        self.counters.paired += 1
        self._made.append(
            Pair(rgb.payload, thermal.payload, rgb.stamp, thermal.stamp, thermal.stamp - rgb.stamp)
        )
