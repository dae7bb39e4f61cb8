"""fastops's time as a share of torch's: 0.5 is twice as fast as torch, above 1 is slower.

Both are timed in turn in one process, and the share is the median over the pairs: what slows the machine for a while
slows both. These are the lines to judge a commit by.
"""

from operator import truediv

from . import DEVICES, GROUPS, YARDSTICK, Cases, class_name, imported, importlib

timing = importlib.import_module(f"{YARDSTICK}.timing")


def shares(group):
    """A benchmark of a group's cases."""

    class Share(Cases):
        cases = {timed.name: timed for timed in GROUPS[group]}
        params = (tuple(cases), DEVICES)
        param_names = ("case", "device")

        def setup(self, name, device):
            self.prepare(name, imported("torch"), device)

        def track_share(self, name, device):
            pairs = timing.timings((self.made.ours, self.made.theirs), timing.EFFORT["small"], self.wait)
            return timing.median(truediv(*pair) for pair in pairs)

        track_share.unit = "fastops / torch"
        track_share.pretty_name = f"{group}: fastops's time / torch's"

    Share.__name__ = Share.__qualname__ = class_name(group)
    return Share


# A class for each group, under a name of its own, as asv looks for them.
globals().update({share.__name__: share for share in map(shares, GROUPS)})
