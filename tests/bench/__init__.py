"""`make bench`: what receiving costs, how long a send takes, how much memory a full node needs, against their bars.

Every figure is a ratio to something measured in the same run on the same core, or stands beside a bar that leaves an
ordinary machine room. On a machine that does other work the figures come out worse than they are.
"""
