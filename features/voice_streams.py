"""Streams of MFCC: the parts of their vectors; imports nothing, for configs and the help."""

STREAMS = ("mfcc", "delta", "delta-delta")
