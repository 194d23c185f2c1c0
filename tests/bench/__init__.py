"""What Refract costs in time and memory: `make bench`, or one group: `make bench ONLY=survey`.

A group is a module here with `figures()`. Numbers say something only beside others of the same
run on the same machine, so nothing here is a test and nothing fails for being slow.
"""
