"""A small image-voice set that is drawn and spoken on the spot, and the main job on it."""
