"""The straight line from frames to drawn frames, and from many inputs to many results."""
