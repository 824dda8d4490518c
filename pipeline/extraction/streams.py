"""Streams of a voice: the parts of its features; imports nothing, for configs and the help."""

STREAMS = ("mfcc", "delta", "delta-delta")
