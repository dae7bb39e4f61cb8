"""What an algorithm says of the outputs that it made, so that those of infinities and NaN can be mended."""

from typing import NamedTuple


class Outcome(NamedTuple):
    """What is known of the outputs, at no cost; ``exact`` makes single ones again, ``direct`` all of them."""

    pads: bool = True  # zeros around the image may have been multiplied, which makes NaN of an infinite weight
    finite: bool = False  # every output is known to be finite
    spread: bool = False  # an infinity or NaN has spread to outputs whose windows do not see it
    ended: bool = False  # what finish.py says has been done
